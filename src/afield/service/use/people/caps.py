"""How many of each thing one person may make: clients, personal tokens, groups and endpoints.

Counted before one is made, and once more when it is there: of two that are made at the same moment, in two replicas,
both are seen by whoever looks last. So a limit is never passed; at worst two who are about to reach it both hear no.
"""

from __future__ import annotations

from enum import Enum

from afield.service.clock import Clock
from afield.service.domain import people_refusals
from afield.service.domain.caller import Caller
from afield.service.domain.people import MemberRole, TokenKind
from afield.service.settings import Limits
from afield.service.store.base import Store
from afield.service.use.people.persons import Persons

__all__ = ["Caps", "Kind"]


class Kind(Enum):
    """What is counted."""

    CLIENTS = "client"
    TOKENS = "token"
    GROUPS = "group"
    ENDPOINTS = "endpoint"


class Caps:
    """Counts what people have made."""

    def __init__(self, store: Store, clock: Clock, limits: Limits) -> None:
        self._store, self._people, self._clock = store, store.people, clock
        self._persons = Persons(store.people, clock)
        self._most = {
            Kind.CLIENTS: limits.clients_per_person,
            Kind.TOKENS: limits.tokens_per_person,
            Kind.GROUPS: limits.groups_per_person,
            Kind.ENDPOINTS: limits.endpoints_per_person,
        }

    async def check(self, kind: Kind, caller: Caller, more: int = 0) -> None:
        """Make sure that somebody has no more than they may.

        :param more: that they want
        :raises Refusal: it would be more
        """
        most = self._most[kind]
        if not most:
            return
        person = await self._persons.behind(caller)
        ids = tuple(dict.fromkeys([*caller.ids, *person.identity_ids]))
        if await self._count(kind, ids) + more > most:
            raise people_refusals.too_many(kind.value, most)

    async def _count(self, kind: Kind, ids: tuple[str, ...]) -> int:
        if kind is Kind.GROUPS:
            managed = [one for one in await self._people.memberships(ids) if one.role is MemberRole.MANAGER]
            return len({one.team_id for one in managed})
        if kind is Kind.ENDPOINTS:
            return sum([len(await self._store.endpoints(one)) for one in ids])
        if kind is Kind.CLIENTS:
            return sum([len(await self._people.clients_of(one)) for one in ids])
        now = self._clock.now()
        tokens = [token for one in ids for token in await self._people.tokens_of(one)]
        return sum(
            token.kind is TokenKind.PERSONAL
            and token.stands_for is None
            and (token.expires_at is None or now < token.expires_at)
            for token in tokens
        )
