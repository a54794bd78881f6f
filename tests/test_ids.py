"""Identifiers: the layout of RFC 9562 section 5.7, order and uniqueness, and what becomes of what people type."""

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.errors import ComputeError, InvalidId
from afield.ids import new_id, new_ids, parse_id

CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_they_are_canonical_uuid7(count: int) -> None:
    for text in new_ids(count):
        assert CANONICAL.fullmatch(text), text
        parsed = uuid.UUID(text)
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122
        assert str(parsed) == text


def test_the_first_48_bits_are_the_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    stamp = uuid.UUID(new_id()).int >> 80
    after = time.time_ns() // 1_000_000
    # Ids made in a burst run ahead of the clock, by 1 ms for every 4096 of them; other tests made some thousands.
    assert before <= stamp <= after + 50


def test_the_rest_is_random() -> None:
    tails = [uuid.UUID(text).int & ((1 << 62) - 1) for text in new_ids(2000)]
    assert len(set(tails)) == 2000
    for bit in range(62):
        ones = sum(tail >> bit & 1 for tail in tails)
        # 2000 fair coins: nine standard deviations.
        assert 800 < ones < 1200, f"bit {bit} is set in {ones} of 2000"


def test_they_rise_also_past_the_clock() -> None:
    # 20 000 at once are more than the 4096 steps of one millisecond.
    ids = [*new_ids(20_000), new_id(), *new_ids(3), new_id()]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_none_is_none() -> None:
    before = new_id()
    assert new_ids(0) == []
    assert new_id() > before


def test_threads_never_get_the_same_one_and_each_sees_them_rise() -> None:
    start = Barrier(8)

    def make(_: int) -> list[str]:
        start.wait(timeout=30)
        return [each for _ in range(200) for each in new_ids(5)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(make, range(8)))
    for mine in found:
        assert mine == sorted(mine)
    stamps = [uuid.UUID(text).int >> 64 for mine in found for text in mine]
    # Not only the random part differs: the time-ordered part is handed out once.
    assert len(set(stamps)) == 8 * 1000


@given(st.uuids())
def test_every_spelling_of_a_uuid_becomes_the_canonical_one(value: uuid.UUID) -> None:
    expected = str(value)
    for spelling in (value, expected, expected.upper(), value.hex, value.urn, f"{{{expected}}}"):
        assert parse_id(spelling, "task") == expected


def test_new_ones_are_read_back_unchanged() -> None:
    made = new_id()
    assert parse_id(made, "task") == made


@pytest.mark.parametrize("value", ["", "x", "4b116d3c-1703-4f8f-9f6f-39921e5864d", b"4b116d3c", 17, None, ["a"]])
def test_anything_else_is_refused_in_words(value: object) -> None:
    with pytest.raises(InvalidId) as caught:
        parse_id(value, "endpoint")
    assert str(value) in str(caught.value)
    assert "is not an endpoint id" in str(caught.value)
    assert caught.value.what == "endpoint"
    assert isinstance(caught.value, ComputeError)
    assert isinstance(caught.value, ValueError)


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        read = parse_id(text, "task")
    except InvalidId:
        return
    assert read == str(uuid.UUID(text))
