"""Our GlobusComputeEngine beside the published one: ``python -m benchmarks --htex``.

Both run on Parsl's HighThroughputExecutor with one block of workers on this machine and with the settings that they
come with, encryption included. Each is fed directly, without a service, in an interpreter of its own: see ``ours`` and
``published``. Every result is compared with what was sent.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.places import BUILD, ROOT, published_python

__all__ = ["show"]

_PATIENCE_S: Final = 600
#: What each run says, and how it is written.
_FIGURES: Final = {
    "throughput": ("tasks/s", "{:,.0f}"),
    "latency_p50": ("one alone, ms", "{:.1f}"),
    "cold": ("first result, s", "{:.1f}"),
}


def show(console: Console, *, tasks: int, calls: int, repetitions: int) -> int:
    """Measure both in turns, and print a table. Returns the exit status."""
    with console.status("looking for the published endpoint"):
        published = published_python()
    found: dict[str, list[dict[str, Any]]] = {}
    for repetition in range(repetitions):
        for title, python, module in (
            ("Afield", Path(sys.executable), "benchmarks.htex.ours"),
            ("published", published, "benchmarks.htex.published"),
        ):
            with console.status(f"{title}, {repetition + 1} of {repetitions}"):
                found.setdefault(title, []).append(_run(python, module, tasks, calls))
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in ("", *(unit for unit, _ in _FIGURES.values()), "version"):
        table.add_column(heading, justify="right" if heading else "left")
    for title, runs in found.items():
        cells = [_cell([run[name] for run in runs], form) for name, (_, form) in _FIGURES.items()]
        table.add_row(title, *cells, runs[0]["version"])
    console.print(table)
    ours, theirs = (statistics.median(run["throughput"] for run in found[title]) for title in ("Afield", "published"))
    console.print(f"{ours / theirs:.1f} times the throughput, {tasks} calls of a function that does nothing")
    return 0


def _run(python: Path, module: str, tasks: int, calls: int) -> dict[str, Any]:
    """One of them, in a process of its own."""
    log = BUILD / "logs" / f"{module}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
    }
    with log.open("w") as errors:
        done = subprocess.run(
            [str(python), "-m", module, str(tasks), str(calls)],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            timeout=_PATIENCE_S, check=False, text=True,
        )  # fmt: skip
    if done.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise SystemExit(f"{module} ended with {done.returncode}: {''.join(last)[:300]} (all of it: {log})")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _cell(values: list[float], form: str) -> str:
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))} to {form.format(max(values))})"
