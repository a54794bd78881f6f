"""Ids as keys."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from afield.service.store.sql.keys import key, text

UUIDS = st.uuids().map(str)
ANYTHING = st.one_of(UUIDS, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50))


@given(UUIDS)
def test_a_uuid_takes_16_bytes(one: str) -> None:
    assert key(one) == uuid.UUID(one).bytes
    assert text(key(one)) == one


@given(UUIDS, UUIDS)
def test_keys_are_in_the_order_of_their_ids(one: str, other: str) -> None:
    assert (key(one) < key(other)) == (one < other)


@given(ANYTHING, ANYTHING)
def test_any_text_comes_back_and_none_meets_another(one: str, other: str) -> None:
    assert text(key(one)) == one
    assert (key(one) == key(other)) == (one == other)
