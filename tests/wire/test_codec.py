"""The first byte says who reads a body."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.errors import WireError
from afield.wire import codec, v1, v2
from afield.wire.messages import Report, Result, Task

TASK = Task("t", "f", b"1\na", b"1\nb1\nc")
RESULT = Result("t", b"value")


def test_the_published_version_holds_one() -> None:
    assert codec.decode(v1.encode_task(TASK), v1.task_headers(TASK)) == [TASK]
    assert codec.decode(v1.encode_result(RESULT)) == [RESULT]
    assert codec.decode(v1.encode_report(Report("e", {"active": True})), None) == [Report("e", {"active": True})]


def test_ours_holds_many() -> None:
    assert codec.decode(v2.encode_tasks([TASK, TASK])) == [TASK, TASK]
    assert codec.decode(v2.encode_results([RESULT])) == [RESULT]
    assert codec.decode(v2.encode_results([])) == []


@pytest.mark.parametrize(("body", "says"), [(b"", "empty"), (b"\x03x", "version 3"), (b'{"a":1}', "version 123")])
def test_others_are_refused_by_name(body: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says):
        codec.decode(body)


@settings(deadline=None)
@given(st.binary(max_size=80), st.dictionaries(st.sampled_from(["function_uuid", "result_serializers"]), st.text()))
def test_noise_never_raises_anything_else(body: bytes, headers: dict[str, object]) -> None:
    with contextlib.suppress(WireError):
        codec.decode(body, headers)
