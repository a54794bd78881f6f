"""A result ends its task, once, and goes to whoever waits for it.

What must not be lost depends on the order here: the end is committed first, then handed to the task group's queue, and
only then may whoever brought it forget it. If the process dies in between, the result comes again and changes nothing,
and the queue is filled from the store (use/refill.py).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from afield.service.clock import Clock
from afield.service.domain.documents import to_finished
from afield.service.domain.records import FinishedTask
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.wire.messages import Result

__all__ = ["Finish"]

logger = logging.getLogger(__name__)


class Finish:
    """Ends tasks."""

    def __init__(self, store: Store, records: Records, queues: Queues, in_flight: InFlight, clock: Clock) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._in_flight = in_flight
        self._clock = clock

    async def __call__(self, results: Sequence[tuple[str, Result]]) -> None:
        """Take results; returns when they are safe. Those of tasks that are not their sender's are dropped.

        :param results: who sent it (a user endpoint's id, by the routing key) and what
        """
        now = self._clock.now()
        holders = await self._in_flight.holders({result.task_id for _, result in results})
        ends = []
        for sender, result in results:
            if holders.get(result.task_id) == sender:
                ends.append(to_finished(result, now))
            else:
                logger.warning("%s sent a result of task %s, which it was never given", sender, result.task_id)
        await self.end(ends)

    async def end(self, ends: Sequence[FinishedTask]) -> None:
        """End these tasks, and tell whoever waits for them; tasks that have ended already stay as they are."""
        if not ends:
            return
        ended = await self._store.finish_tasks(ends)
        self._in_flight.holding.end(end.id for end in ends)
        by_group: dict[str, list[FinishedTask]] = {}
        for view in ended:
            assert view.finished is not None
            by_group.setdefault(view.group_id, []).append(view.finished)
        for group_id, found in by_group.items():
            group = await self._records.group(group_id)
            if group is not None and group.wire:
                await self._queues.send_results(group, found)
            else:
                # Nobody watches. Whoever begins to watch later asks first what has ended by then.
                await self._store.mark_delivered([end.id for end in found])
