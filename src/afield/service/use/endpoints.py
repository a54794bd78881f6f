"""Endpoints as people see them: list, describe, status; and stop or delete from afar."""

from __future__ import annotations

import msgspec

from afield.ids import parse_id
from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.access import Action
from afield.service.domain.caller import Caller
from afield.service.domain.documents import endpoint_document, endpoint_status, endpoint_summary
from afield.service.domain.records import EndpointRecord
from afield.service.store.base import Store
from afield.service.use.depart import Depart
from afield.service.use.people.permit import Permit
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.register_endpoint import revoke
from afield.wire.rest import AllowedFunctions, EndpointDocument, EndpointStatus, EndpointSummary, LockResponse

__all__ = ["Endpoints"]


class Endpoints:
    """What can be asked of endpoints, and done to them.

    :param depart: sees to what is left of one that is deleted
    :param permit: who may
    :param lock_s: seconds for which one that was stopped may not come back
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        queues: Queues,
        *,
        depart: Depart,
        permit: Permit,
        clock: Clock,
        lock_s: float,
    ) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._depart = depart
        self._permit = permit
        self._clock = clock
        self._lock_s = lock_s

    async def list(self, caller: Caller, role: str, search: str | None = None) -> list[EndpointSummary]:
        """The caller's own, or with role ``any`` all that they may see.

        :param search: part of a name or of the machine's, in upper or lower case
        :raises Refusal: another role
        """
        now = self._clock.now()
        if role == "owner":
            found = [one for each in caller.ids for one in await self._store.endpoints(each)]
        elif role == "any":
            found = await self._permit.visible(caller, await self._store.endpoints())
        else:
            raise refusals.malformed(f"role={role!r} is not known: write role=owner or role=any.")
        summaries = [endpoint_summary(endpoint, now) for endpoint in found]
        return [one for one in summaries if _holds(search, one.name, one.display_name, one.hostname)]

    async def describe(self, caller: Caller, endpoint_id: str) -> EndpointDocument:
        """What an endpoint said of itself.

        :raises Refusal: unknown, or not the caller's to see
        """
        return endpoint_document(await self._find(Action.SEE_ENDPOINT, caller, endpoint_id))

    async def status(self, caller: Caller, endpoint_id: str) -> EndpointStatus:
        """Whether it is there, and how busy.

        :raises Refusal: unknown, or not the caller's to see
        """
        endpoint = await self._find(Action.SEE_ENDPOINT, caller, endpoint_id)
        user_endpoints = await self._store.user_endpoints(endpoint.id)
        return endpoint_status(endpoint, user_endpoints, self._clock.now())

    async def allowed_functions(self, caller: Caller, endpoint_id: str) -> AllowedFunctions:
        """Which functions may run there.

        :raises Refusal: unknown, or not the caller's to see
        """
        endpoint = await self._find(Action.SEE_ENDPOINT, caller, endpoint_id)
        allowed = endpoint.allowed_functions
        return AllowedFunctions(endpoint.id, restricted=allowed is not None, functions=allowed or [])

    async def lock(self, caller: Caller, endpoint_id: str) -> LockResponse:
        """End its connections and keep it out for a while, so that it stops.

        :raises Refusal: unknown, or not the caller's to stop
        """
        endpoint = await self._find(Action.LOCK_ENDPOINT, caller, endpoint_id)
        until = self._clock.now() + self._lock_s
        before: list[EndpointRecord] = []

        def change(found: EndpointRecord) -> EndpointRecord:
            before.append(found)
            return msgspec.structs.replace(
                found, generation=found.generation + 1, locked_until=until, heartbeat_period=0.0
            )

        if await self._records.change_endpoint(endpoint.id, change) is None:
            raise refusals.endpoint_not_found(endpoint.id)
        await revoke(before[0], self._store, self._records, self._queues)
        return LockResponse(endpoint.id, until)

    async def unlock(self, caller: Caller, endpoint_id: str) -> LockResponse:
        """Let one that was stopped come back at once; one that was not is left as it is.

        :raises Refusal: unknown, or not the caller's to stop
        """
        endpoint = await self._find(Action.LOCK_ENDPOINT, caller, endpoint_id)
        await self.let_in(endpoint.id)
        return LockResponse(endpoint.id, 0.0)

    async def let_in(self, endpoint_id: str) -> None:
        """The same, for whoever runs this service; one that is unknown is left to its registration."""
        await self._records.change_endpoint(
            endpoint_id, lambda found: msgspec.structs.replace(found, locked_until=0.0) if found.locked_until else found
        )

    async def delete(self, caller: Caller, endpoint_id: str) -> None:
        """Forget it. Its connections end, and tasks that wait for it fail, saying so.

        :raises Refusal: unknown, or not the caller's to delete
        """
        endpoint = await self._find(Action.DELETE_ENDPOINT, caller, endpoint_id)
        if not await self._depart.delete(endpoint):
            raise refusals.endpoint_not_found(endpoint.id)

    async def _find(self, action: Action, caller: Caller, endpoint_id: str) -> EndpointRecord:
        endpoint_id = parse_id(endpoint_id, "endpoint")
        endpoint = await self._records.endpoint(endpoint_id)
        if endpoint is None:
            raise refusals.endpoint_not_found(endpoint_id)
        await self._permit.check(action, caller, endpoint)
        return endpoint


def _holds(search: str | None, *texts: str | None) -> bool:
    return not search or any(search.casefold() in text.casefold() for text in texts if text is not None)
