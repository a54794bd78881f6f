"""Where the systems live: an interpreter for each peer under ``build/bench``, and how it gets there."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import benchmarks.peers

__all__ = ["BUILD", "ROOT", "System", "install", "systems"]

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"


@dataclass(frozen=True, slots=True)
class System:
    """One thing to measure.

    :param name: of its file in ``benchmarks/peers``
    :param title: for people
    :param requires: what its interpreter needs; empty: ours has it
    """

    name: str
    title: str
    requires: tuple[str, ...]

    @property
    def interpreter(self) -> Path:
        """The Python that runs it."""
        return BUILD / self.name / "bin" / "python" if self.requires else Path(sys.executable)

    @property
    def installed(self) -> bool:
        """Whether that interpreter is there and complete (the mark is made last)."""
        return not self.requires or (BUILD / self.name / ".ready").exists()


def systems() -> dict[str, System]:
    """All there are, by name; Afield first, then in alphabetical order."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.peers.__path__)]
    found = {}
    for name in sorted(names, key=lambda name: (name != "afield", name)):
        module = importlib.import_module(f"benchmarks.peers.{name}")
        found[name] = System(name, module.TITLE, module.REQUIRES)
    return found


def install(system: System) -> None:
    """Make an environment for a peer. One that is there is brought up to date.

    :raises subprocess.CalledProcessError: when pip cannot; it has said why
    """
    if not system.requires:
        return
    venv.create(BUILD / system.name, with_pip=True)
    pip = [str(system.interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    subprocess.run([*pip, *system.requires], check=True)
    (BUILD / system.name / ".ready").touch()
