"""A result ends its task, once, and goes to whoever waits for it.

What must not be lost depends on one order: whoever brought a result may forget it only when it is committed. That it
reaches whoever waits for it need not wait for the disk, and does not: the commit and the way to the task group's queue
are under way together. If the process dies before the commit, the result comes again from its endpoint, which kept it,
and a client that had it already drops the second. If it dies after, the queue is filled from the store (use/refill.py).
Nobody can read an older state meanwhile: a store answers later reads with earlier writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from afield.errors import BrokerError
from afield.service.clock import Clock
from afield.service.domain.documents import to_finished
from afield.service.domain.limits import within
from afield.service.domain.records import FinishedTask
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.wishes import Wishes
from afield.wire.messages import Result

__all__ = ["Finish"]

logger = logging.getLogger(__name__)


class Finish:
    """Ends tasks.

    :param most_bytes: of a result; a larger one is a failure that says so
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        queues: Queues,
        *,
        wishes: Wishes,
        in_flight: InFlight,
        clock: Clock,
        most_bytes: int,
    ) -> None:
        self._most_bytes = most_bytes
        self._store = store
        self._records = records
        self._queues = queues
        self._wishes = wishes
        self._in_flight = in_flight
        self._clock = clock

    async def __call__(self, results: Sequence[tuple[str, Result]]) -> None:
        """Take results; returns when they are safe. Those of tasks that are not their sender's are dropped.

        :param results: who sent it (a user endpoint's id, by the routing key) and what
        """
        now = self._clock.now()
        holders = await self._in_flight.holders({result.task_id for _, result in results})
        ends = []
        wrong: Counter[str] = Counter()
        for sender, result in results:
            if holders.get(result.task_id) == sender:
                ends.append(to_finished(within(result, self._most_bytes), now))
            else:
                wrong[sender] += 1
                if wrong[sender] == 1:
                    # It is anybody's text, of any length.
                    logger.warning("%s sent a result of task %.40r, which it was never given", sender, result.task_id)
        for sender, count in wrong.items():
            if count > 1:
                logger.warning("%s sent %d results of tasks that it was never given", sender, count)
        await self.end(ends)
        # Also those of tasks that had ended: their sender knows of them, and of their end, from now on.
        await self._wishes.answered(end.id for end in ends)

    async def end(self, ends: Sequence[FinishedTask]) -> None:
        """End these tasks, and tell whoever waits for them; tasks that have ended already stay as they are."""
        if not ends:
            return
        open_here = self._in_flight.end([end.id for end in ends])
        first = {end.id: end for end in reversed(ends) if end.id in open_here}
        # In this order: the commit is on its way when the first result leaves.
        commit = asyncio.ensure_future(self._store.finish_tasks(ends))
        unwatched = []
        try:
            unwatched += await self._tell((open_here[end.id], end) for end in ends if first.get(end.id) is end)
        finally:
            ended = await commit
        # What another replica, or an earlier life of this service, had accepted.
        others = ((view.group_id, view.finished) for view in ended if view.finished and view.id not in first)
        unwatched += await self._tell(others)
        if unwatched:
            # Whoever begins to watch later asks first what has ended by then.
            await self._store.mark_delivered(unwatched)

    async def _tell(self, ends: Iterable[tuple[str, FinishedTask]]) -> list[str]:
        """Hand ends to the queues of their task groups; the tasks whose group nobody watches."""
        unwatched: list[str] = []
        by_group: dict[str, list[FinishedTask]] = {}
        for group_id, end in ends:
            by_group.setdefault(group_id, []).append(end)
        for group_id, found in by_group.items():
            group = await self._records.group(group_id)
            if self._queues.survive and (group is None or not group.wire):
                # Another service may have let somebody watch since. After the commit, so that whoever is missed here
                # found these ended when they asked.
                group = await self._records.group(group_id, fresh=True)
            if group is None or not group.wire:
                unwatched += [end.id for end in found]
                continue
            try:
                await self._queues.send_results(group, found)
            except BrokerError as error:
                # They stay undelivered in the store, and are sent again (use/rounds.py, use/refill.py).
                logger.warning("%d results could not be queued; they are stored, and wait: %s", len(found), error)
        return unwatched
