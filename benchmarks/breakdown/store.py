"""What it costs to make a task, and its end, durable: SQLite on this disk, as `afield up` has it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from afield.ids import new_id, new_ids
from afield.service.domain.records import FinishedTask, TaskRecord
from afield.service.store.base import Store
from afield.service.store.factory import open_store
from afield.states import TaskState
from benchmarks.breakdown.parts import Amount, Figure, batches, payload_of, results, timed_async

__all__ = ["accept", "finish"]

#: Submits, or messages with results, that are under way at once.
WINDOW = 4


def accept(amount: Amount) -> Figure:
    """Tasks are accepted: the commit that a submit waits for."""
    return asyncio.run(_measured(amount, finishing=False))


def finish(amount: Amount) -> Figure:
    """Tasks end: the commit that an endpoint waits for before it forgets a result."""
    return asyncio.run(_measured(amount, finishing=True))


async def _measured(amount: Amount, *, finishing: bool) -> Figure:
    with tempfile.TemporaryDirectory(prefix="bench-store-") as directory:
        store = open_store(Path(directory))
        await store.open()
        try:
            return await _timed(store, amount, finishing=finishing)
        finally:
            await store.close()


async def _timed(store: Store, amount: Amount, *, finishing: bool) -> Figure:
    group, owner, endpoint, user_endpoint, function = new_ids(5)
    payload, value = payload_of(7), results([new_id()])[0]

    def accepted(ids: Sequence[str]) -> list[TaskRecord]:
        now = time.time()
        return [TaskRecord(i, group, owner, endpoint, user_endpoint, function, payload, now) for i in ids]

    def finished(ids: Sequence[str]) -> list[FinishedTask]:
        steps = tuple((step.timestamp, step.state, step.actor) for step in value.statuses)
        now = time.time()
        return [FinishedTask(i, TaskState.SUCCESS, now, value.data, None, value.details, steps) for i in ids]

    ids = new_ids(amount.tasks)
    alone_ids = new_ids(amount.calls + 20)
    if finishing:
        for batch in batches([*ids, *alone_ids], 1000):
            await store.add_tasks(accepted(batch))

    async def write(some: Sequence[str]) -> None:
        if finishing:
            await store.finish_tasks(finished(some))
        else:
            await store.add_tasks(accepted(some))

    async def many() -> None:
        waiting = iter(batches(ids, amount.batch))

        async def line() -> None:
            for batch in waiting:
                await write(batch)

        await asyncio.gather(*(line() for _ in range(WINDOW)))

    return await timed_async(amount, many, lambda i: write([alone_ids[i]]))
