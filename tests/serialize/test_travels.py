"""A script and what it defines: to a worker and back, in this Python, in the published worker, and in other Pythons."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from afield.serialize import ComputeSerializer


def _beside(name: str) -> Any:
    # These folders are no packages.
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


there = _beside("pythons")
SCRIPT, WORKER = "script_that_travels.py", "worker_program.py"
HERE = sys.version_info[:2]
PUBLISHED = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON", "")

#: what has no source that is certain to mean the same elsewhere, and why
REFUSED = {
    "decorated": "is decorated with adding",
    "closure": "five_times is a closure: it uses factor",
    "closure itself": "inner is a closure: it uses factor",
    "functions in a table": "DISPATCH, which it uses, cannot be sent",
    "a partial": "an object of type partial",
}

#: whose arguments are of the script: with other versions these hold code that only one version can read
OF_THE_SCRIPT = {"an instance", "an enum", "a function as argument", "a class back"}

#: which those of published workers take for others, for they read function and arguments one by one
KNOWN = {"a member of an enum that it knows", "objects of classes that it knows"}

#: which the dill of published workers cannot send back
NOT_BACK = {"annotations", "an enum", "instances back", "generic back"}


@cache
def calls_of(script: str, form: str) -> Any:
    """What a script sends; the same to all workers."""
    return there.run(script, SCRIPT, "write", form)


def journey(form: str, script: str, worker: str, *options: str) -> dict[str, str]:
    answers = there.run(worker, WORKER, *options, given=calls_of(script, form))
    found: dict[str, str] = there.run(script, SCRIPT, "read", given=answers)
    assert len(found) > 25
    return found


@pytest.mark.parametrize("form", ["DillCode", "AllCodeStrategies"])
def test_everything_in_a_script_works_elsewhere(form: str) -> None:
    found = journey(form, sys.executable, sys.executable)
    assert {name: text for name, text in found.items() if text != "right"} == {}


def test_source_that_needs_nothing_else_works_elsewhere_or_is_refused() -> None:
    found = journey("portable", sys.executable, sys.executable)
    others = {name: text for name, text in found.items() if text != "right"}
    assert others.keys() == REFUSED.keys()
    for name, reason in REFUSED.items():
        assert others[name].startswith("refused: ")
        assert reason in others[name]


@pytest.mark.skipif(
    not PUBLISHED, reason="AFIELD_TEST_PUBLISHED_PYTHON names no interpreter that has globus-compute-sdk"
)
@pytest.mark.skipif(HERE != (3, 11), reason="the published package is there for Python 3.11")
@pytest.mark.parametrize("form", ["DillCode", "AllCodeStrategies", "portable"])
def test_everything_in_a_script_works_on_a_published_worker(form: str) -> None:
    found = journey(form, sys.executable, PUBLISHED, "published")
    others = {name: text for name, text in found.items() if text != "right" and not text.startswith("refused: ")}
    # It gets there and runs; that worker cannot send an enum or a type variable of a script to anybody.
    assert others.keys() == NOT_BACK | KNOWN
    assert all("Data serialization strategy DillDataBase64 failed" in others[name] for name in NOT_BACK)
    assert all(others[name] == "wrong: False" for name in KNOWN)


PAIRS = [
    pytest.param(*pair, id="{0[0]}.{0[1]} to {1[0]}.{1[1]}".format(*pair)) for pair in permutations(there.pythons(), 2)
]


@pytest.mark.skipif(not PAIRS, reason=there.MISSING)
@pytest.mark.parametrize(("script", "worker"), PAIRS)
@pytest.mark.parametrize("form", ["DillCode", "AllCodeStrategies", "portable"])
def test_other_pythons_are_right_or_say_why(form: str, script: tuple[int, int], worker: tuple[int, int]) -> None:
    found = journey(form, there.pythons()[script], there.pythons()[worker])
    right = {name for name, text in found.items() if text == "right"}
    versions = [f"compiled by Python {script[0]}.{script[1]}.", f"this is Python {worker[0]}.{worker[1]}."]
    for name in found.keys() - right:
        refused = found[name].startswith("refused: ") and name in REFUSED
        assert refused or all(part in found[name] for part in versions), (name, found[name])
    if form == "DillCode":
        # What goes by name.
        assert right == {"of a module"}
    if form == "portable":
        assert right == found.keys() - REFUSED.keys() - OF_THE_SCRIPT


NEWER = """
class Box[T]:
    def __init__(self, value: T): self.value = value
    def get(self) -> T: return self.value
type Numbers = list[int]
def first[T: int](of: list[T], box: Box[T], numbers: Numbers) -> T:
    return [type(box) is Box, Box[int](of[0]).get(), str(Numbers.__value__)]

import json, sys
from afield.serialize import ComputeSerializer
serializer = ComputeSerializer()
parts = [serializer.serialize(each) for each in (first, ([3], Box(1), []), {})]
json.dump({"first": [serializer.pack_buffers(parts[:1]), serializer.pack_buffers(parts[1:])]}, sys.stdout)
"""


@pytest.mark.parametrize("python", [path for version, path in sorted(there.pythons().items()) if version >= (3, 12)])
def test_parameters_of_types_and_other_names_for_them_travel(python: str, tmp_path: Path) -> None:
    script = tmp_path / "newer.py"
    script.write_text(NEWER)
    (answer,) = there.run(python, WORKER, given=there.run(python, str(script))).values()
    assert answer["error"] is None, answer["data"]
    assert ComputeSerializer().deserialize(answer["data"]) == [True, 3, "list[int]"]
