"""What may go on: in JSON and in MessagePack, and back, unchanged."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.wire.plain import is_plain

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.floats(allow_nan=False)
plain = st.recursive(
    scalars.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(plain)
def test_plain_values_survive_both(value: Any) -> None:
    assert is_plain(value)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value)) == value
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**63) - 1,
        b"bytes",
        (1, 2),
        {1: "a"},
        {None: "a"},
        {b"k": "a"},
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        msgspec.msgpack.Ext(5, b"x"),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "around", [lambda v: v, lambda v: [v], lambda v: {"a": 1, "b": v}, lambda v: {"a": [{"b": v}]}]
)
def test_what_one_of_them_cannot_say_is_found_at_any_depth(value: Any, around: Any) -> None:
    assert not is_plain(around(value))
