"""The published package at the other end: from files that it made, and from itself where it is installed."""

import base64
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from afield.errors import DeserializationError
from afield.serialize import (
    AllCodeStrategies,
    AllDataStrategies,
    CombinedCode,
    ComputeSerializer,
    DillCode,
    DillCodeSource,
    DillCodeTextInspect,
    DillDataBase64,
    JSONData,
    PureSourceDill,
    PureSourceTextInspect,
    SerializationStrategy,
)

GOLDEN = Path(__file__).parents[1] / "golden"
PYTHON = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON", "")
with_published = pytest.mark.skipif(
    not PYTHON, reason="AFIELD_TEST_PUBLISHED_PYTHON names no interpreter that has globus-compute-sdk"
)
SOURCE = [DillCodeSource, DillCodeTextInspect, PureSourceDill, PureSourceTextInspect]
CODE = [*SOURCE, DillCode, CombinedCode, AllCodeStrategies]

#: the files hold functions that Python 3.11 compiled
same_python = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the golden files were made by Python 3.11")


def golden(name: str) -> str:
    return (GOLDEN / "serialized" / f"{name}.txt").read_bytes().decode()


@pytest.fixture(scope="module")
def made() -> Any:
    """The module that says what is in the files."""
    spec = importlib.util.spec_from_file_location("make_serialized", GOLDEN / "make_serialized.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("strategy", [*SOURCE, CombinedCode, AllCodeStrategies])
def test_functions_of_the_published_package_are_read(strategy: type[SerializationStrategy]) -> None:
    assert ComputeSerializer().deserialize(golden(strategy.__name__))(1, y=3) == "1:3é"


@same_python
def test_compiled_functions_of_the_published_package_are_read() -> None:
    assert ComputeSerializer().deserialize(golden("DillCode"))(1) == "1:2é"


@pytest.mark.skipif(sys.version_info[:2] == (3, 11), reason="needs another Python than the golden files were made by")
def test_functions_that_another_python_compiled_are_refused_instead_of_run() -> None:
    with pytest.raises(DeserializationError, match=r"compiled by another version of Python.*AllCodeStrategies"):
        ComputeSerializer().deserialize(golden("DillCode"))


def test_data_of_the_published_package_is_read(made: Any) -> None:
    assert ComputeSerializer().deserialize(golden("DillDataBase64")) == made.VALUE
    assert ComputeSerializer().deserialize(golden("JSONData")) == made.PLAIN
    assert ComputeSerializer().deserialize(golden("AllDataStrategies")) == made.PLAIN
    assert ComputeSerializer().deserialize(golden("PickleCode")) is base64.b64encode


def test_a_task_of_the_published_package_is_read(made: Any) -> None:
    function, args, kwargs = ComputeSerializer().unpack_and_deserialize(golden("task_buffer"))
    assert (args, kwargs) == (made.ARGS, made.KWARGS)
    assert function(*args, **kwargs) == "3:éé"


@pytest.mark.parametrize("strategy", SOURCE)
def test_source_is_written_as_the_published_package_writes_it(strategy: type[SerializationStrategy], made: Any) -> None:
    assert strategy().serialize(made.combine) == golden(strategy.__name__)


def test_data_is_written_as_the_published_package_writes_it(made: Any) -> None:
    assert DillDataBase64().serialize(made.VALUE) == golden("DillDataBase64")
    assert JSONData().serialize(made.PLAIN) == golden("JSONData")
    assert AllDataStrategies().serialize(made.PLAIN) == golden("AllDataStrategies")


def test_packed_lists_and_tasks_are_written_as_the_published_package_writes_them(made: Any) -> None:
    serializer = ComputeSerializer(strategy_code=PureSourceTextInspect)
    parts = [serializer.serialize(part) for part in (made.combine, made.ARGS, made.KWARGS)]
    assert serializer.pack_buffers(parts) == golden("task_buffer")
    buffers = ["", "é", "11\n[1]", "𝄞\n\n", "3\nabc"]
    assert serializer.pack_buffers(buffers) == golden("packed_buffers")
    assert serializer.unpack_buffers(golden("packed_buffers")) == buffers


Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Ask the published package something."""
    command = [PYTHON, str(Path(__file__).with_name("published_serializer.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def question(do: str, **rest: object) -> dict[str, Any]:
            process.stdin.write(json.dumps({"do": do, **rest}) + "\n")
            process.stdin.flush()
            reply: dict[str, Any] = json.loads(process.stdout.readline())
            return reply

        yield question
        process.stdin.close()
    assert process.returncode == 0


#: a script that sends a function, a class and an instance of it, as its user would
SCRIPT = """
import sys
from afield.serialize import ComputeSerializer, {strategy}

class Point:
    def __init__(self, x):
        self.x = x
    def __repr__(self):
        return f"Point({{self.x}})"

def norm(point, scale=2):
    return abs(point.x) * scale

serializer = ComputeSerializer(strategy_code={strategy})
print(serializer.pack_buffers([serializer.serialize(norm), serializer.serialize(Point(-3))]))
"""


@with_published
@pytest.mark.parametrize("strategy", CODE)
def test_the_published_package_reads_our_functions(ask: Ask, strategy: type[SerializationStrategy], made: Any) -> None:
    if strategy in (DillCode, CombinedCode, AllCodeStrategies) and sys.version_info[:2] != (3, 11):
        pytest.skip("compiled functions need the same version of Python at both ends")
    # Of no importable module, so that it goes by value.
    payload = strategy().serialize(made.combine)
    assert ask("call", payload=payload, args=["é"]) == {"repr": repr("é:2é")}


@with_published
@pytest.mark.parametrize("strategy", CODE)
def test_we_read_functions_of_the_published_package(ask: Ask, strategy: type[SerializationStrategy]) -> None:
    payload = ask("write", strategy=strategy.__name__, function=True)["payload"]
    try:
        assert ComputeSerializer().deserialize(payload)(21) == 42
    except DeserializationError:
        assert strategy is DillCode
        assert sys.version_info[:2] != (3, 11)


@with_published
@pytest.mark.parametrize("strategy", ["DillDataBase64", "JSONData", "AllDataStrategies"])
def test_data_goes_both_ways(ask: Ask, strategy: str) -> None:
    value = [1, "Ärger ☃ 𝄞", {"k": [None, True, 2.5]}, "x" * 1000]
    payload = ask("write", strategy=strategy, value=repr(value))["payload"]
    assert ComputeSerializer().deserialize(payload) == value
    assert ComputeSerializer(strategy_data=f"afield.serialize.{strategy}").serialize(value) == payload
    assert ask("read", payload=payload) == {"repr": repr(value)}


@with_published
def test_large_data_is_read_though_it_is_in_one_line(ask: Ask) -> None:
    payload = DillDataBase64().serialize(b"\x00\xff" * 100_000)
    assert payload.count("\n") == 2
    assert ask("read", payload=payload) == {"repr": repr(b"\x00\xff" * 100_000)}


@with_published
@same_python
def test_a_script_of_ours_sends_its_own_function_and_class_to_the_published_package(ask: Ask, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(strategy="DillCode"))
    done = subprocess.run([sys.executable, script], capture_output=True, check=True, text=True)
    function, point = ComputeSerializer.unpack_buffers(done.stdout[:-1])
    assert ask("read", payload=point) == {"repr": "Point(-3)"}
    assert "function norm" in ask("read", payload=function)["repr"]
