"""Who is one person: their linked identities, and the clients that they made, which are identities of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from afield.service.clock import Clock
from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord
from afield.service.store.people import People

__all__ = ["Person", "Persons"]

#: Seconds for which an answer is good: identities are linked, and clients made, now and then.
_GOOD_S: Final = 10.0
#: How many answers are kept before those that are too old are looked for.
_MANY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, whichever of their identities asks.

    :param id: the same for all of them
    :param identity_ids: all of them: those that are linked, and those of their clients
    """

    id: str
    identity_ids: tuple[str, ...]


class Persons:
    """Finds out who is behind an identity, and remembers it for some seconds."""

    def __init__(self, people: People, clock: Clock) -> None:
        self._people, self._clock = people, clock
        # identity -> (person, until when)
        self._known: dict[str, tuple[Person, float]] = {}

    async def behind(self, caller: Caller) -> Person:
        """The person who asks; of a client, whoever made it."""
        now = self._clock.now()
        known = self._known.get(caller.id)
        if known is not None and now < known[1] <= now + _GOOD_S:
            return known[0]
        if len(self._known) >= _MANY:
            self._known = {one: kept for one, kept in self._known.items() if now < kept[1]}
        person = await self._find(caller.identity)
        self._known[caller.id] = (person, now + _GOOD_S)
        return person

    async def _find(self, identity: IdentityRecord) -> Person:
        client = await self._people.client(identity.id) if identity.provider == "client" else None
        if client is not None and client.owner_id is not None:
            identity = await self._people.identity(client.owner_id) or identity
        found = [identity.id]
        if identity.person_id is not None:
            found += [one.id for one in await self._people.identities_of(identity.person_id)]
        clients = [client.id for one in dict.fromkeys(found) for client in await self._people.clients_of(one)]
        return Person(identity.person_id or identity.id, tuple(dict.fromkeys([*found, *clients])))
