"""Runs systems in turn, A B C A B C, each repetition in fresh processes, so that a noisy minute hits them all."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.places import BUILD, ROOT, System
from benchmarks.processes import adopt_orphans, end_all, running

__all__ = ["Measured", "Settings", "measure"]

#: What a repetition may take before it is ended; the slowest peer needs about a minute for a full one.
PATIENCE_S = 600


@dataclass(frozen=True, slots=True)
class Settings:
    """How much of everything."""

    repetitions: int = 3
    workers: int = 2
    tasks: int = 10_000
    calls: int = 300
    transfers: int = 100
    only: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """For :func:`benchmarks.protocol.main`."""
        counts = {"workers": self.workers, "tasks": self.tasks, "calls": self.calls, "transfers": self.transfers}
        only = ["--only", *self.only] if self.only else []
        return [*(part for name, count in counts.items() for part in (f"--{name}", str(count))), *only]


@dataclass(slots=True)
class Measured:
    """What is known of one system."""

    system: System
    version: str = ""
    #: measure -> one value per repetition
    values: dict[str, list[float]] = field(default_factory=dict)
    #: what went wrong, if something did; the values so far stay
    failure: str = ""
    #: processes that were still there after it had stopped, and had to be ended
    left: set[str] = field(default_factory=set)


def measure(chosen: Sequence[System], settings: Settings, tell: Callable[[str], None]) -> list[Measured]:
    """Run all repetitions of all systems.

    :param tell: is told what comes next, in a few words
    """
    adopt_orphans()
    found = [Measured(system) for system in chosen]
    for repetition in range(settings.repetitions):
        for each in found:
            if not each.failure:
                tell(f"{each.system.title}, repetition {repetition + 1} of {settings.repetitions}")
                _repetition(each, settings)
    return found


def _repetition(measured: Measured, settings: Settings) -> None:
    log = BUILD / "logs" / f"{measured.system.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as errors, _process(measured, settings, errors.fileno()) as process:
        assert process.stdout is not None
        try:
            # A repetition prints a dozen short lines, which fit a pipe, so nobody has to read along.
            said, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            measured.failure = f"gave up after {PATIENCE_S} s; see {log}"
            return
    for line in said.splitlines():
        _take(measured, json.loads(line))
    if process.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        measured.failure = f"ended with {process.returncode}: {''.join(last)[:200]} (all of it: {log})"


def _take(measured: Measured, line: dict[str, object]) -> None:
    match line:
        case {"measure": str(name), "value": float(value) | int(value)}:
            measured.values.setdefault(name, []).append(float(value))
        case {"fact": "version", "value": str(version)}:
            measured.version = version
        case _:
            measured.failure = f"said something unknown: {line}"


@contextmanager
def _process(measured: Measured, settings: Settings, errors: int) -> Iterator[subprocess.Popen[str]]:
    """One repetition's process. Whatever is left of it afterwards is ended."""
    system = measured.system
    module = system.module or f"benchmarks.peers.{system.name}"
    command = [str(system.interpreter), "-m", module, *settings.arguments()]
    before = running()
    with subprocess.Popen(
        [*command, "--born", str(time.monotonic_ns())],
        cwd=ROOT,
        env=_environment(system),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            measured.left.update(end_all(before))


def _environment(system: System) -> dict[str, str]:
    """Ours, with the system's own commands first and this package for its workers."""
    path = os.pathsep.join([str(Path(system.interpreter).parent), os.environ.get("PATH", "")])
    others = ("AFIELD_", "GLOBUS_", "RAY_", "DASK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return kept | {"PATH": path, "PYTHONPATH": str(ROOT)} | dict(system.environment)
