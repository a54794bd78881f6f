"""From both packages to a table."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.places import published_python
from benchmarks.runs import Settings, measure
from benchmarks.side_by_side.site import side_by_side

__all__ = ["chosen", "show"]

#: Not measured: 1 MiB there and back, for a hundred together are more than their client may send at once.
_ONLY = ("throughput", "cpu", "latency_p50", "latency_p99", "cold", "memory_rss", "memory_pss")


def show(console: Console, *, settings: Settings, json_file: Path | None) -> int:
    """Measure both in turns, and print a table; the exit status."""
    with console.status("looking for the published packages"):
        python = published_python()
    facts = report.machine()
    with console.status("starting a service") as status, side_by_side(python) as systems:
        found = measure(systems, settings, status.update)
    facts["load_after"] = round(os.getloadavg()[0], 2)
    report.show(console, facts, found, "published")
    if json_file is not None:
        report.write(json_file, facts, settings, found, {})
    return 1 if any(each.failure for each in found) else 0


def chosen(*, repetitions: int, tasks: int, calls: int, workers: int) -> Settings:
    """How much of everything."""
    return Settings(repetitions, workers, tasks, calls, transfers=0, only=_ONLY)
