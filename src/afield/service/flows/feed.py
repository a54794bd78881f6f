"""What did not fit into a queue in memory goes there when there is room: results when clients have taken some, and
tasks when their endpoint has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from afield.service.domain import names
from afield.service.flows.settled import Acknowledged
from afield.service.store.base import Store
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.refill import Refill

__all__ = ["Feed", "FeedTasks"]

#: Results read at once: few, for each may be large.
_PAGE: Final = 16


class Feed:
    """Fills queues from the store.

    :param queues: with a :class:`~afield.service.domain.backlog.Backlog`, or nothing is left out
    """

    def __init__(self, store: Store, records: Records, queues: Queues) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._ready: dict[str, None] = {}
        self._something = asyncio.Event()

    def taken(self, queue: str, messages: Sequence[Acknowledged]) -> None:
        """Messages of a queue were acknowledged by a peer. Does not wait."""
        group_id, backlog = names.group_of_queue(queue), self._queues.backlog
        if group_id is None or backlog is None:
            return
        if backlog.taken(group_id, sum(len(message.body) for message in messages)):
            self._is_ready(group_id)

    async def run(self) -> None:
        """Put results into queues that have room, for ever: some for each in turn, for who takes them as fast as they
        come has room for ever.
        """
        while True:
            await self._something.wait()
            self._something.clear()
            ready, self._ready = self._ready, {}
            for group_id in ready:
                await self._fill(group_id)

    def _is_ready(self, group_id: str) -> None:
        self._ready[group_id] = None
        self._something.set()

    async def look_around(self) -> None:
        """Find queues that were emptied by somebody who does not acknowledge."""
        backlog = self._queues.backlog
        for group_id in [] if backlog is None else backlog.outside():
            group = await self._records.group(group_id)
            if backlog is not None and (group is None or not await self._queues.results_waiting(group)):
                backlog.is_empty(group_id)
                await self._fill(group_id)

    async def _fill(self, group_id: str) -> None:
        backlog = self._queues.backlog
        if backlog is None or not (task_ids := backlog.next(group_id, _PAGE)):
            return
        group = await self._records.group(group_id)
        views = await self._store.tasks(task_ids)
        ends = [view.finished for view in views.values() if view.finished is not None]
        if group is not None and ends:
            await self._queues.put_results(group, ends)
        self._is_ready(group_id)  # perhaps there is more, and room for it


class FeedTasks:
    """Fills the queues of user endpoints from the store.

    :param queues: with a :class:`~afield.service.domain.held_back.HeldBack`, or nothing is left out
    """

    def __init__(self, queues: Queues, refill: Refill) -> None:
        self._refill = refill
        self._ready: dict[str, None] = {}
        self._something = asyncio.Event()
        queues.on_low = self._low
        for user_endpoint_id in [] if queues.held_back is None else queues.held_back.everybody():
            self._low(user_endpoint_id)

    def _low(self, user_endpoint_id: str) -> None:
        self._ready[user_endpoint_id] = None
        self._something.set()

    async def run(self) -> None:
        """Put tasks into queues that have room, for ever: some for each in turn."""
        while True:
            await self._something.wait()
            self._something.clear()
            ready, self._ready = self._ready, {}
            for user_endpoint_id in ready:
                if await self._refill.held_back(user_endpoint_id):
                    self._low(user_endpoint_id)
