"""Tasks: submit them, ask after them, cancel them."""

from __future__ import annotations

from typing import Final

import msgspec

from afield.service.api.ask import Ask
from afield.wire.rest import (
    BatchStatus,
    BatchStatusRequest,
    CancelAnswer,
    CancelRequest,
    ResultQueue,
    SubmitRequest,
    TaskDocument,
    TaskGroupDocument,
    TaskList,
)

__all__ = ["LISTED_BY", "batch_status", "cancel", "group", "listing", "result_queue", "submit", "task"]

#: What narrows the list of tasks.
LISTED_BY: Final = ("status", "endpoint_id", "function_id", "task_group_id", "search", "before")


async def submit(ask: Ask, endpoint_id: str, body: SubmitRequest) -> msgspec.Raw:
    """Accept tasks for an endpoint, all or none. With the header Idempotency-Key it can be repeated safely."""
    key = ask.header(b"idempotency-key") if ask.unheard is None else ask.unheard.keyless
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


async def listing(ask: Ask) -> TaskList:
    """The caller's tasks, the newest first. status: a state or pending; search: part of label or function name."""
    given = {name: ask.query(name) or None for name in LISTED_BY}
    return await ask.uses.lists.tasks(ask.caller, **given, limit=ask.limit())


async def cancel(ask: Ask, body: CancelRequest) -> CancelAnswer:
    """End tasks wherever they are. One whose endpoint must be asked is answered with where it is, and ends later."""
    return await ask.uses.cancel(ask.caller, body)


async def result_queue(ask: Ask) -> ResultQueue:
    """How to reach the queues on which results stream in. With task_group_id that group's queue is made ready first."""
    group_id = ask.query("task_group_id")
    if group_id:
        return await ask.uses.watch.ready_queue(ask.caller, group_id, ask.wire)
    return await ask.uses.watch.result_queue(ask.caller)
