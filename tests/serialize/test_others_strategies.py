"""Strategies of other packages: used by whoever has them, found by whoever must read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from afield.errors import DeserializationError, SerdeError
from afield.serialize import ComputeSerializer, JSONData, SerializationStrategy, import_path
from afield.serialize.selection import strategy_for
from afield.serialize.strategy import STRATEGIES

MODULE = '''
from afield.serialize import SerializationStrategy

class ReprData(SerializationStrategy):
    """Numbers by their text."""

    identifier = "rp\\n"
    for_code = False

    def serialize(self, data):
        return f"rp\\n{data!r}"

    def deserialize(self, payload):
        return eval(self.chomp(payload))
'''
ENTRY_POINTS = "[afield.strategies]\nrepr = theirs_strategies:ReprData\n"


@pytest.fixture
def table() -> Iterator[None]:
    """Leaves the table as it was."""
    before = dict(STRATEGIES)
    yield
    STRATEGIES.clear()
    STRATEGIES.update(before)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with an installed package that has a strategy."""
    (tmp_path / "theirs_strategies.py").write_text(MODULE)
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def run(program: str, folder: Path | None = None) -> str:
    environment = dict(os.environ)
    if folder is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), environment.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Scaled(SerializationStrategy):
    """Whole numbers, written larger than they are."""

    identifier = "sc\n"
    for_code = False

    def __init__(self, factor: int = 10) -> None:
        self.factor = factor

    def serialize(self, data: Any) -> str:
        return f"{self.identifier}{self.factor}:{data * self.factor}"

    def deserialize(self, payload: str) -> Any:
        factor, _, number = self.chomp(payload).partition(":")
        return int(number) // int(factor)


@pytest.mark.usefixtures("table")
def test_one_is_used_as_class_instance_or_path_and_read_by_everybody_here() -> None:
    assert ComputeSerializer(strategy_data=Scaled).serialize(3) == "sc\n10:30"
    # An instance that was made otherwise is the one that writes.
    assert ComputeSerializer(strategy_data=Scaled(7)).serialize(3) == "sc\n7:21"
    assert ComputeSerializer().deserialize("sc\n7:21") == 3
    assert ComputeSerializer.serialize_from_list(3, [Scaled]) == "sc\n10:30"


@pytest.mark.usefixtures("table")
def test_one_is_registered_by_a_decorator() -> None:
    assert SerializationStrategy.register(Scaled) is Scaled
    assert ComputeSerializer().deserialize("sc\n7:21") == 3


def test_what_is_not_here_is_told_with_what_to_do() -> None:
    with pytest.raises(DeserializationError, match=r"begins with 'sc\\n'.*an entry point in the group"):
        ComputeSerializer().deserialize("sc\n7:21")


@pytest.mark.usefixtures("table")
def test_two_cannot_have_one_identifier() -> None:
    taken = type("Taken", (Scaled,), {"identifier": "11\n"})
    with pytest.raises(SerdeError, match=r"Taken and afield\.serialize\.data\.JSONData have the same identifier, '11'"):
        strategy_for(taken)
    assert type(STRATEGIES["11\n"]) is JSONData


@pytest.mark.usefixtures("table")
def test_a_cell_that_runs_again_replaces_what_it_defined() -> None:
    first, second = (type("Scaled", (Scaled,), {"identifier": "sc\n"}) for _ in range(2))
    strategy_for(first)
    strategy_for(second)
    assert type(STRATEGIES["sc\n"]) is second


def test_what_cannot_be_one_is_told() -> None:
    abstract = type("Half", (SerializationStrategy,), {"identifier": "hf\n", "for_code": False})
    with pytest.raises(SerdeError, match=r"Half cannot be a strategy: .*abstract.* Readers make it without arguments"):
        strategy_for(abstract)
    with pytest.raises(SerdeError, match="should set identifier and for_code"):
        strategy_for(SerializationStrategy)
    assert "hf\n" not in STRATEGIES


def test_a_reader_finds_an_installed_one_by_its_identifier(package: Path) -> None:
    program = "from afield.serialize import *; print(ComputeSerializer().deserialize('rp\\n[1, (2,)]'))"
    assert run(program, package) == "[1, (2,)]\n"


def test_a_worker_finds_one_by_the_path_that_was_asked_for(package: Path) -> None:
    program = (
        "from afield.serialize import *; from afield.serialize.selection import strategy_for\n"
        "path = import_path('theirs_strategies.ReprData'); print(path)\n"
        "print(repr(ComputeSerializer.serialize_from_list((1, 2), [path])))\n"
        "print(ComputeSerializer(allowed_deserializer_types=['afield.*Code', path]).deserialize('rp\\n1'))\n"
    )
    assert run(program, package) == "theirs_strategies.ReprData\n'rp\\n(1, 2)'\n1\n"


def test_one_that_is_not_installed_where_it_is_named_is_told() -> None:
    with pytest.raises(SerdeError, match=r"'theirs_strategies\.ReprData' cannot be imported here.*at both ends"):
        strategy_for("theirs_strategies.ReprData")


def test_a_broken_package_does_not_hide_what_is_wrong(package: Path) -> None:
    (package / "theirs_strategies.py").write_text("raise LookupError('broken')")
    program = (
        "import warnings\nfrom afield.serialize import *\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "  warnings.simplefilter('always')\n"
        "  try: ComputeSerializer().deserialize('rp\\n1')\n"
        "  except DeserializationError as error: print(str(error).partition(',')[0])\n"
        "print(caught[0].message)\n"
    )
    assert run(program, package) == (
        "this value begins with 'rp\\n'\nthe serialization strategy theirs_strategies:ReprData cannot be used: broken\n"
    )


def test_one_in_the_script_has_no_path_for_others() -> None:
    program = (
        "from afield.serialize import *\nclass Mine(JSONData): identifier = 'my\\n'\n"
        "try: import_path(Mine)\nexcept SerdeError as error: print(error)\n"
    )
    assert "Mine cannot be imported elsewhere: move it from __main__ to the top of a module" in run(program)


@pytest.mark.usefixtures("table")
def test_a_wildcard_allows_those_that_everybody_has() -> None:
    strategy_for(Scaled)
    serializer = ComputeSerializer(allowed_deserializer_types=["afield.*Code", "afield.*Data"])
    with pytest.raises(DeserializationError, match="Scaled is disabled by the configuration of this endpoint"):
        serializer.deserialize("sc\n7:21")
    assert import_path("afield.serialize.JSONData") == "globus_compute_sdk.serialize.concretes.JSONData"
