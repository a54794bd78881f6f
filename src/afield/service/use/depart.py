"""An endpoint is deleted: nothing of it may be left, whatever happens on the way.

Theory. It is gone with one commit, which also remembers its departure: from then on nobody finds it, and whoever
deleted it is told so. What is left elsewhere is cleared away at once as far as that is possible: the connections of its
processes are ended, its tasks fail and say why, its queues are removed. A broker that does not answer just then, or a
service that is killed, leaves the rest to whoever makes rounds, who clears away again what any departure may have left.
A departure is forgotten when all is cleared and a while has passed in which a submit that crossed it has come to its
end, so that no task waits for an endpoint that is not there.

Logins are not remembered: those of an endpoint that is not there let nobody in, and rounds find them (see
:meth:`afield.service.broker.Broker.tidy`). All of it may be done twice, by two services at once, or be cut off
anywhere.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from afield.errors import BrokerError
from afield.service.clock import Clock
from afield.service.domain.names import CoreLogin, UserLogin
from afield.service.domain.records import Departure, EndpointRecord
from afield.service.store.base import Store
from afield.service.use.expire import Expire
from afield.service.use.queues import Queues
from afield.service.use.records import Records

__all__ = ["Depart"]

logger = logging.getLogger(__name__)

#: Seconds after which a submit that found the endpoint there has ended.
_LATE_S: Final = 60.0


class Depart:
    """Sees endpoints off.

    :param expire: fails their tasks
    """

    def __init__(self, store: Store, records: Records, queues: Queues, *, expire: Expire, clock: Clock) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._expire = expire
        self._clock = clock

    async def delete(self, endpoint: EndpointRecord) -> bool:
        """Delete it; whether it was still there. What cannot be cleared away just now is left to rounds."""
        user_endpoints = await self._store.user_endpoints(endpoint.id)
        departure = await self._records.delete_endpoint(endpoint.id)
        if departure is None:
            return False
        await self._queues.revoke(*(UserLogin(one.id, one.generation) for one in user_endpoints))
        await self._end_tasks(departure)
        # Last, for it ends its user endpoints, and they would say of their tasks only that they were stopped.
        await self._queues.revoke(CoreLogin(endpoint.id, endpoint.generation))
        await self._remove_queues(departure)
        return True

    async def __call__(self) -> None:
        """One round: clear away what departures have left."""
        is_away = False
        for departure in await self._store.departures():
            whole = await self._whole(departure)
            await self._end_tasks(whole)
            is_away = is_away or not await self._remove_queues(whole)
            if not is_away and self._clock.now() >= departure.deleted_at + _LATE_S:
                await self._store.forget_departure(departure.id)

    async def _whole(self, departure: Departure) -> Departure:
        """With the user endpoints that a submit which crossed it has added since."""
        late = [one.id for one in await self._store.user_endpoints(departure.id)]
        return msgspec.structs.replace(departure, user_endpoint_ids=(*departure.user_endpoint_ids, *late))

    async def _end_tasks(self, departure: Departure) -> None:
        people = self._store.people
        for grant in await people.grants_on(departure.id):
            await people.delete_grant(departure.id, grant.principal, grant.principal_id)
        why = f"Endpoint {departure.name!r} ({departure.id}) was deleted."
        for user_endpoint_id in departure.user_endpoint_ids:
            await self._expire.abandon(user_endpoint_id, "EndpointDeleted", why)

    async def _remove_queues(self, departure: Departure) -> bool:
        """Whether that could be done."""
        try:
            await self._queues.delete_endpoint(departure.id, departure.user_endpoint_ids)
        except BrokerError as error:
            logger.warning("queues of endpoints that were deleted are removed later: %s", error)
            return False
        return True
