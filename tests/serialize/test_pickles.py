"""Pickles by C and by dill: which of them writes, and that what it wrote means the same elsewhere."""

import argparse
import ast
import asyncio.base_events
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import operator
import pickle
import pickletools
import statistics
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import dill
import pytest

from afield.errors import DeserializationError
from afield.serialize.foreign import _is_foreign
from afield.serialize.pickles import dumps, loads


@dataclasses.dataclass
class Point:
    x: int


class Colour(enum.Enum):
    RED = 1


CYCLE: list[Any] = [1]
CYCLE.append({"me": CYCLE})

VALUES = [
    (1, "a", b"b", None, 2.5, {"k": [1, {2}]}),
    Point(3),
    Colour.RED,
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    decimal.Decimal("1.5"),
    functools.partial(operator.add, 1),
    "just the text __main__ and dill and __builtin__",
    len,
    Point,
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_dill_reads_what_we_write_and_we_read_what_dill_and_pickle_write(value: Any) -> None:
    alike = repr if isinstance(value, functools.partial) else (lambda found: found)
    assert alike(dill.loads(dumps(value))) == alike(value)
    assert alike(loads(dill.dumps(value))) == alike(value)
    assert alike(loads(pickle.dumps(value))) == alike(value)
    assert alike(loads(dumps(value))) == alike(value)


def test_objects_that_hold_themselves_come_back() -> None:
    again = loads(dumps(CYCLE))
    assert again[1]["me"] is again


@pytest.mark.parametrize("value", [(1, "abc", {"k": [2.5, None]}), Point(1), len, {"x": Colour.RED}], ids=str)
def test_what_pickle_can_say_is_spelled_as_dill_spells_it(value: Any) -> None:
    assert dumps(value) == dill.dumps(value)


def test_simple_values_and_importable_functions_need_no_dill(tmp_path: Path) -> None:
    program = """
import sys, json
from afield.serialize import ComputeSerializer
serializer = ComputeSerializer()
function, args, kwargs = serializer.check_strategies(json.dumps, [1, "a"], indent=1)
assert function(*args, **kwargs).startswith("[")
assert "dill" not in sys.modules
assert not {"aiohttp", "pika", "asyncio", "logging"} & set(sys.modules)
serializer.check_strategies(lambda: 1)
assert "dill" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


SENDER = """
import sys
from afield.serialize.pickles import dumps

class Base:
    kind = "base"

class Point(Base):
    def __init__(self, x):
        self.x = x
    def twice(self):
        return double(self.x)

def double(x):
    return x * 2

class Holder:
    def __init__(self, thing):
        self.thing = thing

if __name__ == "__main__":
    sys.stdout.buffer.write(dumps({values}))
"""

READER = """
import sys
from afield.serialize.pickles import loads
found = loads(sys.stdin.buffer.read())
assert "Point" not in globals()
print({shown})
"""


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ("Point(3)", "found.x, found.kind, type(found).__name__"),
        ("[1, {'deep': (Point(3),)}]", "found[1]['deep'][0].x, 'base', 'Point'"),
        ("double", "found(1) + 1, 'base', 'Point'"),
        ("Holder(double)", "found.thing(1) + 1, 'base', 'Point'"),
        ("Point", "found(3).x, found.kind, found.__name__"),
        ("[Holder(lambda: 3)]", "found[0].thing(), 'base', 'Point'"),
    ],
)
def test_what_a_script_defines_travels_along(values: str, shown: str, tmp_path: Path) -> None:
    sender, reader = tmp_path / "sender.py", tmp_path / "reader.py"
    sender.write_text(SENDER.replace("{values}", values))
    reader.write_text(READER.replace("{shown}", shown))
    sent = subprocess.run([sys.executable, sender], capture_output=True, check=True).stdout
    read = subprocess.run([sys.executable, reader], input=sent, capture_output=True, check=True)
    assert read.stdout.decode() == "3 base Point\n"


def test_an_instance_that_comes_back_is_of_the_scripts_own_class(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    program = "from afield.serialize.pickles import dumps, loads\n"
    program += "class Point: pass\n"
    program += "assert type(loads(dumps(Point()))) is Point\n"
    script.write_text(program)
    subprocess.run([sys.executable, script], check=True)


def codes_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_of(constant)


@pytest.mark.parametrize(
    "module", [argparse, ast, asyncio.base_events, dataclasses, functools, statistics, typing], ids=str
)
def test_no_byte_code_of_this_python_is_called_foreign(module: ModuleType) -> None:
    assert module.__file__ is not None
    whole = compile(Path(module.__file__).read_text(), module.__file__, "exec")
    assert [code.co_qualname for code in codes_of(whole) if _is_foreign(code.co_code)] == []


#: ``def f(x): return str(len(x)) + x.name`` as each version of Python compiles it
BY = {
    (3, 11): bytes.fromhex(
        "97007401000000000000000000007403000000000000000000007c00a6010000ab010000000000000000a6010000ab0100000000000000007c006a0200000000000000007a0000005300"
    ),
    (3, 12): bytes.fromhex(
        "970074010000000000000000740300000000000000007c00ab01000000000000ab010000000000007c006a040000000000000000000000000000000000007a0000005300"
    ),
    (3, 13): bytes.fromhex(
        "95005b0100000000000000005b030000000000000000550035010000000000003501000000000000550052040000000000000000000000000000000000002d0000002400"
    ),
}


@pytest.mark.parametrize("version", BY)
def test_byte_code_of_other_pythons_is_called_foreign(version: tuple[int, int]) -> None:
    assert _is_foreign(BY[version]) is (version != sys.version_info[:2])


def test_a_function_with_foreign_byte_code_is_refused_before_it_can_run() -> None:
    made = dill.dumps(lambda: 1)
    code = (lambda: 1).__code__.co_code
    assert made.count(code) == 1
    with pytest.raises(DeserializationError, match="compiled by another version of Python"):
        loads(made.replace(code, b"d\x00" * (len(code) // 2)))


def test_the_old_names_of_dill_are_understood() -> None:
    old = b"c__builtin__\nNoneType\n."
    assert loads(old) is type(None)
    assert loads(b"cdill.dill\n_import_module\n.") is dill._dill._import_module


def test_pickles_keep_the_protocol_that_every_supported_python_reads() -> None:
    opcodes = [opcode.name for opcode, _, _ in pickletools.genops(dumps([1]))]
    assert opcodes[0] == "PROTO"
    assert dumps([1])[1] <= 5
