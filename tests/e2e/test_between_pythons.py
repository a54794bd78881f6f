"""Programs and endpoints with different minor versions of Python: everything works, or is refused with both named."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .conftest import Up

pytestmark = pytest.mark.e2e

OTHERS = [path for path in os.environ.get("AFIELD_TEST_PYTHONS", "").split(os.pathsep) if path]

SCRIPT = """
import math
import sys
from dataclasses import dataclass

from afield import Client, Executor, ShellFunction, VersionMismatch

SCALE = 3

@dataclass
class Point:
    x: float
    y: float

def helper(x):
    return math.floor(x) * SCALE

def version_and(x):
    import sys
    return "%d.%d" % sys.version_info[:2], helper(x)

def hold(value):
    return value

def fail():
    raise ValueError("as it should be")

def adder(n):
    def add(x):
        return x + n
    return add

def refused(future):
    error = future.exception()
    print(type(error).__name__, all(version in str(error) for version in sys.argv[1:]))

with Executor() as ex:
    refused(ex.submit(adder(2), 1))
    refused(ex.submit(hold, lambda x: x))
    refused(ex.submit(hold, Point(1, 2)))
    print(*ex.submit(version_and, 2.5).result())
    print(ex.submit(math.hypot, 3, 4).result(), ex.submit(hold, {"a": [1, (2, b"3")], "b": {4.5}}).result())
    print(ex.submit(ShellFunction("echo {x}"), x="shell").result().stdout.strip())
    try:
        ex.submit(fail).result()
    except ValueError as error:
        print(error.args)
    print(list(ex.map(version_and, [1, 2]))[1][1], ex.submit(helper, 5.5).result())
    print(ex.submit(lambda x: x + SCALE, 4).result())

registered = Client().register_function(hold)
with Executor() as ex:
    error = ex.submit_to_registered_function(registered, (1,)).exception()
    print(type(error).__name__, all(version in str(error) for version in sys.argv[1:]))
"""


def minor(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


PAIRS = [pair for other in OTHERS for pair in ((sys.executable, other), (other, sys.executable))]


@pytest.mark.skipif(not OTHERS, reason="AFIELD_TEST_PYTHONS names no interpreter that has Afield")
@pytest.mark.parametrize(("client", "endpoint"), PAIRS, ids=minor)
def test_both_ways(tmp_path, client, endpoint):
    running = Up(tmp_path, tmp_path / "data", python=endpoint).start()
    try:
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        printed = running.run(client, str(script), minor(client), minor(endpoint)).stdout.splitlines()
    finally:
        running.interrupt()
    assert printed[:3] == ["VersionMismatch True"] * 3
    assert printed[3:] == [
        f"{minor(endpoint)} 6",
        "5.0 {'a': [1, (2, b'3')], 'b': {4.5}}",
        "shell",
        "('as it should be',)",
        "6 15",
        "7",
        "VersionMismatch True",
    ]
