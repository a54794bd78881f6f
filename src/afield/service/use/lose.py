"""Tasks that a published user endpoint took along when it ended: they run again where they may, or fail, saying so.

See :mod:`afield.service.domain.holding` for when that is. A task that is to run again is first nobody's in the store,
then it is queued: whatever is killed in between, it gets into its queue by use/refill.py.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping

from afield.service.clock import Clock
from afield.service.domain.documents import failed_task
from afield.service.domain.holding import runs_again
from afield.service.domain.records import TaskMove
from afield.service.store.base import Store
from afield.service.use.finish import Finish
from afield.service.use.in_flight import InFlight
from afield.service.use.refill import Refill
from afield.states import Actor, TaskState
from afield.wire.messages import CallOptions

__all__ = ["Lose"]

logger = logging.getLogger(__name__)

_CODE = "EndpointLost"
_MESSAGE = (
    "The user endpoint ended while the task was possibly running, and sent no result. It is not run again, for it may "
    "have had effects. Submit it again if that is safe."
)


class Lose:
    """Settles what is lost."""

    def __init__(self, store: Store, in_flight: InFlight, finish: Finish, refill: Refill, clock: Clock) -> None:
        self._store = store
        self._in_flight = in_flight
        self._finish = finish
        self._refill = refill
        self._clock = clock

    async def __call__(self) -> None:
        """Do it for everything. May be repeated at any time."""
        lost = self._in_flight.holding.lost(self._clock.now())
        again = await self._end(lost, {one: options for one in lost if (options := self._in_flight.options(one))})
        by_holder: dict[str, set[str]] = {}
        for task_id in again:
            holder = self._in_flight.holding.holder(task_id)
            if holder is not None:  # else it has ended in this very moment
                by_holder.setdefault(holder, set()).add(task_id)
        self._in_flight.holding.queued_again(again)
        for holder, task_ids in by_holder.items():
            await self._refill.again(holder, task_ids)

    async def settle(self, user_endpoint_id: str, lost: Container[str]) -> None:
        """Do it for tasks of one user endpoint that are known to be lost by other means."""
        found: dict[str, CallOptions | None] = {}
        after = ""
        while page := await self._store.waiting_tasks(user_endpoint_id, after=after):
            found.update((task.id, task.options.call) for task in page if task.id in lost)
            after = page[-1].id
        again = await self._end(list(found), {one: options for one, options in found.items() if options is not None})
        await self._refill.again(user_endpoint_id, again)

    async def _end(self, lost: list[str], options: Mapping[str, CallOptions]) -> list[str]:
        """Fail what may not run again; the others, which are nobody's in the store now."""
        now = self._clock.now()
        again: list[TaskMove] = []
        failed: list[str] = []
        for task_id in lost:
            attempt = await self._next_attempt(task_id, options.get(task_id))
            if attempt is None:
                failed.append(task_id)
            else:
                again.append(TaskMove(task_id, TaskState.WAITING_FOR_ENDPOINT, now, Actor.WEB_SERVICE, attempt))
        if failed:
            logger.info("%d tasks ended with their user endpoint", len(failed))
            await self._finish.end([failed_task(task_id, _CODE, _MESSAGE, now) for task_id in failed])
        if not again:
            return []
        moved = await self._store.move_tasks(again)
        logger.info("%d tasks were lost with their user endpoint, and may run again", len(moved))
        return moved

    async def _next_attempt(self, task_id: str, options: CallOptions | None) -> int | None:
        """The number of the attempt that may follow; None: none may."""
        if options is None:
            return None
        steps = await self._store.steps(task_id)
        lost = 1 + sum(s.state == TaskState.WAITING_FOR_ENDPOINT and s.actor == Actor.WEB_SERVICE for s in steps)
        return lost + 1 if runs_again(options, lost) else None
