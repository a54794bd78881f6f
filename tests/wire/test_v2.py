"""Our own envelope: round trips, one copy of each function, and everything that is broken."""

import contextlib
import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.errors import WireError
from afield.wire import v1, v2
from afield.wire.messages import CallOptions, Cancel, ErrorDetails, Notice, Result, Task, Transition

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text(max_size=5), json_values, max_size=4)
names = st.text(max_size=20)
options = st.builds(
    CallOptions,
    timeout_s=st.none() | st.floats(0.001, 1e9),
    retries=st.integers(0, 1000),
    retry_on=st.lists(names, max_size=2).map(tuple),
    backoff_s=st.floats(0, 1e9),
    priority=st.integers(-1000, 1000),
    cores=st.none() | st.integers(1, 1_000_000),
    memory=st.none() | st.integers(1, 2**62),
    gpus=st.integers(0, 1024),
    label=st.none() | names,
)
tasks = st.builds(
    Task,
    task_id=names,
    function_id=names,
    code=st.sampled_from([b"", b"f", b"\xff\x00g", b"h" * 70_000]),
    payload=st.binary(max_size=50),
    resource_specification=st.none() | documents,
    result_serializers=st.lists(names, max_size=3).map(tuple),
    options=st.none() | options,
)
notices = st.builds(
    Notice,
    task_id=names,
    state=names,
    at=st.integers(0, 2**63 - 1),
    attempt=st.integers(1, 1000),
    refusal=names,
)
cancels = st.builds(Cancel, task_id=names, running=st.booleans())
results = st.builds(
    Result,
    task_id=names,
    data=st.binary(max_size=50),
    error=st.none() | st.builds(ErrorDetails, names, names),
    details=st.none() | documents,
    statuses=st.lists(st.builds(Transition, st.integers(0, 2**63 - 1), names, names), max_size=3).map(tuple),
    exception=st.none() | st.binary(max_size=20),
)
SOME_TASKS = [
    Task("t1", "f", b"code\xff", b"\x80args", {"num_nodes": 1}, ("a.B",)),
    Task("t2", "f", b"code\xff", b""),
    Task("t3", "g", b"other", b"x" * 300, options=CallOptions(timeout_s=1.5, retries=2, label="l")),
]
SOME_RESULTS = [
    Result("t1", b"\xffvalue", None, {"os": "Linux", "deep": {"a": [1, None]}}, (Transition(7, "failed", "worker"),)),
    Result("t2", b"Traceback", ErrorDetails("RemoteExecutionError", "m"), exception=b"\x80\x05."),
]  # fmt: skip
SOME_NOTICES = [Notice("t1", "running", 7, 2), Notice("t2", "running", 8, refusal="threads cannot be stopped")]
BODIES = [
    v2.encode_tasks(SOME_TASKS),
    v2.encode_results(SOME_RESULTS),
    v2.encode_notices(SOME_NOTICES),
    v2.encode_cancels([Cancel("t1"), Cancel("t2", running=False)]),
]
ENCODERS = {Task: v2.encode_tasks, Result: v2.encode_results, Notice: v2.encode_notices, Cancel: v2.encode_cancels}


def raw(*value: Any) -> bytes:
    """A body that nobody checked."""
    return v2.VERSION + msgspec.msgpack.encode(value)


@settings(deadline=None)
@given(st.lists(notices, max_size=6), st.lists(cancels, max_size=6))
def test_notices_and_cancels_survive(some_notices: list[Notice], some_cancels: list[Cancel]) -> None:
    assert v2.decode(v2.encode_notices(some_notices)) == some_notices
    assert v2.decode(v2.encode_cancels(some_cancels)) == some_cancels


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_s": 0}, {"timeout_s": -1.0}, {"retries": -1}, {"retries": 1001}, {"priority": 1001},
        {"cores": 0}, {"memory": 0}, {"gpus": -1}, {"backoff_s": -0.1}, {"label": "l" * 201}, {"retry_on": [1]},
    ],
)  # fmt: skip
def test_options_out_of_range_are_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        v2.decode(raw("tasks", [b"code"], [["t", "f", 0, b"", None, [], wrong]]))


@settings(deadline=None)
@given(st.lists(tasks, max_size=6))
def test_tasks_survive(batch: list[Task]) -> None:
    assert v2.decode(v2.encode_tasks(batch)) == batch


