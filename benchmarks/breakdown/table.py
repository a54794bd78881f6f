"""Measures every part and prints them in one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.breakdown import client, engine, queues, store
from benchmarks.breakdown.parts import Amount, Figure, Part
from benchmarks.breakdown.whole import ROLES, Whole
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
        parts = dict(_measured(PARTS, amount, status.update))
        status.update("afield up")
        with Whole.start() as whole:
            together = (
                Part("smallest request over HTTP", "sdk/transport/http.py, service/api/", whole.http),
                Part("submit, answered", "all up to the commit", whole.submit),
                Part("Executor, there and back", "everything", whole.executor),
            )
            parts_together = dict(_measured(together, amount, status.update))
            status.update("CPU time")
            processes = whole.cpu(amount)
    table = _table(amount, "part", "where (src/afield)", "µs alone,\nmedian")
    for found in (parts, parts_together):
        for part, figure in found.items():
            table.add_row(part.name, part.where, _short(figure.many), _short(figure.alone))
        table.add_section()
    console.print(table)
    console.print(
        "Wall time of each part alone. Parts run beside each other, on several cores and in several processes, so the "
        "sum is not the whole."
    )
    table = _table(amount, "process", "CPU time while the Executor was used", "µs alone,\nmean")
    for role, figure in processes.items():
        table.add_row(role, f"{ROLES[role]} ..." if role != "caller" else "", _short(figure.many), _short(figure.alone))
    table.add_section()
    many = sum(figure.many or 0.0 for figure in processes.values())
    table.add_row("all of them", "", _short(many), _short(sum(figure.alone or 0.0 for figure in processes.values())))
    console.print(table)


def _table(amount: Amount, first: str, second: str, alone: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column(first, min_width=40)
    table.add_column(second, min_width=40)
    table.add_column(f"µs a task,\n{amount.batch} or more at a time", justify="right")
    table.add_column(alone, justify="right")
    return table


def _measured(parts: Iterable[Part], amount: Amount, tell: Callable[[str], None]) -> Iterable[tuple[Part, Figure]]:
    for part in parts:
        tell(part.name)
        yield part, part.measure(amount)


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"
