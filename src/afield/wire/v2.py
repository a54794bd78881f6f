"""Our own envelope: one version byte 0x02, then MessagePack. Many tasks, results, notices or cancels in one message.

A batch of tasks holds each distinct function once; tasks refer to it by its place. Payloads are bytes, not text, so
nothing is inflated on the way. A peer that has not said that it reads this version never sees it: endpoints say so when
they register, clients with every request (see :data:`WIRE_HEADER`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec

from afield.errors import WireError
from afield.wire.malformed import MALFORMED
from afield.wire.messages import CallOptions, Cancel, ErrorDetails, Nanoseconds, Notice, Result, Task, Transition
from afield.wire.plain import is_plain

__all__ = ["VERSION", "WIRE_HEADER", "decode", "encode_cancels", "encode_notices", "encode_results", "encode_tasks"]

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
    options: CallOptions | None = None


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


#: Of the bounds of every database's smaller integers: a notice that no store can keep must not get as far as one.
_Tries = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Notices(msgspec.Struct, array_like=True, tag="notices"):
    notices: list[tuple[str, str, Nanoseconds, _Tries, str]]


class _Cancels(msgspec.Struct, array_like=True, tag="cancels"):
    cancels: list[tuple[str, bool]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Tasks | _Results | _Notices | _Cancels).decode


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
            task.options,
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


def encode_notices(notices: Iterable[Notice]) -> bytes:
    """One body with all of ``notices``."""
    return VERSION + _encode(_Notices([(one.task_id, one.state, one.at, one.attempt, one.refusal) for one in notices]))


def encode_cancels(cancels: Iterable[Cancel]) -> bytes:
    """One body with all of ``cancels``."""
    return VERSION + _encode(_Cancels([(one.task_id, one.running) for one in cancels]))


def decode(body: bytes) -> Sequence[Task] | Sequence[Result] | Sequence[Notice] | Sequence[Cancel]:
    """Read a body of this version: all of one kind.

    :raises WireError: when it is truncated or foreign
    """
    try:
        batch = _decode(memoryview(body)[1:])
        if isinstance(batch, _Results):
            return [_result(row) for row in batch.results]
    except MALFORMED as error:
        raise WireError(f"a batch is not what its sender should have sent: {error}") from error
    if isinstance(batch, _Notices):
        return [Notice(*row) for row in batch.notices]
    if isinstance(batch, _Cancels):
        return [Cancel(*row) for row in batch.cancels]
    codes = batch.codes
    if any(not 0 <= row.code < len(codes) for row in batch.tasks):
        raise WireError("a batch of tasks refers to a function that it does not hold")
    return [
        Task(row.task_id, row.function_id, codes[row.code], row.payload, row.resource_specification,
             row.result_serializers, row.options)
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
