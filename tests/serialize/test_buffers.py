"""Several values in one text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.errors import DeserializationError
from afield.serialize import ComputeSerializer
from afield.serialize.buffers import pack_buffers, unpack_buffers

texts = st.lists(
    st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["", "\n", "3\nabc", "é𝄞", "00\n"])
)


@given(texts)
def test_what_is_packed_comes_back(buffers: list[str]) -> None:
    assert unpack_buffers(pack_buffers(buffers)) == buffers


@given(texts, st.data())
def test_a_packed_text_that_was_cut_never_passes_for_a_whole_one(buffers: list[str], data: st.DataObject) -> None:
    packed = pack_buffers(buffers)
    cut = packed[: data.draw(st.integers(0, len(packed)))]
    try:
        found = unpack_buffers(cut)
    except DeserializationError:
        return
    assert found == buffers[: len(found)]


def test_lengths_count_characters() -> None:
    assert pack_buffers(["é", "𝄞𝄞"]) == "1\né2\n𝄞𝄞"


NOT_PACKED = ["abc", "3\nab", "-1\na", "+1\na", " 1\na", "1_0\n0123456789", "²\nab", "٣\nabc", "\na", "1", "1\na2"]


@pytest.mark.parametrize("packed", [*NOT_PACKED, "9" * 5000 + "\n"])
def test_what_is_not_packed_is_refused(packed: str) -> None:
    with pytest.raises(DeserializationError, match="packed value should"):
        unpack_buffers(packed)


def test_the_error_says_how_much_is_missing() -> None:
    with pytest.raises(DeserializationError, match="should have 5 characters, and only 2 are left"):
        unpack_buffers("1\na5\nab")


def test_the_published_spelling_is_there_too() -> None:
    assert ComputeSerializer.unpack_buffers(ComputeSerializer.pack_buffers(["a", "b"])) == ["a", "b"]


def test_many_small_buffers_take_linear_time() -> None:
    # Cutting the rest off for each one would copy some 40 GB here, far beyond the time limit of a test.
    assert len(unpack_buffers(pack_buffers(["x"] * 200_000))) == 200_000
