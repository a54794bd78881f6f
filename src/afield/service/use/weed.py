"""What has ended while nobody read a published user endpoint's queue does not run when it is read again.

Theory. An endpoint of ours is told what is not to run. A published one knows no such message, and runs what is in its
queue. A broker in this process leaves out what has ended when it delivers. One elsewhere cannot, so the wish that a
task be cancelled stays in the store, and while nobody reads the queue, whoever makes rounds or is about to start the
user endpoint takes the tasks of such wishes out of it, all in one look. What stays keeps its place.
"""

from __future__ import annotations

import logging
from typing import Final

from afield.service.use.queues import Queues
from afield.service.use.wishes import Wishes

__all__ = ["Weed"]

logger = logging.getLogger(__name__)

#: Seconds in which a published endpoint has acknowledged what was delivered to it, or lost its connection.
_TAKEN_S: Final = 600.0


class Weed:
    """Takes out of queues that survive what has ended."""

    def __init__(self, queues: Queues, wishes: Wishes) -> None:
        self._queues = queues
        self._wishes = wishes

    async def wanted(self) -> set[str]:
        """The user endpoints of all wishes, also those of ours, who are asked themselves."""
        return {wish.user_endpoint_id for wish in await self._wishes.all()}

    async def forget(self, user_endpoint_id: str) -> None:
        """There is no such user endpoint any more."""
        await self._wishes.answered([wish.task_id for wish in await self._wishes.of(user_endpoint_id)])

    async def forget_old(self, user_endpoint_id: str, now: float) -> None:
        """Somebody reads the tasks of a published user endpoint: once nothing waits there, what was wished a while ago
        is about tasks that it has taken.
        """
        if not await self._queues.waiting(user_endpoint_id):
            old = [one.task_id for one in await self._wishes.of(user_endpoint_id) if one.asked_at < now - _TAKEN_S]
            await self._wishes.answered(old)

    async def __call__(self, user_endpoint_id: str) -> None:
        """Do it for a published user endpoint that nobody reads tasks of."""
        wishes = await self._wishes.of(user_endpoint_id)
        ended = {wish.task_id for wish in wishes}
        if not ended:
            return
        if await self._queues.waiting(user_endpoint_id) and not await self._queues.take_out(user_endpoint_id, ended):
            return  # somebody has begun to read; next time
        await self._wishes.answered(ended)
        logger.info("%d tasks that have ended do not wait for user endpoint %s any more", len(ended), user_endpoint_id)
