"""Endpoints shared with people and groups."""

from __future__ import annotations

from typing import Final

from afield.ids import parse_id
from afield.service.clock import Clock
from afield.service.domain import people_refusals, refusals
from afield.service.domain.access import Action, runs_guests
from afield.service.domain.caller import Caller
from afield.service.domain.people import GrantRecord, GrantRole, Principal
from afield.service.domain.records import EndpointRecord
from afield.service.store.base import Store
from afield.service.use.people.named import find_identity
from afield.service.use.people.permit import Permit
from afield.service.use.people.withdraw import Withdraw
from afield.service.use.records import Records
from afield.wire.rest_people import Grant, GrantList, GrantWish

__all__ = ["Sharing"]

_NO_GUESTS: Final = (
    "The endpoint runs the published endpoint software, which runs only its owner's tasks: until it runs Afield's "
    "(`afield endpoint start`), others can see it, and cannot run tasks there."
)


class Sharing:
    """With whom an endpoint is shared, and changes of that."""

    def __init__(self, store: Store, records: Records, *, permit: Permit, withdraw: Withdraw, clock: Clock) -> None:
        self._store = store
        self._people = store.people
        self._records = records
        self._permit = permit
        self._withdraw = withdraw
        self._clock = clock

    async def grants(self, caller: Caller, endpoint_id: str) -> GrantList:
        """With whom it is shared; the oldest first.

        :raises Refusal: unknown, or not the caller's to know
        """
        endpoint = await self._find(endpoint_id)
        await self._permit.check(Action.SEE_GRANTS, caller, endpoint)
        found = await self._people.grants_on(endpoint.id)
        identities = await self._people.identities(
            one.principal_id for one in found if one.principal is Principal.IDENTITY
        )
        teams = await self._people.teams(one.principal_id for one in found if one.principal is Principal.TEAM)
        names = {one.id: one.username for one in identities.values()} | {one.id: one.name for one in teams.values()}
        shown = [_shown(one, names.get(one.principal_id, one.principal_id), endpoint) for one in found]
        return GrantList(endpoint.id, shown)

    async def share(self, caller: Caller, endpoint_id: str, wish: GrantWish) -> Grant:
        """Share it, or change what its principal may.

        :raises Refusal: unknown, not the caller's to share, or nobody to share it with
        """
        endpoint = await self._find(endpoint_id)
        await self._permit.check(Action.SHARE_ENDPOINT, caller, endpoint)
        principal, principal_id, name = await self._principal(caller, endpoint, wish)
        grant = GrantRecord(endpoint.id, principal, principal_id, GrantRole(wish.role), self._clock.now())
        await self._people.put_grant(grant)
        if grant.role is GrantRole.VIEW:
            await self._withdraw.of_endpoint(endpoint)  # they may have been let in to run before
        return _shown(grant, name, endpoint)

    async def unshare(self, caller: Caller, endpoint_id: str, principal: str, principal_id: str) -> None:
        """Take it back. Whoever it was granted to may give it back.

        :raises Refusal: unknown, not the caller's to share, or not shared with them
        """
        if principal not in {one.value for one in Principal}:
            raise refusals.malformed(f"{principal!r} is no kind of principal: write identity or group.")
        kind = Principal(principal)
        principal_id = parse_id(principal_id, principal)
        endpoint = await self._find(endpoint_id)
        if kind is not Principal.IDENTITY or not caller.is_one_of(principal_id):
            await self._permit.check(Action.SHARE_ENDPOINT, caller, endpoint)
        if not await self._people.delete_grant(endpoint.id, kind, principal_id):
            raise people_refusals.grant_not_found(endpoint.id, f"{principal} {principal_id}")
        await self._withdraw.of_endpoint(endpoint)

    async def _find(self, endpoint_id: str) -> EndpointRecord:
        endpoint_id = parse_id(endpoint_id, "endpoint")
        endpoint = await self._records.endpoint(endpoint_id)
        if endpoint is None:
            raise refusals.endpoint_not_found(endpoint_id)
        return endpoint

    async def _principal(self, caller: Caller, endpoint: EndpointRecord, wish: GrantWish) -> tuple[Principal, str, str]:
        """With whom: the kind, the id, the name."""
        given = [one for one in (wish.username, wish.identity_id, wish.group_id) if one is not None]
        if len(given) != 1:
            raise refusals.invalid(
                "Say with whom to share: exactly one of username, identity_id and group_id is to be given."
            )
        if wish.group_id is not None:
            team_id = parse_id(wish.group_id, "group")
            team = await self._people.team(team_id)
            if team is None:
                raise people_refusals.team_not_found(team_id)
            # Only members learn that it is there; they see in it whom they share with.
            await self._permit.check(Action.SEE_TEAM, caller, team)
            return Principal.TEAM, team.id, team.name
        identity = await find_identity(self._people, username=wish.username, identity_id=wish.identity_id)
        if Caller(identity).is_one_of(endpoint.owner_id):
            raise refusals.invalid(f"{identity.username} owns endpoint {endpoint.id}, and may do everything with it.")
        return Principal.IDENTITY, identity.id, identity.username


def _shown(grant: GrantRecord, name: str, endpoint: EndpointRecord) -> Grant:
    note = ""
    if grant.role is not GrantRole.VIEW and not runs_guests(endpoint):
        note = _NO_GUESTS
    return Grant(grant.principal, grant.principal_id, name, grant.role, grant.created_at, note)
