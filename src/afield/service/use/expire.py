"""Tasks that will never run, and what is too old to be kept."""

from __future__ import annotations

import logging
from typing import Final

from afield.service.clock import Clock
from afield.service.domain.documents import failed_task
from afield.service.store.base import Store
from afield.service.use.finish import Finish
from afield.service.use.queues import Queues

__all__ = ["Expire"]

logger = logging.getLogger(__name__)

#: Tasks ended in one commit. Each brings its payload along, so not too many.
_PAGE: Final = 200


class Expire:
    """Ends what waits in vain, and forgets what was kept long enough.

    :param retention_s: seconds from a task's acceptance until it no longer waits, and from its end until it is
        forgotten
    """

    def __init__(self, store: Store, finish: Finish, queues: Queues, clock: Clock, retention_s: float) -> None:
        self._store = store
        self._finish = finish
        self._queues = queues
        self._clock = clock
        self._retention_s = retention_s

    async def __call__(self) -> None:
        """Do it for everything. May be repeated at any time."""
        moment = self._clock.now() - self._retention_s
        message = (
            f"It waited {self._retention_s / 86_400:g} days for its endpoint, which did not come. Submit it again."
        )
        for user_endpoint_id in await self._store.waiting_counts():
            await self.abandon(user_endpoint_id, "TaskExpired", message, before=moment)
        forgotten = await self._store.delete_before(moment)
        await self._queues.forget_old_groups(moment)
        if forgotten:
            logger.info("%d tasks were kept long enough, and are forgotten", forgotten)

    async def abandon(self, user_endpoint_id: str, code: str, message: str, *, before: float | None = None) -> None:
        """Fail the tasks that wait for a user endpoint.

        :param code: of the failure
        :param before: only those that were accepted before this moment (unix seconds)
        """
        while True:
            tasks = await self._store.waiting_tasks(user_endpoint_id, limit=_PAGE)
            # By rising id, which is by age: after the first one that is young enough all are.
            doomed = [task for task in tasks if before is None or task.created_at < before]
            if doomed:
                now = self._clock.now()
                await self._finish.end([failed_task(task.id, code, message, now) for task in doomed])
            if len(doomed) < _PAGE:
                return
