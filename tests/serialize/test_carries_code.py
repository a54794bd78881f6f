"""Whether a payload holds compiled code: never no where there is some."""

from __future__ import annotations

import base64
import os
import random
from typing import Any

import dill
import pytest

from afield.errors import DeserializationError
from afield.serialize import (
    AllCodeStrategies,
    AllDataStrategies,
    ComputeSerializer,
    DillCode,
    DillDataBase64,
    PureSourceTextInspect,
    SerializationStrategy,
    carries_code,
)
from afield.serialize.buffers import pack_buffers
from afield.serialize.data import _spellings
from afield.serialize.pickles import CODE_MARK


def packed(value: Any, strategy: type[SerializationStrategy] = DillDataBase64) -> str:
    return pack_buffers([strategy().serialize((value,)), "11\n{}"])


def one() -> int:
    return 1


LAMBDA = lambda: 1  # noqa: E731
SCRIPT: dict[str, Any] = {"__name__": "__main__"}
exec("import enum\nclass Plain:\n def f(self): return 1\nclass Colour(enum.Enum): RED = 1\nclass Empty: pass\n", SCRIPT)


@pytest.mark.parametrize(
    "value",
    [LAMBDA, [{"deep": LAMBDA}], SCRIPT["Plain"], SCRIPT["Plain"]()],
    ids=["function", "deep", "class", "instance"],
)
@pytest.mark.parametrize("padding", [0, 1, 2, 80_000, 80_001, 80_002, 3_000_000])
@pytest.mark.parametrize("strategy", [DillDataBase64, AllDataStrategies])
def test_code_is_seen_wherever_it_is(value: Any, padding: int, strategy: type[SerializationStrategy]) -> None:
    assert carries_code(packed([b"x" * padding, value, "more"], strategy))


@pytest.mark.parametrize(
    "value",
    [1, "x" * 100_000, one, len, [SCRIPT["Colour"].RED], SCRIPT["Empty"]()],
    ids=["number", "text", "named function", "builtin", "enum", "instance without methods"],
)
def test_other_values_hold_none(value: Any) -> None:
    assert not carries_code(packed(value))


def test_large_plain_payloads_hold_none() -> None:
    assert not carries_code(packed(os.urandom(1_000_000)))
    assert not carries_code(packed([str(number) for number in range(200_000)]))
    assert not carries_code(packed({"text": "long" * 100_000}, AllDataStrategies))


def test_the_mark_is_found_in_base64_at_each_place() -> None:
    generator = random.Random(5)
    for _ in range(200):
        before, after = generator.randbytes(generator.randrange(40)), generator.randbytes(generator.randrange(40))
        text = base64.b64encode(before + CODE_MARK + after).decode()
        assert any(spelling in text for spelling in _spellings(CODE_MARK))


def test_lines_as_others_write_them_hide_nothing() -> None:
    made = base64.encodebytes(dill.dumps([b"\xff" * 300_000, LAMBDA])).decode()
    assert made.count("\n") > 1000
    assert carries_code(pack_buffers([f"00\n{made}"]))


def test_functions_as_source_hold_none_and_compiled_ones_do() -> None:
    assert carries_code(pack_buffers([DillCode().serialize(LAMBDA)]))
    assert not carries_code(pack_buffers([PureSourceTextInspect().serialize(one)]))
    # Source for those who cannot read the other.
    assert not carries_code(pack_buffers([AllCodeStrategies().serialize(one)]))
    assert carries_code(pack_buffers([AllCodeStrategies().serialize(LAMBDA)]))


def test_what_is_no_payload_is_told() -> None:
    with pytest.raises(DeserializationError):
        carries_code("no payload" * 100)


def test_what_it_says_of_arguments_is_what_another_python_would_find() -> None:
    serializer = ComputeSerializer()
    for value in (LAMBDA, 1, SCRIPT["Plain"], SCRIPT["Colour"]):
        assert carries_code(packed(value)) == (CODE_MARK in base64.b64decode(serializer.serialize((value,))[3:]))
