"""From values to a table for people and a file for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.protocol import MEASURES
from benchmarks.runs import Measured, Settings

__all__ = ["machine", "show", "write"]


def machine() -> dict[str, Any]:
    """What these figures depend on, apart from the systems."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count()
    return {
        "cpu": model,
        "cores": cores,
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def show(console: Console, facts: dict[str, Any], found: Sequence[Measured], baseline: str) -> None:
    """The table, and under it what the machine was and what went wrong."""
    names = [name for name in MEASURES if any(name in each.values for each in found)]
    base = next((each for each in found if each.system.name == baseline and each.values), None)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("")
    for name in names:
        unit, more, _ = MEASURES[name]
        table.add_column(f"{name.replace('_', ' ')}\n{unit} {'↑' if more else '↓'}", justify="right")
    for each in found:
        table.add_row(each.system.title, *(_cell(name, each, base) for name in names))
    console.print(table)
    console.print("Medians, [dim](lowest-highest of all repetitions)[/]; ↑ more is better, ↓ less is better.")
    if base is not None:
        console.print(f"x: how many times better than {base.system.title}.")
    for each in found:
        if each.version:
            console.print(f"[dim]{each.system.title}: {each.version}[/]")
        if each.left:
            console.print(f"[yellow]{each.system.title} left processes running: {', '.join(sorted(each.left))}[/]")
        if each.failure:
            console.print(f"[red]{each.system.title} {each.failure}[/]")
    console.print(
        f"[dim]{facts['cores']} cores of {facts['cpu']}, {facts['memory_gb']} GB, {facts['system']}, "
        f"Python {facts['python']}; load {facts['load_before']} before, {facts['load_after']} after.[/]"
    )


def write(
    path: Path, facts: dict[str, Any], settings: Settings, found: Sequence[Measured], skipped: dict[str, str]
) -> None:
    """The same as JSON, with every single value."""
    measured = {
        each.system.name: {
            "title": each.system.title,
            "version": each.version,
            "failure": each.failure or None,
            "measures": {name: _summary(values) for name, values in each.values.items()},
        }
        for each in found
    }
    units = {
        name: {"unit": unit, "more_is_better": more, "what": what} for name, (unit, more, what) in MEASURES.items()
    }
    document = {
        "machine": facts,
        "settings": asdict(settings),
        "measures": units,
        "systems": measured,
        "skipped": skipped,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": list(values)}


def _cell(name: str, each: Measured, base: Measured | None) -> str:
    values = each.values.get(name)
    if not values:
        return "-"
    median = statistics.median(values)
    lines = [f"[bold]{_short(median)}[/]"]
    if base is not None and base.values.get(name) and each is not base:
        reference = statistics.median(base.values[name])
        over, under = (median, reference) if MEASURES[name][1] else (reference, median)
        if under:
            lines[0] += f" {over / under:.3g}x"
    if len(values) > 1:
        lines.append(f"[dim]({_short(min(values))}-{_short(max(values))})[/]")
    return "\n".join(lines)


def _short(value: float) -> str:
    """Three digits that count; more would be noise."""
    if value >= 100:
        return f"{round(value, 2 - len(str(int(value))) + 1):,.0f}".replace(",", " ")
    return f"{value:.3g}"
