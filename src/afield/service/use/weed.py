"""What has ended while nobody read a published user endpoint's queue does not run when it is read again.

Theory. An endpoint of ours is told what is not to run. A published one knows no such message, and runs what is in its
queue: a task that was cancelled or has expired meanwhile, too. To look through a queue for each task that ends would
read the whole of it each time. So it is done once, at the last moment, before a process is told to start: where more
waits in its queue than has not ended, what has ended is taken out. Nobody else reads the queue for that moment, and
what stays keeps its place.
"""

from __future__ import annotations

import logging

from afield.service.domain.records import UserEndpointRecord
from afield.service.domain.user_endpoints import endpoint_wire
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight
from afield.service.use.queues import Queues
from afield.service.use.records import Records

__all__ = ["Weed"]

logger = logging.getLogger(__name__)


class Weed:
    """Takes out of queues what has ended."""

    def __init__(self, store: Store, records: Records, queues: Queues, in_flight: InFlight) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._in_flight = in_flight

    async def before_start(self, user_endpoint: UserEndpointRecord) -> None:
        """A user endpoint is about to be started, by a service that has the queues in memory."""
        endpoint = await self._records.endpoint(user_endpoint.endpoint_id)
        if endpoint is None or endpoint_wire(endpoint) > 1 or await self._queues.is_read(user_endpoint.id):
            return
        held_back = 0 if self._queues.held_back is None else self._queues.held_back.count(user_endpoint.id)
        await self(user_endpoint.id, self._in_flight.waiting(user_endpoint.id) - held_back)

    async def __call__(self, user_endpoint_id: str, expected: int) -> None:
        """Do it for a published user endpoint that nobody reads tasks of.

        :param expected: how many of its tasks have not ended, and are not known to be taken
        """
        if await self._queues.waiting(user_endpoint_id) <= expected:
            return
        queued = await self._queues.waiting_tasks(user_endpoint_id)
        views = await self._store.tasks(queued or ())
        # One that is not known was kept long enough, and so has ended.
        ended = {one for one in queued or () if one not in views or views[one].finished is not None}
        if ended:
            await self._queues.waiting_tasks(user_endpoint_id, but=ended)
            logger.info(
                "%d tasks that have ended were taken out of the queue of user endpoint %s", len(ended), user_endpoint_id
            )
