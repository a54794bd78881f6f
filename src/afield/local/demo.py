"""`afield demo`: the main job, from submit to result, on this machine, in a few seconds.

The work is the Collatz example of the published guide: the sequences of 1 to 100, one task each. Everything is real:
the service, its database and queues, an endpoint with one worker process per core. It lives in a directory that is gone
afterwards.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from afield.local.up import UpOptions, running

__all__ = ["Measured", "collatz", "run_demo"]

FROM, THROUGH = 1, 100


def collatz(n: int, limit: int = 10_000) -> list[int]:
    """Halve an even number, triple an odd one and add one, until it is 1 (or ``limit`` steps are done)."""
    sequence = [n]
    while n != 1 and len(sequence) < limit:
        n = 3 * n + 1 if n % 2 else n // 2
        sequence.append(n)
    return sequence


@dataclass(frozen=True, slots=True)
class Measured:
    """What the demo saw; times in seconds from the first submit."""

    sequences: Sequence[list[int]]
    first_s: float
    all_s: float


def run_demo(console: Console) -> None:
    """Run it all and tell about it; raises what goes wrong, after stopping what was started."""
    with tempfile.TemporaryDirectory(prefix="afield-demo-") as place:
        console.print("[bold]Afield[/]: a service and an endpoint here, and a hundred tasks through them\n")
        began = time.perf_counter()
        options = UpOptions(data_dir=Path(place), port=0, amqp_port=0, announce=False)
        with running(options) as ready:
            console.print(f"  service   {ready.service_url}")
            console.print(f"  queues    {ready.broker_url}")
            console.print(f"  endpoint  {ready.endpoint_id}, {_processors()} worker processes")
            console.print(f"  up after  {time.perf_counter() - began:.1f} s\n")
            measured = _work(console, ready.service_url, ready.token, ready.endpoint_id)
        console.print()
        console.print(_table(measured))
    console.print("\nEverything is stopped again. Next:\n")
    console.print("  [bold]afield up[/]  keeps a service and an endpoint running; then, in another terminal:")
    console.print("  [bold]python -c[/] 'from afield import Executor; print(Executor().submit(pow, 2, 10).result())'")
    console.print("  docs/learn/first-task.md shows your first task step by step.")


def _work(console: Console, service_url: str, token: str, endpoint_id: str) -> Measured:
    from afield import Client, Executor

    columns = (TextColumn("  sequences"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    client = Client(service_url=service_url, token=token)
    with Executor(endpoint_id=endpoint_id, client=client) as ex, Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=THROUGH - FROM + 1)
        began = time.perf_counter()
        futures = [ex.submit(collatz, n) for n in range(FROM, THROUGH + 1)]
        first_s = 0.0
        for done in as_completed(list[Future[list[int]]](futures)):
            done.result()
            first_s = first_s or time.perf_counter() - began
            progress.advance(bar)
        return Measured([future.result() for future in futures], first_s, time.perf_counter() - began)


def _table(measured: Measured) -> Table:
    longest = max(measured.sequences, key=len)
    highest = max(measured.sequences, key=max)
    table = Table(show_header=False, box=None, padding=(0, 2))
    count = len(measured.sequences)
    table.add_row("sequences", f"{count}, of {FROM} to {THROUGH}")
    table.add_row("all end at 1", "yes" if all(found[-1] == 1 for found in measured.sequences) else "no (!)")
    table.add_row("longest", f"{longest[0]}, after {len(longest) - 1} steps")
    table.add_row("highest", f"{highest[0]}, up to {max(highest):,}")
    table.add_row("first result", f"{measured.first_s:.2f} s, with the start of the worker processes")
    table.add_row("all results", f"{measured.all_s:.2f} s")
    table.add_row("tasks per second", f"{(count - 1) / (measured.all_s - measured.first_s):,.0f}, once they run")
    return table


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
