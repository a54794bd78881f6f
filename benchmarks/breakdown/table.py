"""Measures every part and prints them in one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.breakdown import client, engine, queues, store
from benchmarks.breakdown.parts import Amount, Figure, Part
from benchmarks.breakdown.whole import Whole
from benchmarks.places import ROOT

__all__ = ["show"]

FULL = Amount(tasks=20_000, batch=128, calls=500)
QUICK = Amount(tasks=4_000, batch=128, calls=100)

#: On the way of a task, from the caller's line to its value.
PARTS = (
    Part("arguments to text", "serialize/", client.serialize),
    Part("future made, resolved, asked", "sdk/future.py", client.future),
    Part("body of the submit, both ends", "wire/rest.py", client.request_body),
    Part("accepted: commit", "service/store/", store.accept),
    Part("envelopes of task and result, both ends", "wire/v2.py", client.envelope),
    Part("queue, there and back", "broker/", queues.hop),
    Part("worker: read, call, write", "worker/run.py", engine.worker),
    Part("engine with 2 workers, there and back", "endpoint/engines/process.py", engine.engine),
    Part("finished: commit", "service/store/", store.finish),
    Part("result to value", "sdk/outcome.py", client.open_result),
)


def show(console: Console, *, quick: bool) -> None:
    """Measure everything and print it."""
    amount = QUICK if quick else FULL
    # The workers have to find the work.
    os.environ["PYTHONPATH"] = str(ROOT)
    with console.status("starting") as status:
        rows = [(part.name, part.where, figure) for part, figure in _measured(PARTS, amount, status.update)]
        status.update("afield up")
        with Whole.start() as whole:
            together = (
                Part("smallest request over HTTP", "sdk/transport/http.py, service/api/", whole.http),
                Part("submit, answered", "all up to the commit", whole.submit),
                Part("Executor, there and back", "everything", whole.executor),
            )
            rows_together = [
                (part.name, part.where, figure) for part, figure in _measured(together, amount, status.update)
            ]
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("part")
    table.add_column("where (src/afield)")
    table.add_column(f"µs a task,\n{amount.batch} at a time", justify="right")
    table.add_column("µs alone,\nmedian", justify="right")
    for name, where, figure in rows:
        table.add_row(name, where, _short(figure.many), _short(figure.alone))
    table.add_section()
    for name, where, figure in rows_together:
        table.add_row(name, where, _short(figure.many), _short(figure.alone))
    console.print(table)
    console.print(
        "Each part alone on a machine that does nothing else, wall time. Parts run beside each other, on several cores "
        "and in several processes, so the sum is not the whole; the largest of them, and their CPU, are what limits it."
    )


def _measured(parts: Iterable[Part], amount: Amount, tell: Callable[[str], None]) -> Iterable[tuple[Part, Figure]]:
    for part in parts:
        tell(part.name)
        yield part, part.measure(amount)


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"
