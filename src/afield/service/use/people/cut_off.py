"""Whoever is shut out loses their connections to the queues, too.

- A *client's* connection ends when the token by which its login was asked for is revoked, and when its identity is shut
  out. What it was to read stays in its queue and in the store.
- An *endpoint's* ends when its owner is shut out, as if it were stopped from afar: it and its user endpoints have to be
  registered anew, which takes a login of the owner's, and so cannot be before their account is enabled again. The store
  loses nothing by that. Tasks that wait, wait on. Results that are kept, stay. What was running when the endpoint was
  cut off may have had its effects: an endpoint of ours keeps the result on its disk and sends it when it is back; where
  that cannot be, the task fails and says that its endpoint was lost.

User endpoints that others let somebody have on theirs run on, with what was submitted before.

It may be repeated at any time. Where the broker does not answer, its connections are ended by the rounds of whoever is
on duty (:meth:`afield.service.broker.Broker.tidy`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import msgspec

from afield.errors import BrokerError
from afield.service.domain.names import ClientLogin, parse_login
from afield.service.domain.records import EndpointRecord
from afield.service.store.base import Store
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.register_endpoint import revoke

__all__ = ["CutOff"]

logger = logging.getLogger(__name__)


class CutOff:
    """Ends connections of those who are let in no more."""

    def __init__(self, store: Store, records: Records, queues: Queues) -> None:
        self._store = store
        self._records = records
        self._queues = queues

    async def tokens_ended(self, proofs: Collection[str]) -> None:
        """The tokens of these proofs let nobody in any more."""
        await self._queues.revoke(*(login for login in await self._clients() if login.proof in proofs))

    async def shut_out(self, identity_ids: Collection[str]) -> None:
        """Nobody may come in as these identities; the store says so already."""
        await self._queues.revoke(*(login for login in await self._clients() if login.identity_id in identity_ids))
        for identity_id in identity_ids:
            for endpoint in await self._store.endpoints(identity_id):
                await self._stop(endpoint)

    async def _clients(self) -> list[ClientLogin]:
        try:
            logins = [parse_login(name) for name in await self._queues.clients()]
        except BrokerError as error:
            logger.warning("who is connected to the queues cannot be found out just now: %s", error)
            return []
        return [login for login in logins if isinstance(login, ClientLogin)]

    async def _stop(self, endpoint: EndpointRecord) -> None:
        before: list[EndpointRecord] = []

        def change(found: EndpointRecord) -> EndpointRecord:
            before.append(found)
            return msgspec.structs.replace(found, generation=found.generation + 1, heartbeat_period=0.0)

        if await self._records.change_endpoint(endpoint.id, change) is None:
            return  # it was deleted a moment ago
        await revoke(before[0], self._store, self._records, self._queues)
