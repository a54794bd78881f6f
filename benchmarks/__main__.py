"""``python -m benchmarks``: Afield beside its peers, in one run. See benchmarks/README.md."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.places import System, install, systems
from benchmarks.protocol import MEASURES
from benchmarks.runs import Settings, measure

#: For a look, not for a figure: about ten seconds a system.
QUICK = {"repetitions": 1, "tasks": 2000, "calls": 100, "transfers": 20}


def main() -> int:
    """Read the command line and do what it says; the exit status."""
    known = systems()
    options = _parser(list(known)).parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    if options.install:
        for name in options.install:
            console.print(f"installing {', '.join(known[name].requires) or 'nothing'} for {known[name].title} ...")
            install(known[name])
        return 0
    if options.light:
        from benchmarks import light

        light.show(console)
        return 0
    if options.breakdown:
        from benchmarks.breakdown import table

        table.show(console, quick=options.quick)
        return 0
    if options.service:
        from benchmarks import service

        return service.show(
            console, tasks=options.tasks or 20_000, repetitions=options.repetitions or (1 if options.quick else 3)
        )
    if options.htex:
        from benchmarks import htex

        return htex.show(
            console,
            tasks=options.tasks or (2000 if options.quick else 10_000),
            calls=options.calls or (30 if options.quick else 100),
            repetitions=options.repetitions or (1 if options.quick else 3),
        )
    if options.published:
        from benchmarks.side_by_side import table as side_by_side

        settings = side_by_side.chosen(
            repetitions=options.repetitions or (1 if options.quick else 3),
            tasks=options.tasks or 2000,
            calls=options.calls or (15 if options.quick else 42),
            workers=options.workers,
        )
        return side_by_side.show(console, settings=settings, json_file=options.json)
    return _compare(console, [known[name] for name in options.peers or known], options)


def _compare(console: Console, wanted: list[System], options: argparse.Namespace) -> int:
    chosen = [system for system in wanted if system.installed]
    skipped = {
        system.name: f"python -m benchmarks --install {system.name}" for system in wanted if not system.installed
    }
    for name, command in skipped.items():
        console.print(f"[yellow]{name} is not installed and is left out; to install it: {command}[/]")
    amounts = {name: getattr(options, name) for name in QUICK}
    amounts = {name: value or QUICK[name] for name, value in amounts.items() if value or options.quick}
    settings = Settings(workers=options.workers, only=tuple(options.only or ()), **amounts)
    facts = report.machine()
    with console.status("starting") as status:
        found = measure(chosen, settings, status.update)
    facts["load_after"] = round(os.getloadavg()[0], 2)
    report.show(console, facts, found, options.baseline)
    if options.json:
        report.write(options.json, facts, settings, found, skipped)
    return 1 if any(each.failure for each in found) else 0


def _parser(names: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Afield beside its peers.")
    parser.add_argument("--peers", nargs="+", choices=names, metavar="NAME", help=f"which systems: {', '.join(names)}")
    parser.add_argument(
        "--only", nargs="+", choices=list(MEASURES), metavar="MEASURE", help=f"which figures: {', '.join(MEASURES)}"
    )
    parser.add_argument(
        "--baseline", choices=names, default="parsl", help="what the ratios refer to (default: %(default)s)"
    )
    parser.add_argument(
        "--service", action="store_true", help="instead: what a service takes, embedded and in production mode"
    )
    parser.add_argument(
        "--published", action="store_true", help="instead: the published packages and ours, each whole, on one service"
    )
    parser.add_argument("--quick", action="store_true", help="once and little of everything: a look, not a figure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every value to this file")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of each system (default: %(default)s)")
    for name, what in {
        "repetitions": "how often everything is done",
        "tasks": "for the throughput",
        "calls": "for the latency",
        "transfers": "for the transfer",
    }.items():
        parser.add_argument(f"--{name}", type=int, help=what)
    parser.add_argument("--install", nargs="+", choices=names, metavar="NAME", help="make these systems' environments")
    parser.add_argument("--breakdown", action="store_true", help="instead: where the time of one of our tasks goes")
    parser.add_argument(
        "--htex", action="store_true", help="instead: the engine on Parsl, ours and the published one, fed directly"
    )
    parser.add_argument(
        "--light", action="store_true", help="instead: what the client alone costs to install and import"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