@settings(deadline=None)
@given(st.lists(results, max_size=6))
def test_results_survive(batch: list[Result]) -> None:
    assert v2.decode(v2.encode_results(batch)) == batch


def test_a_generator_will_do() -> None:
    assert v2.decode(v2.encode_tasks(task for task in SOME_TASKS)) == SOME_TASKS
    assert v2.decode(v2.encode_results(result for result in SOME_RESULTS)) == SOME_RESULTS


def test_a_function_travels_once_and_is_shared() -> None:
    code = b"c" * 1000
    body = v2.encode_tasks(Task(f"t{i}", "f", code, b"") for i in range(100))
    assert body.count(code) == 1
    read = v2.decode(body)
    assert all(isinstance(task, Task) and task.code is read[0].code for task in read)  # type: ignore[union-attr]


def test_payloads_are_not_inflated() -> None:
    payload = bytes(range(256)) * 4096
    assert len(v2.encode_results([Result("t", payload)])) < len(payload) + 50


def test_a_body_cut_anywhere_is_an_error() -> None:
    for body in BODIES:
        for length in range(len(body)):
            with pytest.raises(WireError):
                v2.decode(body[:length])


@pytest.mark.parametrize("body", BODIES)
def test_bytes_behind_it_are_an_error(body: bytes) -> None:
    with pytest.raises(WireError):
        v2.decode(body + b"\x00")


@pytest.mark.parametrize("place", [1, 2, -1, 2**40])
def test_a_place_outside_of_the_functions_is_an_error(place: int) -> None:
    with pytest.raises(WireError, match="function that it does not hold"):
        v2.decode(raw("tasks", [b"code"], [["t", "f", 0, b""], ["t", "f", place, b""]]))


@pytest.mark.parametrize(
    "body",
    [
        raw("tasks", [b"code"], [["t", "f", "0", b""]]),
        raw("tasks", [b"code"], [["t", "f", 0]]),
        raw("tasks", [b"code"]),
        raw("things", [], []),
        raw("results", [[1, b""]]),
        raw("results", [["t", "text"]]),
        raw("results", [["t", b"", ["code"]]]),
        raw("results", [["t", b"", None, {"a": 1}, [[1, "running"]]]]),
        raw("results", [["t", b"", None, [1]]]),
        raw("results", [["t", b"", None, None, [[-1, "running", "worker"]]]]),
        raw("results", [["t", b"", None, None, [[2**63, "running", "worker"]]]]),
        v2.VERSION + b"\xc1",
        v2.VERSION + b"\x92\xa7results\xdd\xff\xff\xff\xff",
        v2.VERSION + b"\x92\xa7results\x91\x94\xa1t\xc4\x00\xc0\x81\xa1a" + b"\x91" * 100_000 + b"\xc0",
        v2.VERSION + msgspec.json.encode({"message_type": "result", "data": {}}),
    ],
    ids=lambda body: repr(body)[:60],
)
def test_foreign_shapes_are_an_error(body: bytes) -> None:
    with pytest.raises(WireError):
        v2.decode(body)


@pytest.mark.parametrize(
    "value",
    [
        msgspec.msgpack.Ext(5, b"x"),
        b"bytes",
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        {None: 1},
        {1: 1},
        [{"a": [b""]}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_details_that_json_cannot_say_are_an_error(value: object) -> None:
    with pytest.raises(WireError, match="task t hold more than JSON can say"):
        v2.decode(raw("results", [["t", b"", None, {"fine": 1, "a": value}]]))


def test_fields_that_a_newer_end_appends_are_ignored() -> None:
    assert v2.decode(raw("results", [["t", b"", None, None, [], None, "new"]])) == [Result("t", b"")]
    assert v2.decode(raw("tasks", [b"c"], [["t", "f", 0, b"", None, [], None, "new"]], "new")) == [
        Task("t", "f", b"c", b"")
    ]


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damage_is_a_wire_error_or_another_batch(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(BODIES)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(1, max(1, len(body) - 1)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        batch = v2.decode(bytes(body))
    except WireError:
        return
    # What was read can be sent on, also in the other envelope where it is text.
    for record in batch:
        assert ENCODERS[type(record)]([record])
        if isinstance(record, Result):
            assert v1.encode_result(msgspec.structs.replace(record, data=b""))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_noise_is_a_wire_error_or_nothing_at_all(noise: bytes) -> None:
    with contextlib.suppress(WireError):
        v2.decode(v2.VERSION + noise)
