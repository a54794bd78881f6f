"""``python tests/other_pythons.py FOLDER``: an environment with Afield for each other minor version of Python here.

Tests between versions find them by the variable that this prints. Where an environment cannot be made, it is said and
left out, and those tests skip.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which

ROOT = Path(__file__).parents[1]
NEWEST = 14


def main(folder: Path) -> int:
    """Make what is missing; print one line for the shell."""
    made = []
    for minor in range(11, NEWEST + 1):
        if minor == sys.version_info.minor:
            continue
        python = next(filter(_works, _candidates(minor)), None)
        if python is not None and (inside := _environment(python, folder / f"3.{minor}")):
            made.append(inside)
    print(os.pathsep.join(made))
    return 0


def _candidates(minor: int) -> Iterator[str]:
    if found := which(f"python3.{minor}"):
        yield found
    # Where pyenv keeps several, those that were not chosen are not on PATH.
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from map(str, sorted(versions.glob(f"3.{minor}.*/bin/python"), reverse=True))


def _works(python: str) -> bool:
    return subprocess.run([python, "-c", "import venv, ssl"], capture_output=True).returncode == 0


def _environment(python: str, place: Path) -> str:
    inside = place / "bin" / "python"
    mark = place / ".ready"
    if mark.exists() and mark.stat().st_mtime >= (ROOT / "pyproject.toml").stat().st_mtime:
        return str(inside)
    print(f"Making an environment for {python} in {place} ...", file=sys.stderr)
    pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f"{ROOT}[all]"]
    for command in ([python, "-m", "venv", "--clear", str(place)], pip):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"It cannot be made, and tests with it are left out: {done.stderr[-500:]}", file=sys.stderr)
            return ""
    mark.touch()
    return str(inside)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
