"""Where the systems live: an interpreter for each peer under ``build/bench``, and how it gets there."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import benchmarks.peers

__all__ = ["BUILD", "ROOT", "System", "install", "published_python", "systems"]

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"

_PUBLISHED = ("globus-compute-sdk==4.19.0", "globus-compute-endpoint==4.19.0")
#: What the tests ask too: a Python that has the published packages.
_VARIABLE = "AFIELD_TEST_PUBLISHED_PYTHON"


@dataclass(frozen=True, slots=True)
class System:
    """One thing to measure.

    :param name: of its file in ``benchmarks/peers``
    :param title: for people
    :param requires: what its interpreter needs; empty: ours has it
    :param module: that runs one repetition; empty: the file of that name
    :param python: that runs it, made by somebody else; None: ours, or one below build/bench
    :param environment: what else it is told
    """

    name: str
    title: str
    requires: tuple[str, ...] = ()
    module: str = ""
    python: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def interpreter(self) -> Path:
        """The Python that runs it."""
        if self.python is not None:
            return self.python
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


def published_python() -> Path:
    """An interpreter that has the published packages; made, if nobody says where there is one."""
    if given := os.environ.get(_VARIABLE):
        return Path(given)
    python = BUILD / "published-endpoint" / "bin" / "python"
    if not python.exists():
        venv.create(python.parents[1], with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *_PUBLISHED], check=True)
    return python
