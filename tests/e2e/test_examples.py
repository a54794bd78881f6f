"""Every example in the repository runs as a user would run it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_collatz(up):
    printed = up.run(sys.executable, str(EXAMPLES / "collatz/collatz.py")).stdout
    assert "100 sequences; the longest starts at 97 and has 119 steps" in printed
    assert "all end at 1: True" in printed
    assert len(printed.splitlines()) == 12


def test_failures(up):
    printed = up.run(sys.executable, str(EXAMPLES / "failures/failures.py")).stdout.splitlines()
    assert printed[0] == "caught as what it is: division by zero"
    assert printed[1] == "and a remote failure: True"
    assert "divide" in printed[2]
    assert printed[3].startswith("the worker died: ")
    assert "TypeError" in printed[4]
    assert printed[5] == "and the endpoint goes on: 2.0"


def test_reload(up):
    group = up.run(sys.executable, str(EXAMPLES / "reload/send.py")).stdout.strip()
    for _ in range(2):  # as often as wanted
        printed = up.run(sys.executable, str(EXAMPLES / "reload/collect.py"), group).stdout
        assert printed.strip() == str([x**3 for x in range(10)])


#: Examples for machine owners, and what runs them.
ELSEWHERE = {"engines": "engines/test_executor_examples.py", "machines": "engines/test_machine_examples.py"}


def test_every_example_has_a_test_and_a_page():
    directories = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert directories <= tested | set(ELSEWHERE)
    assert all((EXAMPLES.parent / "tests" / name).exists() for name in ELSEWHERE.values())
    index = (EXAMPLES / "README.md").read_text()
    for name in directories:
        assert (EXAMPLES / name / "README.md").exists()
        assert f"[{name}]({name}/)" in index
