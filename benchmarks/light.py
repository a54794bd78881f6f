"""What the client costs before it has done anything: what is installed, and what an import takes.

``python -m benchmarks --light`` makes a fresh environment for each of the two, below build/bench, and looks into it.
"""

from __future__ import annotations

import statistics
import subprocess
import venv
from pathlib import Path
from typing import Any, Final

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.places import BUILD, ROOT

__all__ = ["show"]

_REPEATED: Final = 15

#: what is installed, and the two ways to import it
_CLIENTS: Final = {
    "Afield": ("light-afield", str(ROOT), "import afield", "from afield import Executor"),
    "published SDK": (
        "light-published",
        "globus-compute-sdk==4.19.0",
        "import globus_compute_sdk",
        "from globus_compute_sdk import Executor",
    ),
}

#: Imports something, and says how many modules and seconds that took.
_LOOK: Final = """
import sys, time
before, began = len(sys.modules), time.perf_counter()
exec(sys.argv[1])
print(f'{{"modules": {len(sys.modules) - before}, "ms": {(time.perf_counter() - began) * 1e3}}}')
"""


def show(console: Console) -> None:
    """Measure, and print a table."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for title in ("", "distributions", "MB", "compiled too", "import: ms", "modules", "Executor: ms", "modules"):
        table.add_column(title, justify="right" if title else "left")
    for title, (name, requirement, package, executor) in _CLIENTS.items():
        with console.status(f"installing {title} into an empty environment"):
            python = _environment(BUILD / name, requirement)
        packages, size, compiled = _installed(python)
        cells = [str(packages), f"{size / 1e6:.1f}", f"{compiled / 1e6:.1f}"]
        for statement in (package, executor):
            looks = [_look(python, statement) for _ in range(_REPEATED)]
            cells += [f"{statistics.median(each['ms'] for each in looks):.0f}", str(looks[0]["modules"])]
        table.add_row(title, *cells)
    console.print(table)
    console.print(
        f"Times are medians of {_REPEATED} fresh processes. MB are all files that were installed, compiled too."
    )


def _environment(place: Path, requirement: str) -> Path:
    venv.create(place, with_pip=True, clear=True)
    python = place / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    subprocess.run(command, check=True)
    return python


def _installed(python: Path) -> tuple[int, int, int]:
    """How many distributions beside pip, and how many bytes they take, without and with what pip compiles."""
    code = (
        "import importlib.metadata as m, sysconfig\n"
        "from pathlib import Path\n"
        "brought = ('pip', 'setuptools', 'pkg_resources', '_distutils_hack', 'distutils-precedence.pth')\n"
        "names = [d for d in m.distributions() if not d.name.startswith(brought)]\n"
        "place = Path(sysconfig.get_path('purelib'))\n"
        "files = [f for top in place.iterdir() if not top.name.startswith(brought)\n"
        "         for f in ([top] if top.is_file() else top.rglob('*')) if f.is_file()]\n"
        "size = lambda files: sum(f.stat().st_size for f in files)\n"
        "print(len(names), size(f for f in files if f.suffix != '.pyc'), size(files))\n"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    count, size, compiled = map(int, done.stdout.split())
    return count, size, compiled


def _look(python: Path, statement: str) -> dict[str, Any]:
    done = subprocess.run([str(python), "-P", "-c", _LOOK, statement], capture_output=True, check=True)
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found
