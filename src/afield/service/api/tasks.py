"""Tasks: submit them, ask after them."""

from __future__ import annotations

import msgspec

from afield.service.api.ask import Ask
from afield.wire.rest import (
    BatchStatus,
    BatchStatusRequest,
    ResultQueue,
    SubmitRequest,
    TaskDocument,
    TaskGroupDocument,
)

__all__ = ["batch_status", "group", "result_queue", "submit", "task"]


async def submit(ask: Ask, endpoint_id: str, body: SubmitRequest) -> msgspec.Raw:
    """Accept tasks for an endpoint, all or none. With the header Idempotency-Key it can be repeated safely."""
    key = ask.header(b"idempotency-key")
    return msgspec.Raw(await ask.uses.submit(ask.caller, endpoint_id, body, wire=ask.wire, key=key))


async def task(ask: Ask, task_id: str) -> TaskDocument:
    """What became of one task."""
    return await ask.uses.watch.task(ask.caller, task_id, ask.wire)


async def batch_status(ask: Ask, body: BatchStatusRequest) -> BatchStatus:
    """What became of many tasks."""
    return await ask.uses.watch.tasks(ask.caller, body.task_ids, ask.wire)


async def group(ask: Ask, taskgroup_id: str) -> TaskGroupDocument:
    """The tasks of a group."""
    return await ask.uses.watch.group(ask.caller, taskgroup_id, ask.wire)


async def result_queue(ask: Ask) -> ResultQueue:
    """How to reach the queues on which results stream in."""
    return ask.uses.watch.result_queue(ask.caller)
