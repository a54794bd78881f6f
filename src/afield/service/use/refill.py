"""Queues live in memory, the truth in the store: fill the queues again from there.

This is done when the service starts, before anybody is let in, so nothing is in the queues yet. It is what makes the
promises "accepted means stored" and "a killed service finds all it had accepted" true. What a user endpoint had taken
for good is not queued: it runs there, or its life has ended, and then it is settled (use/lose.py).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Container, Sequence
from typing import Final
from uuid import UUID

from afield.service.domain.documents import to_task
from afield.service.domain.holding import EARLY, GONE
from afield.service.domain.records import CancelRecord, FinishedTask, TaskGroupRecord, TaskRecord
from afield.service.domain.user_endpoints import endpoint_wire
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.sending import TasksNotSent
from afield.service.use.wishes import Wishes
from afield.wire import v2
from afield.wire.messages import Task

__all__ = ["Refill"]

logger = logging.getLogger(__name__)

#: Tasks or results read at once; each brings its payload. How large those are is known from the page before.
_PAGE: Final = 500
_FIRST_PAGE: Final = 50
_PAGE_BYTES: Final = 16_000_000


class Refill:
    """Fills queues from the store."""

    def __init__(self, store: Store, records: Records, queues: Queues, *, wishes: Wishes, in_flight: InFlight) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._wishes = wishes
        self._in_flight = in_flight

    async def everything(self) -> None:
        """Declare the queues of all endpoints and of all groups that have work, and fill them."""
        wires: dict[str, int] = {}
        for endpoint in await self._store.endpoints():
            await self._queues.declare_core(endpoint.id)
            wires[endpoint.id] = endpoint_wire(endpoint)
        wishes: dict[str, list[CancelRecord]] = {}
        for wish in await self._wishes.all():
            wishes.setdefault(wish.user_endpoint_id, []).append(wish)
        tasks = 0
        for user_endpoint in await self._store.user_endpoints():
            wire = wires.get(user_endpoint.endpoint_id, 1)
            await self._queues.declare_user(user_endpoint.id, wire)
            if wire >= v2.VERSION[0] and user_endpoint.id in wishes:
                await self._queues.send_cancels(user_endpoint.id, wishes[user_endpoint.id])
            tasks += await self._tasks(user_endpoint.id, wire)
        results = await self._results()
        if tasks or results:
            logger.info("queued again from the store: %d tasks, %d results that nobody has taken yet", tasks, results)

    async def _tasks(self, user_endpoint_id: str, wire: int) -> int:
        """Queue those that nobody has taken, and know of all."""
        taken = {one.id: one.life for one in await self._store.taken_tasks(user_endpoint_id)}
        count = 0
        async for page in self._waiting(user_endpoint_id):
            for group_id in {task.group_id for task in page}:
                group = await self._records.group(group_id)
                if group is not None and group.wire:
                    await self._queues.declare_group(group)
            self._in_flight.begin(page)
            for task in page:
                if task.id in taken:
                    by = GONE if taken[task.id] else EARLY
                    self._in_flight.holding.taken(user_endpoint_id, [task.id], by)
            queued = [task for task in page if task.id not in taken]
            if queued:
                await self._queues.send_tasks(user_endpoint_id, wire, await self._as_sent(queued))
            count += len(queued)
        return count

    async def _waiting(self, user_endpoint_id: str) -> AsyncIterator[list[TaskRecord]]:
        after, limit = "", _FIRST_PAGE
        while page := await self._store.waiting_tasks(user_endpoint_id, after=after, limit=limit):
            after, size = page[-1].id, sum(len(task.payload) for task in page)
            limit = max(1, min(_PAGE, _PAGE_BYTES * len(page) // (size + 1)))
            yield page

    async def again(self, user_endpoint_id: str, task_ids: Container[str], sent: set[str] | None = None) -> None:
        """Queue these tasks of a user endpoint once more; they were taken, and nobody has them any more.

        :param sent: gets those that were sent, or may have been: however this ends, the others certainly were not
        :raises BrokerError: it broke off
        """
        sent = set() if sent is None else sent
        wire = await self._wire(user_endpoint_id)
        if wire is None:
            return
        await self._queues.declare_user(user_endpoint_id, wire)
        async for page in self._waiting(user_endpoint_id):
            tasks = await self._as_sent([task for task in page if task.id in task_ids])
            if not tasks:
                continue
            sent.update(task.task_id for task in tasks)
            try:
                await self._queues.send_tasks(user_endpoint_id, wire, tasks)
            except TasksNotSent as error:
                sent.difference_update(error.task_ids)
                raise

    async def adopt(self, user_endpoint_id: str, task_ids: Sequence[str]) -> None:
        """Queue tasks that are in the store and that this service did not know of."""
        wire = await self._wire(user_endpoint_id)
        if wire is None:
            return
        unknown = [one for one in task_ids if not self._in_flight.is_open(one)]
        tasks = await self._unfinished(user_endpoint_id, unknown) if unknown else []
        if tasks:
            await self._queues.declare_user(user_endpoint_id, wire)
            self._in_flight.begin(tasks)
            await self._queues.send_tasks(user_endpoint_id, wire, await self._as_sent(tasks))

    async def held_back(self, user_endpoint_id: str) -> bool:
        """Put some of the tasks that were held back into their queue, if it has room; whether to ask again at once."""
        task_ids = self._queues.next_held_back(user_endpoint_id)
        if not task_ids:
            return False
        wire = await self._wire(user_endpoint_id)
        if wire is None:
            return False
        tasks = await self._as_sent(await self._unfinished(user_endpoint_id, task_ids))
        await self._queues.put_held_back(user_endpoint_id, wire, task_ids, tasks)
        return True

    async def _wire(self, user_endpoint_id: str) -> int | None:
        """The version of the envelope that it reads; None: it was deleted a moment ago, and its tasks fail."""
        user_endpoint = await self._records.user_endpoint(user_endpoint_id)
        endpoint = None if user_endpoint is None else await self._records.endpoint(user_endpoint.endpoint_id)
        return None if endpoint is None else endpoint_wire(endpoint)

    async def _unfinished(self, user_endpoint_id: str, task_ids: Sequence[str]) -> list[TaskRecord]:
        """Those of the tasks that have not ended, in this order. Their ids rise, nearly always, without a gap."""
        wanted, found, left = set(task_ids), dict[str, TaskRecord](), sorted(task_ids)
        while left:
            before = str(UUID(int=UUID(left[0]).int - 1))
            page = await self._store.waiting_tasks(user_endpoint_id, after=before, limit=len(left))
            found.update((task.id, task) for task in page if task.id in wanted)
            if len(page) < len(left):
                break
            left = [task_id for task_id in left if task_id > page[-1].id]
        return [found[task_id] for task_id in task_ids if task_id in found]

    async def _as_sent(self, records: Sequence[TaskRecord]) -> list[Task]:
        functions = await self._store.functions({record.function_id for record in records})
        for record in records:
            if record.function_id not in functions:
                logger.error("task %s waits for function %s, which is not in the store", record.id, record.function_id)
        return [
            to_task(record, functions[record.function_id].code) for record in records if record.function_id in functions
        ]

    async def late_results(self, before: float) -> None:
        """Queue results that came before this moment (unix seconds) and that no queue is known to hold."""
        if count := await self._results(before=before):
            logger.info("%d results are not known to be in their queue, and are sent again", count)

    async def _results(self, only: str | None = None, before: float | None = None) -> int:
        count, after = 0, ""
        while page := await self._store.undelivered(after=after, limit=_PAGE):
            by_group: dict[str, list[FinishedTask]] = {}
            for view in page:
                if view.finished is None or (before is not None and view.finished.completed_at >= before):
                    continue
                if only in {None, view.group_id}:
                    by_group.setdefault(view.group_id, []).append(view.finished)
            for group_id, ends in by_group.items():
                group = await self._records.group(group_id)
                if group is not None and group.wire:
                    await self._queues.declare_group(group)
                    await self._queues.send_results(group, ends)
                    count += len(ends)
            after = page[-1].id
        return count

    async def group(self, group: TaskGroupRecord) -> None:
        """Spell a group's waiting results anew, because somebody watches it who reads only an older envelope."""
        await self._queues.declare_group(group)
        await self._queues.forget_group(group)
        if not self._queues.survive:
            await self._results(only=group.id)
            return
        # What such a queue holds counts as delivered, so all that the group has is spelled anew.
        views = await self._store.group_tasks(group.id)
        for begin in range(0, len(views), _PAGE):
            page = await self._store.tasks([view.id for view in views[begin : begin + _PAGE]])
            if ends := [view.finished for view in page.values() if view.finished is not None]:
                await self._queues.send_results(group, ends)
