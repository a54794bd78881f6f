"""The published packages themselves at the other end: theirs reads ours, ours reads theirs.

Needs an interpreter in which globus-compute-sdk is installed; its path in AFIELD_TEST_PUBLISHED_PYTHON.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afield.errors import WireError
from afield.wire import v1
from afield.wire.messages import ErrorDetails, Report, Result, Task, Transition

PYTHON = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON", "")
PEER = Path(__file__).with_name("published_peer.py")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="AFIELD_TEST_PUBLISHED_PYTHON names no interpreter that has globus-compute-sdk"
)
# The fixture is one process for the whole file; it keeps nothing from one question to the next.
often = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

Ask = Callable[..., dict[str, Any]]
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ids = st.uuids().map(str)
values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text | st.lists(text, max_size=2)
documents = st.dictionaries(text, values, max_size=3)
steps = st.builds(
    Transition,
    st.integers(0, 2**63 - 1),
    st.sampled_from(["received", "waiting-for-ep", "execution-start", "execution-end", "running", "success", "failed"]),
    st.sampled_from(["worker", "manager", "interchange", "endpoint", "web-service"]),
)


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Ask the published packages something."""
    with subprocess.Popen([PYTHON, str(PEER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def question(do: str, **rest: object) -> dict[str, Any]:
            process.stdin.write(json.dumps({"do": do, **rest}) + "\n")
            process.stdin.flush()
            reply: dict[str, Any] = json.loads(process.stdout.readline())
            return reply

        yield question
        process.stdin.close()
    assert process.returncode == 0


def packed(value: str) -> bytes:
    return f"{len(value)}\n{value}".encode()


@often
@given(result=st.builds(Result, task_id=ids, data=text.map(str.encode), details=st.none() | documents,
                        error=st.none() | st.builds(ErrorDetails, text, text),
                        statuses=st.lists(steps, max_size=3).map(tuple)))  # fmt: skip
def test_theirs_reads_our_results(ask: Ask, result: Result) -> None:
    read = ask("read", body=v1.encode_result(result).hex())
    assert read["type"] == "Result"
    fields = read["fields"]
    assert fields["task_id"] == result.task_id
    assert fields["data"] == result.data.decode()
    assert fields["details"] == result.details
    assert fields["error_details"] == (msgspec.to_builtins(result.error) if result.error else None)
    assert fields["task_statuses"] == msgspec.to_builtins(list(result.statuses))


@often
@given(result=st.builds(Result, task_id=ids, data=text.map(str.encode), details=st.none() | documents,
                        error=st.none() | st.builds(ErrorDetails, text, text),
                        statuses=st.lists(steps, max_size=3).map(tuple)))  # fmt: skip
def test_ours_reads_their_results(ask: Ask, result: Result) -> None:
    fields = {
        "task_id": result.task_id,
        "data": result.data.decode(),
        "details": result.details,
        "error_details": msgspec.to_builtins(result.error) if result.error else None,
        "task_statuses": msgspec.to_builtins(list(result.statuses)),
    }
    assert v1.decode(bytes.fromhex(ask("write", type="Result", fields=fields)["body"]), {}) == result


@often
@given(task_id=ids, buffers=st.tuples(text, text, text))
def test_tasks_go_both_ways(ask: Ask, task_id: str, buffers: tuple[str, str, str]) -> None:
    code, args, kwargs = map(packed, buffers)
    task = Task(task_id, "0192f3a0-3333-7000-8000-000000000003", code, args + kwargs)
    read = ask("read", body=v1.encode_task(task).hex())
    assert read["type"] == "Task"
    assert read["fields"]["task_id"] == task_id
    assert ask("unpack", packed=read["fields"]["task_buffer"]) == {"buffers": list(buffers)}
    written = ask("write", type="Task", fields={"task_id": task_id, "task_buffer": read["fields"]["task_buffer"]})
    assert v1.decode(bytes.fromhex(written["body"]), v1.task_headers(task)) == task


@often
@given(endpoint_id=ids, state=documents)
def test_reports_go_both_ways(ask: Ask, endpoint_id: str, state: dict[str, Any]) -> None:
    report = Report(endpoint_id, state)
    read = ask("read", body=v1.encode_report(report).hex())
    assert read["type"] == "EPStatusReport"
    assert read["fields"] == {"endpoint_id": endpoint_id, "global_state": state, "task_statuses": {}}
    written = ask("write", type="EPStatusReport", fields=read["fields"])
    assert v1.decode(bytes.fromhex(written["body"]), {}) == report


@often
@given(values=st.lists(text, min_size=1, max_size=4))
def test_packed_buffers_are_theirs(ask: Ask, values: list[str]) -> None:
    theirs = ask("pack", buffers=values)["packed"]
    assert theirs.encode() == b"".join(map(packed, values))
    assert v1.split_buffers(theirs.encode(), len(values)) == [packed(value) for value in values]


@pytest.mark.parametrize("broken", ["1\n", "x\na", "5\nab", "1\nab"])
def test_what_theirs_refuses_ours_refuses(ask: Ask, broken: str) -> None:
    assert "error" in ask("unpack", packed=broken)
    with pytest.raises(WireError):
        v1.split_buffers(broken.encode(), 1)


def test_a_state_of_ours_would_be_refused_so_it_is_left_out(ask: Ask) -> None:
    task_id = "0192f3a0-1111-7000-8000-000000000001"
    fields = {
        "task_id": task_id,
        "data": "",
        "task_statuses": [{"timestamp": 1, "state": "cancelled", "actor": "worker"}],
    }
    body = b"\x01" + json.dumps({"message_type": "result", "data": fields}).encode()
    assert "error" in ask("read", body=body.hex())
    ours = v1.encode_result(Result(task_id, b"", statuses=(Transition(1, "cancelled", "worker"),)))
    assert ask("read", body=ours.hex())["fields"]["task_statuses"] == []


def test_the_golden_bodies_are_still_what_they_write() -> None:
    made = subprocess.run([PYTHON, str(PEER), "golden"], capture_output=True, text=True, encoding="utf-8", check=True,
                          env=os.environ | {"PYTHONIOENCODING": "utf-8"})  # fmt: skip
    golden = json.loads(Path(__file__).with_name("golden.json").read_text("utf-8"))
    assert json.loads(made.stdout)["messages"] == golden["messages"]
