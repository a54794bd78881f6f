"""What an endpoint hands to a worker: round trips, versions, damage."""

import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.errors import WireError
from afield.wire.jobs import (
    JOB_VERSION,
    Job,
    Outcome,
    code_digest,
    decode_job,
    decode_outcome,
    encode_job,
    encode_outcome,
)

names = st.lists(st.text(max_size=10), max_size=3).map(tuple)
jobs = st.builds(
    Job,
    version=st.just(JOB_VERSION),
    task_id=st.text(max_size=40),
    digest=st.binary(min_size=16, max_size=16),
    code=st.none() | st.binary(max_size=50),
    payload=st.binary(max_size=50),
    result_serializers=names,
    resource_specification=st.none() | st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=2),
    allowed_serializers=st.none() | names,
    sandbox=st.none() | st.text(max_size=20),
    result_limit=st.integers(0, 2**40),
)
DETAILS = {"os": "Linux-6", "python_version": "3.11.7"}
JOB = Job(JOB_VERSION, "t", code_digest(b"f"), b"f", b"args", ("a.B",), {"num_nodes": 1}, ("x.Y",), "/tmp/t", 10)
OUTCOME = Outcome("t", b"\xffvalue", None, "", b"\x80", 1, 2, msgspec.Raw(msgspec.msgpack.encode(DETAILS)))


@settings(deadline=None)
@given(jobs)
def test_jobs_survive(job: Job) -> None:
    assert decode_job(encode_job(job)) == job


@given(st.binary(max_size=50), st.none() | st.text(), st.text(), st.none() | st.binary(), st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_outcomes_survive(data: bytes, code: str | None, message: str, exception: bytes | None, moment: int) -> None:
    raw = msgspec.Raw(msgspec.msgpack.encode(DETAILS))
    read = decode_outcome(encode_outcome(Outcome("t", data, code, message, exception, moment, moment, raw)))
    assert (read.data, read.error_code, read.message, read.exception) == (data, code, message, exception)
    assert read.began_ns == read.ended_ns == moment
    assert msgspec.msgpack.decode(read.details) == DETAILS


def test_another_version_is_named_with_the_remedy() -> None:
    newer = msgspec.structs.replace(JOB, version=JOB_VERSION + 1)
    with pytest.raises(WireError, match=rf"version {JOB_VERSION + 1} .* version {JOB_VERSION}.*install the same"):
        decode_job(encode_job(newer))


def test_the_same_code_has_the_same_digest() -> None:
    assert code_digest(b"f") == code_digest(bytes(bytearray(b"f")))
    assert len({code_digest(b"f"), code_digest(b"g"), code_digest(b"")}) == 3
    assert len(code_digest(b"f")) == 16


def test_bodies_cut_anywhere_are_an_error() -> None:
    for body, decode in ((encode_job(JOB), decode_job), (encode_outcome(OUTCOME), decode_outcome)):
        for length in range(len(body)):
            with pytest.raises(WireError):
                decode(body[:length])


def test_values_nested_without_end_are_an_error() -> None:
    deep = b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(WireError):
        decode_job(b"\x97\x01\xa1t\xc4\x00\xc0\xc4\x00\x90\x81\xa1a" + deep)
    with pytest.raises(WireError):
        decode_outcome(b"\x98\xa1t\xc4\x00\xc0\xa0\xc0\x00\x00" + deep)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    whole, decode = data.draw(
        st.sampled_from([(encode_job(JOB), decode_job), (encode_outcome(OUTCOME), decode_outcome)])
    )
    body = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(body) - 1)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(WireError):
        decode(bytes(body))
