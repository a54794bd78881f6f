"""Tasks: submit them, ask after them. The first three are hot: see :mod:`afield.service.api.edge`."""

from __future__ import annotations

import msgspec

from afield.service.api.plain import Request
from afield.service.domain.caller import Caller
from afield.service.use.assemble import Uses
from afield.wire.rest import BatchStatusRequest, ResultQueue, SubmitRequest, TaskGroupDocument

__all__ = ["batch_status", "result_queue", "submit", "task", "task_group"]

_encode = msgspec.json.Encoder().encode
_submit = msgspec.json.Decoder(SubmitRequest).decode
_batch_status = msgspec.json.Decoder(BatchStatusRequest).decode


async def submit(uses: Uses, caller: Caller, request: Request, endpoint_id: str) -> bytes:
    """Accept tasks for an endpoint. Send the header ``Idempotency-Key`` to be able to repeat it safely."""
    key = request.header(b"idempotency-key")
    body = _submit(await request.body())
    return await uses.submit(caller, endpoint_id, body, wire=request.wire, key=key)


async def batch_status(uses: Uses, caller: Caller, request: Request) -> bytes:
    """What became of many tasks."""
    wanted = _batch_status(await request.body())
    return _encode(await uses.watch.tasks(caller, wanted.task_ids, request.wire))


async def task(uses: Uses, caller: Caller, request: Request, task_id: str) -> bytes:
    """What became of one task."""
    return _encode(await uses.watch.task(caller, task_id, request.wire))


async def task_group(taskgroup_id: str, caller: Caller, uses: Uses, wire: int) -> TaskGroupDocument:
    """The tasks of a group."""
    return await uses.watch.group(caller, taskgroup_id, wire)


async def result_queue(caller: Caller, uses: Uses) -> ResultQueue:
    """How to reach the queues on which results stream in."""
    return uses.watch.result_queue(caller)
