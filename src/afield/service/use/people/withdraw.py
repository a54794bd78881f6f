"""Somebody may not run tasks on an endpoint any more: what they have there ends.

Their user endpoints are thrown out of the queues, which ends their processes, and their tasks that have not ended fail,
saying why. A task that was running may have had its effects; what it returns is dropped.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from afield.errors import BrokerError
from afield.service.domain.access import ENDED_BY_WITHDRAWAL, Action
from afield.service.domain.names import UserLogin
from afield.service.domain.people import Principal
from afield.service.domain.records import EndpointRecord, UserEndpointRecord
from afield.service.store.base import Store
from afield.service.use.expire import Expire
from afield.service.use.people.callers import caller_of
from afield.service.use.people.permit import Permit
from afield.service.use.queues import Queues
from afield.service.use.records import Records

__all__ = ["Withdraw"]

logger = logging.getLogger(__name__)

_WHY: Final = (
    "You may not run tasks on endpoint {name!r} ({id}) any more: what was shared with you was taken back. If the task "
    "was running, it may have had its effects. Ask its owner."
)


class Withdraw:
    """Looks who is still let in, after something was taken back. May be repeated at any time."""

    def __init__(self, store: Store, records: Records, queues: Queues, *, permit: Permit, expire: Expire) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._permit = permit
        self._expire = expire

    async def of_endpoint(self, endpoint: EndpointRecord) -> None:
        """A grant on this endpoint was taken back, or became a smaller one."""
        for user_endpoint in await self._store.user_endpoints(endpoint.id):
            if user_endpoint.identity_id == endpoint.owner_id:
                continue
            if not await self._may_stay(endpoint, user_endpoint):
                await self._end(endpoint, user_endpoint)

    async def of_team(self, team_id: str) -> list[EndpointRecord]:
        """The endpoints that are shared with a group of people: those to look at when somebody leaves it."""
        grants = await self._store.people.grants_to([(Principal.TEAM, team_id)])
        found = [await self._records.endpoint(grant.object_id) for grant in grants]
        return [endpoint for endpoint in found if endpoint is not None]

    async def _may_stay(self, endpoint: EndpointRecord, user_endpoint: UserEndpointRecord) -> bool:
        identity = await self._store.people.identity(user_endpoint.identity_id)
        if identity is None:
            return False
        caller = await caller_of(self._store.people, identity)
        return await self._permit.refusal(Action.RUN_ON_ENDPOINT, caller, endpoint) is None

    async def _end(self, endpoint: EndpointRecord, user_endpoint: UserEndpointRecord) -> None:
        logger.info("%s is not let in on endpoint %s any more", user_endpoint.identity_id, endpoint.id)
        await self._records.change_user_endpoint(
            user_endpoint.id, lambda one: msgspec.structs.replace(one, generation=one.generation + 1, active=False)
        )
        await self._queues.revoke(UserLogin(user_endpoint.id, user_endpoint.generation))
        ended = await self._expire.abandon(
            user_endpoint.id, ENDED_BY_WITHDRAWAL, _WHY.format(name=endpoint.name, id=endpoint.id)
        )
        try:
            # What waits there has ended: it must not run if its submitter is let in again.
            await self._queues.forget_tasks(user_endpoint.id)
        except BrokerError as error:
            logger.warning("tasks that ended could not be taken from the queue of %s: %s", user_endpoint.id, error)
            await self._expire.remember(user_endpoint.id, ended)
