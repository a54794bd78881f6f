"""The interpreters that are there to be tested with one another."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from shutil import which
from typing import Any

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"

#: paths of interpreters that can import dill, msgspec and tblib, separated as in PATH
VARIABLE = "AFIELD_TEST_PYTHONS"

MISSING = (
    f"only one minor version of Python is here: name others in {VARIABLE}, or have python3.12 or the like on PATH, "
    "with dill, msgspec and tblib installed"
)


@cache
def pythons() -> dict[tuple[int, int], str]:
    """Interpreters by minor version; this one is among them."""
    found = {sys.version_info[:2]: sys.executable}
    for path in _candidates():
        probe = "import sys, dill, msgspec, tblib; print(*sys.version_info[:2])"
        done = subprocess.run([path, "-c", probe], capture_output=True, text=True)
        if done.returncode == 0:
            major, minor = map(int, done.stdout.split())
            found.setdefault((major, minor), path)
    return found


def _candidates() -> Iterator[str]:
    yield from filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))
    for minor in range(11, 15):
        if path := which(f"python3.{minor}"):
            yield path


def run(python: str, program: str, *arguments: str, given: Any = None) -> Any:
    """What a program of this folder answers; its death by a signal is an error."""
    command = [python, "-X", "faulthandler", str(HERE / program), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUTF8": "1"}
    text = None if given is None else json.dumps(given)
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{program} ended with {done.returncode}:\n{done.stderr}"
    return json.loads(done.stdout)
