"""The published envelope: one version byte 0x01, then JSON ``{"message_type": T, "data": {...}}``.

What a task needs besides its buffer travels in AMQP headers: ``task_uuid``, ``function_uuid``,
``resource_specification`` as JSON text, ``result_serializers`` as an array of strings. A result carries everything in
its body. Unknown fields are ignored, missing ones are a :class:`~afield.errors.WireError`. Payloads are text here, so
their lengths count characters, not bytes (reference: the published wire contract, sections 5.2-5.5 and 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from afield.errors import WireError
from afield.wire.malformed import MALFORMED
from afield.wire.messages import ErrorDetails, Report, Result, Task, Transition
from afield.wire.plain import is_plain

__all__ = [
    "HIGH_ASSURANCE",
    "VERSION",
    "decode",
    "encode_report",
    "encode_result",
    "encode_task",
    "split_buffers",
    "task_headers",
]

VERSION = b"\x01"

#: The header of a result that is not in the message: whoever reads it asks the service for it, and is asked who they
#: are (reference: the published wire contract, section 5.4).
HIGH_ASSURANCE: Final = "high_assurance"

#: What a published reader knows in ``task_statuses``. One that it does not know makes it refuse the whole result, and
#: its SDK puts a result that it refused back into the queue, to refuse it again at once, for ever (reference: the
#: published wire contract, section 4.4). So steps outside of these are left out.
_STATES: Final = frozenset({
    "received", "waiting-for-ep", "waiting-for-nodes", "waiting-for-launch", "execution-start", "execution-end",
    "running", "success", "failed", "result-received", "result-enqueued",
})  # fmt: skip
_ACTORS: Final = frozenset({
    "worker", "manager", "interchange", "endpoint", "result-processor", "web-service", "action-provider",
})  # fmt: skip

Headers = Mapping[str, object]


class _Envelope(msgspec.Struct):
    message_type: str
    data: msgspec.Raw


class _TaskData(msgspec.Struct):
    task_id: str
    task_buffer: str
    container_id: str | None = None
    container: Any = None


class _ResultData(msgspec.Struct):
    task_id: str
    data: str
    details: dict[str, Any] | None = None
    error_details: ErrorDetails | None = None
    task_statuses: list[Transition] | None = None


class _ReportData(msgspec.Struct, omit_defaults=True):
    endpoint_id: str
    global_state: dict[str, Any] | None = None
    ep_status_report: dict[str, Any] | None = None  # accepted alias of global_state
    task_statuses: dict[str, Any] | None = None


_encode = msgspec.json.Encoder().encode
_envelope = msgspec.json.Decoder(_Envelope).decode
_task = msgspec.json.Decoder(_TaskData).decode
_result = msgspec.json.Decoder(_ResultData).decode
_report = msgspec.json.Decoder(_ReportData).decode
_options = msgspec.json.Decoder(dict[str, Any] | None).decode


def task_headers(task: Task) -> dict[str, object]:
    """The AMQP headers that go with a task."""
    headers: dict[str, object] = {"task_uuid": task.task_id, "function_uuid": task.function_id}
    if task.resource_specification:
        headers["resource_specification"] = _encode(task.resource_specification).decode()
    if task.result_serializers:
        headers["result_serializers"] = list(task.result_serializers)
    return headers


def encode_task(task: Task) -> bytes:
    """The body of a task; :func:`task_headers` go with it."""
    data = _TaskData(task_id=task.task_id, task_buffer=_text(task.code) + _text(task.payload))
    return _pack("task", data)


def encode_result(result: Result) -> bytes:
    """The body of a result."""
    data = _ResultData(
        task_id=result.task_id,
        data=_text(result.data),
        details=result.details,
        error_details=result.error,
        task_statuses=[step for step in result.statuses if step.state in _STATES and step.actor in _ACTORS],
    )
    return _pack("result", data)


def encode_report(report: Report) -> bytes:
    """The body of a status report."""
    # A null alias beside it would win at the published reader, so what is not set is left out.
    data = _ReportData(endpoint_id=report.endpoint_id, global_state=report.state, task_statuses={})
    return _pack("ep_status_report", data)


def decode(body: bytes, headers: Headers) -> Task | Result | Report:
    """Read a body of this version.

    :param body: with its version byte
    :param headers: the message's AMQP headers; only tasks need them
    :raises WireError: when it is truncated, of an unknown type, or lacks what it must have
    """
    try:
        envelope = _envelope(memoryview(body)[1:])
        match envelope.message_type:
            case "task":
                return _read_task(_task(envelope.data), headers)
            case "result":
                return _read_result(_result(envelope.data))
            case "ep_status_report":
                return _read_report(_report(envelope.data))
            case other:
                raise WireError(f"a message of type {other!r} came, which this end does not know; it is dropped")
    except MALFORMED as error:
        raise WireError(f"a message is not what its sender should have sent: {error}") from error


def split_buffers(packed: bytes, count: int) -> list[bytes]:
    """Cut ``count`` length-prefixed buffers off a packed text, each with its prefix.

    :raises WireError: when there are fewer, more, or a prefix is not a number
    """
    text = _text(packed)
    found, at = [], 0
    for _ in range(count):
        end = text.find("\n", at)
        if end < 0 or not _is_length(text[at:end]):
            raise WireError(f"a packed buffer should begin with its length at character {at}, and does not")
        until = end + 1 + int(text[at:end])
        if until > len(text):
            raise WireError(f"a packed buffer at character {at} is truncated")
        found.append(text[at:until].encode())
        at = until
    if at != len(text):
        raise WireError(f"{len(text) - at} characters follow the {count} packed buffers")
    return found


def _is_length(digits: str) -> bool:
    # str.isdigit alone takes superscripts and other scripts' digits; int() refuses numbers of thousands of digits.
    return len(digits) < 20 and digits.isascii() and digits.isdigit()


def _read_report(data: _ReportData) -> Report:
    state = data.ep_status_report if data.global_state is None else data.global_state
    if state is None:
        raise WireError(f"a status report of endpoint {data.endpoint_id} came without global_state")
    if not is_plain(state):
        raise WireError(f"a status report of endpoint {data.endpoint_id} holds an integer of more than 64 bits")
    return Report(data.endpoint_id, state)


def _read_task(data: _TaskData, headers: Headers) -> Task:
    function_id = headers.get("function_uuid")
    if not isinstance(function_id, str):
        raise WireError(f"task {data.task_id} came without the header function_uuid")
    specification = headers.get("resource_specification")
    serializers = headers.get("result_serializers") or ()
    if not isinstance(serializers, list | tuple):
        raise WireError(f"task {data.task_id}: the header result_serializers should be an array of strings")
    code, args, kwargs = split_buffers(data.task_buffer.encode(), 3)
    return Task(
        task_id=data.task_id,
        function_id=function_id,
        code=code,
        payload=args + kwargs,
        resource_specification=_options(specification) if isinstance(specification, str) else None,
        result_serializers=tuple(str(name) for name in serializers),
    )


def _read_result(data: _ResultData) -> Result:
    if data.details and not is_plain(data.details):
        raise WireError(f"the details of the result of task {data.task_id} hold an integer of more than 64 bits")
    return Result(
        task_id=data.task_id,
        data=data.data.encode(),
        error=data.error_details,
        details=data.details,
        statuses=tuple(data.task_statuses or ()),
    )


def _pack(kind: str, data: msgspec.Struct) -> bytes:
    return VERSION + _encode({"message_type": kind, "data": data})


def _text(payload: bytes) -> str:
    # Every published payload is text. What is not would have been refused where it was made.
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise WireError("this payload is binary; the published envelope carries only text") from error
