"""The published envelope: one version byte 0x01, then JSON ``{"message_type": T, "data": {...}}``.

What a task needs besides its buffer travels in AMQP headers: ``task_uuid``, ``function_uuid``,
``resource_specification`` as JSON text, ``result_serializers`` as an array of strings. A result carries everything in
its body. Unknown fields are ignored, missing ones are a :class:`~afield.errors.WireError`. Payloads are text here, so
their lengths count characters, not bytes (reference: the published wire contract, sections 5.2-5.5 and 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from afield.errors import WireError
from afield.wire.messages import ErrorDetails, Report, Result, Task, Transition

__all__ = ["VERSION", "decode", "encode_report", "encode_result", "encode_task", "split_buffers", "task_headers"]

VERSION = b"\x01"

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


class _ReportData(msgspec.Struct):
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
        task_statuses=list(result.statuses),
    )
    return _pack("result", data)


def encode_report(report: Report) -> bytes:
    """The body of a status report."""
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
                found = _report(envelope.data)
                return Report(found.endpoint_id, found.global_state or found.ep_status_report or {})
            case other:
                raise WireError(f"a message of type {other!r} came, which this end does not know; it is dropped")
    except msgspec.MsgspecError as error:
        raise WireError(f"a message is not what its sender should have sent: {error}") from error


def split_buffers(packed: bytes, count: int) -> list[bytes]:
    """Cut ``count`` length-prefixed buffers off a packed text, each with its prefix.

    :raises WireError: when there are fewer, more, or a prefix is not a number
    """
    text = packed.decode()
    found, at = [], 0
    for _ in range(count):
        end = text.find("\n", at)
        if end < 0 or not text[at:end].isdigit():
            raise WireError(f"a packed buffer should begin with its length at character {at}, and does not")
        until = end + 1 + int(text[at:end])
        if until > len(text):
            raise WireError(f"a packed buffer at character {at} is truncated")
        found.append(text[at:until].encode())
        at = until
    if at != len(text):
        raise WireError(f"{len(text) - at} characters follow the {count} packed buffers")
    return found


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
