"""Tasks that will never run, and what is too old to be kept.

A waiting task is never just deleted: it ends first, as failed, and what it failed with reaches whoever holds its future
and is kept as any other end. What was read is kept as long as what was not.

A task that expired is still in its endpoint's queue. Whoever submitted it was told to submit it again, so it must not
run after all: an endpoint of ours is told, on the queue that it reads first. A published one cannot be told: while
nobody reads its queue, the task is taken out of it, now or before it is started again (use/weed.py). When the service
starts again, none of them is queued.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from afield.errors import BrokerError
from afield.service.clock import Clock
from afield.service.domain.documents import failed_task
from afield.service.domain.limits import kept_for, waits_for
from afield.service.domain.records import CancelRecord
from afield.service.domain.user_endpoints import endpoint_wire
from afield.service.settings import Limits
from afield.service.store.base import Store
from afield.service.use.finish import Finish
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.wishes import Wishes
from afield.wire import v2

__all__ = ["Expire"]

logger = logging.getLogger(__name__)

#: Tasks ended in one commit. Each brings its payload along, so not too many.
_PAGE: Final = 200
#: Overdue tasks looked up at once: ids only.
_MANY: Final = 5_000

_CODE: Final = "TaskExpired"


class Expire:
    """Ends what waits in vain, and forgets what was kept long enough.

    :param limits: ``waiting_s`` and ``retention_s`` hold for all task groups that say nothing else
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        queues: Queues,
        *,
        finish: Finish,
        wishes: Wishes,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._finish = finish
        self._wishes = wishes
        self._clock = clock
        self._limits = limits

    async def __call__(self) -> None:
        """Do it for everything. May be repeated at any time."""
        limits, now = self._limits, self._clock.now()
        await self._store.forget_submits(now - limits.repeat_s)
        forgotten = 0
        for group in await self._store.groups_with_times():
            if group.waiting_s is not None:
                await self._fail_overdue(waits_for(group, limits.waiting_s), now, group.id)
            if group.retention_s is not None:
                kept_s = kept_for(group, limits.retention_s)
                forgotten += await self._store.delete_before(now - kept_s, group_id=group.id, open_too=False)
        await self._fail_overdue(limits.waiting_s, now, None)
        forgotten += await self._store.delete_before(now - limits.retention_s, open_too=False)
        await self._queues.forget_old_groups(now - limits.retention_s)
        if forgotten:
            logger.info("%d tasks were kept long enough, and are forgotten", forgotten)

    async def _fail_overdue(self, waits_s: float, now: float, group_id: str | None) -> None:
        """Fail what has waited for longer than this, and what nobody has heard of for as long as the service waits."""
        message = (
            f"It waited {_spoken(waits_s)} for its endpoint, which did not take it in that time. Submit it again, or "
            "give its task group more time."
        )
        seen = now - max(waits_s, self._limits.waiting_s)
        while page := await self._store.overdue(now - waits_s, seen=seen, group_id=group_id, limit=_MANY):
            by_holder: dict[str, list[str]] = {}
            for task_id, holder in page:
                by_holder.setdefault(holder, []).append(task_id)
            for holder, task_ids in by_holder.items():
                await self._end(task_ids, _CODE, message)
                await self._take_back(holder, task_ids)
            logger.info("%d tasks have waited in vain for %s, and failed", len(page), _spoken(waits_s))

    async def abandon(self, user_endpoint_id: str, code: str, message: str) -> list[str]:
        """Fail all tasks that a user endpoint has not finished; their ids.

        :param code: of the failure
        """
        ended: list[str] = []
        while tasks := await self._store.waiting_tasks(user_endpoint_id, limit=_PAGE):
            task_ids = [task.id for task in tasks]
            await self._end(task_ids, code, message)
            ended += task_ids
        return ended

    async def give_up(self, user_endpoint_id: str, code: str, message: str) -> None:
        """Fail all tasks that wait for a user endpoint which will not come; they will not run when it comes after all.

        :param code: of the failure
        """
        ended: list[str] = []
        while tasks := await self._store.waiting_tasks(user_endpoint_id, limit=_PAGE):
            task_ids = [task.id for task in tasks]
            await self._end(task_ids, code, message)
            ended += task_ids
            if len(ended) >= _MANY:  # each time all that waits may have to be looked through
                await self._take_back(user_endpoint_id, ended)
                ended = []
        await self._take_back(user_endpoint_id, ended)

    async def _end(self, task_ids: Sequence[str], code: str, message: str) -> None:
        for begin in range(0, len(task_ids), _PAGE):
            now = self._clock.now()
            await self._finish.end([failed_task(one, code, message, now) for one in task_ids[begin : begin + _PAGE]])

    async def _take_back(self, user_endpoint_id: str, task_ids: Sequence[str]) -> None:
        """See to it that these, which have ended, do not run."""
        if not task_ids:
            return
        user_endpoint = await self._records.user_endpoint(user_endpoint_id)
        endpoint = None if user_endpoint is None else await self._records.endpoint(user_endpoint.endpoint_id)
        if endpoint is None:
            return  # it was deleted, and its queues with it
        try:
            if endpoint_wire(endpoint) >= v2.VERSION[0]:
                now = self._clock.now()
                wishes = [CancelRecord(task_id, user_endpoint_id, now, running=False) for task_id in task_ids]
                await self._queues.send_cancels(user_endpoint_id, wishes)
                return
            if not await self._queues.is_read(user_endpoint_id):
                taken_out = await self._queues.take_out(user_endpoint_id, frozenset(task_ids))
                if taken_out:
                    return
        except BrokerError as error:
            logger.warning("%d tasks that ended could not be taken back just now: %s", len(task_ids), error)
        await self.remember(user_endpoint_id, task_ids)

    async def remember(self, user_endpoint_id: str, task_ids: Sequence[str]) -> None:
        """These have ended and may be in a queue that cannot be reached, or is read: they are not to run after all."""
        if self._queues.survive:
            now = self._clock.now()
            await self._wishes.put([CancelRecord(one, user_endpoint_id, now, running=False) for one in task_ids])


def _spoken(seconds: float) -> str:
    for unit, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}" if seconds != unit else f"one {name[:-1]}"
    return f"{seconds:g} seconds"
