"""Our own envelope: one version byte 0x02, then MessagePack. Many tasks or results ride in one message.

A batch of tasks holds each distinct function once; tasks refer to it by its place. Payloads are bytes, not text, so
nothing is inflated on the way. A peer that has not said that it reads this version never sees it: endpoints say so when
they register, clients with every request (see :data:`WIRE_HEADER`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from afield.errors import WireError
from afield.wire.malformed import MALFORMED
from afield.wire.messages import ErrorDetails, Nanoseconds, Result, Task, Transition
from afield.wire.plain import is_plain

__all__ = ["VERSION", "WIRE_HEADER", "decode", "encode_results", "encode_tasks"]

VERSION = b"\x02"

#: HTTP header of our clients (value: the highest version they read) and key in the metadata of our endpoints.
WIRE_HEADER: Final = "X-Afield-Wire"


class _Task(msgspec.Struct, array_like=True, omit_defaults=True):
    task_id: str
    function_id: str
    code: int  # index into _Tasks.codes
    payload: bytes
    resource_specification: dict[str, Any] | None = None
    result_serializers: tuple[str, ...] = ()


class _Tasks(msgspec.Struct, array_like=True, tag="tasks"):
    codes: list[bytes]
    tasks: list[_Task]


class _Result(msgspec.Struct, array_like=True, omit_defaults=True):
    task_id: str
    data: bytes
    error: tuple[str, str] | None = None
    details: dict[str, Any] | None = None
    statuses: list[tuple[Nanoseconds, str, str]] = []
    exception: bytes | None = None


class _Results(msgspec.Struct, array_like=True, tag="results"):
    results: list[_Result]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Tasks | _Results).decode


def encode_tasks(tasks: Iterable[Task]) -> bytes:
    """One body with all of ``tasks``."""
    places: dict[bytes, int] = {}
    rows = [
        _Task(
            task.task_id,
            task.function_id,
            places.setdefault(task.code, len(places)),
            task.payload,
            task.resource_specification,
            task.result_serializers,
        )
        for task in tasks
    ]
    return VERSION + _encode(_Tasks(list(places), rows))


def encode_results(results: Iterable[Result]) -> bytes:
    """One body with all of ``results``."""
    rows = [
        _Result(
            result.task_id,
            result.data,
            (result.error.code, result.error.user_message) if result.error else None,
            result.details,
            [(step.timestamp, step.state, step.actor) for step in result.statuses],
            result.exception,
        )
        for result in results
    ]
    return VERSION + _encode(_Results(rows))


def decode(body: bytes) -> Sequence[Task] | Sequence[Result]:
    """Read a body of this version: all tasks, or all results.

    :raises WireError: when it is truncated or foreign
    """
    try:
        batch = _decode(memoryview(body)[1:])
        if isinstance(batch, _Results):
            return [_result(row) for row in batch.results]
    except MALFORMED as error:
        raise WireError(f"a batch is not what its sender should have sent: {error}") from error
    codes = batch.codes
    if any(not 0 <= row.code < len(codes) for row in batch.tasks):
        raise WireError("a batch of tasks refers to a function that it does not hold")
    return [
        Task(row.task_id, row.function_id, codes[row.code], row.payload, row.resource_specification,
             row.result_serializers)
        for row in batch.tasks
    ]  # fmt: skip


def _result(row: _Result) -> Result:
    if row.details and not is_plain(row.details):
        raise WireError(f"the details of the result of task {row.task_id} hold more than JSON can say")
    return Result(
        task_id=row.task_id,
        data=row.data,
        error=ErrorDetails(*row.error) if row.error else None,
        details=row.details,
        statuses=tuple(Transition(*step) for step in row.statuses),
        exception=row.exception,
    )
