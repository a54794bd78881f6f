"""The published envelope: bodies that the published package made, our own round trip, and everything that is broken."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.errors import WireError
from afield.wire import v1, v2
from afield.wire.messages import ErrorDetails, Report, Result, Task, Transition

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text("utf-8"))["messages"]
HEADERS = {"task_uuid": "t", "function_uuid": "0192f3a0-3333-7000-8000-000000000003"}
STATES = ["received", "waiting-for-launch", "execution-start", "execution-end", "running", "success", "failed"]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
payloads = text.map(lambda value: value.encode())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(text, json_values, max_size=4)
transitions = st.builds(
    Transition, st.integers(0, 2**63 - 1), st.sampled_from(STATES), st.sampled_from(["worker", "interchange"])
)
results = st.builds(
    Result,
    task_id=st.uuids().map(str),
    data=payloads,
    error=st.none() | st.builds(ErrorDetails, text, text),
    details=st.none() | documents,
    statuses=st.lists(transitions, max_size=3).map(tuple),
)


def packed(value: str) -> bytes:
    """One length-prefixed buffer; the length counts characters."""
    return f"{len(value)}\n{value}".encode()


tasks = st.builds(
    Task,
    task_id=st.uuids().map(str),
    function_id=st.uuids().map(str),
    code=text.map(packed),
    payload=st.tuples(text, text).map(lambda two: packed(two[0]) + packed(two[1])),
    resource_specification=st.none() | documents.filter(bool),
    result_serializers=st.lists(text, max_size=3).map(tuple),
)


def by_name(name: str) -> Any:
    return next(entry for entry in GOLDEN if entry["name"] == name)


def some_bodies() -> list[bytes]:
    return [entry["body"].encode() for entry in GOLDEN]


# -- what the published package made ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["task", "task, not ASCII"])
def test_a_published_task_is_read(name: str) -> None:
    golden = by_name(name)
    task = v1.decode(golden["body"].encode(), HEADERS)
    assert isinstance(task, Task)
    assert task.task_id == golden["fields"]["task_id"]
    assert task.function_id == HEADERS["function_uuid"]
    assert (task.code + task.payload).decode() == golden["fields"]["task_buffer"]
    assert task.resource_specification is None
    assert task.result_serializers == ()


def test_lengths_count_characters_not_bytes() -> None:
    task = v1.decode(by_name("task, not ASCII")["body"].encode(), HEADERS)
    assert isinstance(task, Task)
    length, code = task.code.decode().split("\n", 1)
    assert int(length) == len(code) < len(code.encode())
    assert code.endswith("'Ärger ☃ 𝄞'\n")
    assert task.payload.decode() == '14\n11\n["ß", "𝄞𝄞"]5\n11\n{}'


@pytest.mark.parametrize("name", ["result", "result, bare", "failure"])
def test_a_published_result_is_read(name: str) -> None:
    fields = by_name(name)["fields"]
    result = v1.decode(by_name(name)["body"].encode(), {})
    assert isinstance(result, Result)
    assert result.task_id == fields["task_id"]
    assert result.data.decode() == fields["data"]
    assert result.details == fields.get("details")
    assert [msgspec.to_builtins(step) for step in result.statuses] == fields.get("task_statuses", [])
    assert (result.error and msgspec.to_builtins(result.error)) == fields.get("error_details")
    assert result.exception is None


@pytest.mark.parametrize("name", ["alive", "start failure"])
def test_a_published_report_is_read(name: str) -> None:
    fields = by_name(name)["fields"]
    assert v1.decode(by_name(name)["body"].encode(), {}) == Report(fields["endpoint_id"], fields["global_state"])


@pytest.mark.parametrize("key", ["global_state", "ep_status_report"])
def test_the_state_of_a_report_has_two_names(key: str) -> None:
    body = b"\x01" + json.dumps({"message_type": "ep_status_report", "data": {"endpoint_id": "e", key: {}}}).encode()
    assert v1.decode(body, {}) == Report("e", {})


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda entry: entry["name"])
def test_unknown_fields_are_ignored(entry: Any) -> None:
    envelope = json.loads(entry["body"][1:])
    envelope["new"] = [1]
    envelope["data"]["newer"] = {"x": None}
    assert v1.decode(b"\x01" + json.dumps(envelope).encode(), HEADERS) == v1.decode(entry["body"].encode(), HEADERS)


# -- there and back --------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(tasks)
def test_tasks_survive(task: Task) -> None:
    assert v1.decode(v1.encode_task(task), v1.task_headers(task)) == task


@settings(deadline=None)
@given(results)
def test_results_survive(result: Result) -> None:
    assert v1.decode(v1.encode_result(result), {}) == result


@settings(deadline=None)
@given(st.uuids().map(str), documents)
def test_reports_survive(endpoint_id: str, state: dict[str, Any]) -> None:
    report = Report(endpoint_id, state)
    assert v1.decode(v1.encode_report(report), {}) == report


def test_the_headers_are_the_published_ones() -> None:
    task = Task("t", "f", b"1\na", b"1\nb1\nc", {"num_nodes": 2}, ("a.B", "c.D"))
    assert v1.task_headers(task) == {
        "task_uuid": "t",
        "function_uuid": "f",
        "resource_specification": '{"num_nodes":2}',
        "result_serializers": ["a.B", "c.D"],
    }
    assert set(v1.task_headers(Task("t", "f", b"", b""))) == {"task_uuid", "function_uuid"}


def test_the_original_exception_stays_between_our_own_parts() -> None:
    result = Result("t", b"text", ErrorDetails("RemoteExecutionError", "m"), exception=b"\x80pickle")
    assert b"pickle" not in v1.encode_result(result)


def test_steps_that_published_readers_do_not_know_are_left_out() -> None:
    known, ours = Transition(1, "execution-start", "worker"), Transition(2, "cancelled", "web-service")
    foreign = Transition(3, "failed", "somebody")
    decoded = v1.decode(v1.encode_result(Result("t", b"", statuses=(known, ours, foreign))), {})
    assert isinstance(decoded, Result)
    assert decoded.statuses == (known,)


def test_a_report_has_no_null_beside_its_state() -> None:
    assert set(json.loads(v1.encode_report(Report("e", {"active": True}))[1:])["data"]) == {
        "endpoint_id",
        "global_state",
        "task_statuses",
    }


def test_binary_payloads_are_refused_before_they_travel() -> None:
    for encode in (
        lambda: v1.encode_result(Result("t", b"\xff\xfe")),
        lambda: v1.encode_task(Task("t", "f", b"\x80", b"")),
        lambda: v1.encode_task(Task("t", "f", b"", b"\x80")),
    ):
        with pytest.raises(WireError, match="binary"):
            encode()


# -- what is broken --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda entry: entry["name"])
def test_a_body_cut_anywhere_is_an_error(entry: Any) -> None:
    body = entry["body"].encode()
    for length in range(len(body)):
        with pytest.raises(WireError):
            v1.decode(body[:length], HEADERS)


def message(kind: str, data: str) -> bytes:
    return b'\x01{"message_type":"%s","data":%s}' % (kind.encode(), data.encode())


def step(timestamp: int) -> str:
    return json.dumps({"timestamp": timestamp, "state": "running", "actor": "worker"})


DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (message("result", '{"task_id":"t"}'), "data"),
        (message("result", '{"data":"d"}'), "task_id"),
        (message("result", '{"task_id":null,"data":"d"}'), "task_id"),
        (message("result", '{"task_id":"t","data":"d","task_statuses":[{"state":"x"}]}'), "timestamp"),
        (message("result", '{"task_id":"t","data":"d","error_details":{"code":"c"}}'), "user_message"),
        (message("result", '{"task_id":"t","data":"d","details":{"a":[18446744073709551616]}}'), "64 bits"),
        (message("result", '{"task_id":"t","data":"d","details":{"a":-9223372036854775809}}'), "64 bits"),
        (message("ep_status_report", '{"endpoint_id":"e","global_state":{"a":{"b":18446744073709551616}}}'), "64 bits"),
        (message("result", f'{{"task_id":"t","data":"d","task_statuses":[{step(2**63)}]}}'), "timestamp"),
        (message("result", f'{{"task_id":"t","data":"d","task_statuses":[{step(-1)}]}}'), "timestamp"),
        (message("task", '{"task_id":"t"}'), "task_buffer"),
        (message("ep_status_report", '{"endpoint_id":"e"}'), "global_state"),
        (message("ep_status_report", '{"global_state":{}}'), "endpoint_id"),
        (message("task_cancel", '{"task_id":"t"}'), "'task_cancel'"),
        (b'\x01{"data":{}}', "message_type"),
        (b"\x01[]", "object"),
        (message("result", '{"task_id":"t","data":"\\ud800"}'), "not what its sender"),
        (b'\x01{"message_type":"result","data":{"task_id":"t","data":"\xff"}}', "utf-8"),
        (message("result", f'{{"task_id":"t","data":"","details":{DEEP}}}'), "recursion"),
        (message("ep_status_report", f'{{"endpoint_id":"e","global_state":{DEEP}}}'), "recursion"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_wrong_is_said(body: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says):
        v1.decode(body, HEADERS)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "function_uuid"),
        ({"function_uuid": 5}, "function_uuid"),
        ({"function_uuid": "f", "result_serializers": "a.B"}, "result_serializers"),
        ({"function_uuid": "f", "resource_specification": "{"}, "truncated"),
        ({"function_uuid": "f", "resource_specification": "[1]"}, "object"),
        ({"function_uuid": "f", "resource_specification": DEEP}, "recursion"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_headers_that_do_not_fit_are_an_error(headers: dict[str, object], says: str) -> None:
    with pytest.raises(WireError, match=says):
        v1.decode(by_name("task")["body"].encode(), headers)


@pytest.mark.parametrize(
    "buffer",
    ["", "1", "1\n", "x\na", "-1\na", "1\na", "1\na1\nb", "1\na1\nb1\ncd", "1\na1\nb2\nc", "²\nab1\nb1\nc",
     "\u0661\na1\nb1\nc", "9" * 5000 + "\na", "1_0\n" + "a" * 10, " 1\na1\nb1\nc"],
    ids=lambda value: repr(value)[:60],
)  # fmt: skip
def test_buffers_that_do_not_add_up_are_an_error(buffer: str) -> None:
    with pytest.raises(WireError, match="buffer"):
        v1.split_buffers(buffer.encode(), 3)
    with pytest.raises(WireError):
        v1.decode(message("task", json.dumps({"task_id": "t", "task_buffer": buffer})), HEADERS)


def test_buffers_that_are_no_text_are_an_error() -> None:
    with pytest.raises(WireError):
        v1.split_buffers(b"1\n\xff", 1)


@given(st.lists(text, max_size=5))
def test_buffers_are_cut_where_they_were_joined(values: list[str]) -> None:
    assert v1.split_buffers(b"".join(map(packed, values)), len(values)) == [packed(value) for value in values]


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damage_is_a_wire_error_or_another_message(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(some_bodies())))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        body = body or bytearray(b"\x01")
    try:
        read = v1.decode(bytes(body), HEADERS)
    except WireError:
        return
    # What was read can be sent on, in either envelope.
    if isinstance(read, Task):
        assert v1.encode_task(read)
        assert v2.encode_tasks([read])
    elif isinstance(read, Result):
        assert v1.encode_result(read)
        assert v2.encode_results([read])
    else:
        assert v1.encode_report(read)
