"""Groups of people: made by anybody, kept by their managers.

A group never stays without a manager: the last one neither leaves nor steps down. That is looked at twice, before and
after, for two managers may leave at the same moment, in two replicas; whoever finds nobody left comes back.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afield.ids import new_id, parse_id
from afield.service.clock import Clock
from afield.service.domain import people_refusals, refusals
from afield.service.domain.access import Action
from afield.service.domain.caller import Caller
from afield.service.domain.people import MemberRecord, MemberRole, TeamRecord
from afield.service.store.base import Store
from afield.service.use.people.caps import Caps, Kind
from afield.service.use.people.permit import Permit
from afield.service.use.people.withdraw import Withdraw
from afield.wire.rest_people import Group, GroupChange, GroupList, GroupWish, Member, MemberWish

__all__ = ["Groups"]


class Groups:
    """What can be done with groups.

    :param caps: how many one person may manage
    """

    def __init__(self, store: Store, *, permit: Permit, withdraw: Withdraw, caps: Caps, clock: Clock) -> None:
        self._people = store.people
        self._caps = caps
        self._permit = permit
        self._withdraw = withdraw
        self._clock = clock

    async def list(self, caller: Caller) -> GroupList:
        """Those that the caller is in, in the order in which they joined."""
        memberships = await self._people.memberships(caller.ids)
        teams = await self._people.teams(one.team_id for one in memberships)
        return GroupList([_shown(team, _role(caller, memberships, team)) for team in teams.values()])

    async def make(self, caller: Caller, wish: GroupWish) -> Group:
        """A new one, of which the caller is the manager.

        :raises Refusal: it has no name, or they manage as many as they may
        """
        await self._caps.check(Kind.GROUPS, caller, more=1)
        now = self._clock.now()
        team = TeamRecord(new_id(), _checked(wish.name), now, wish.description)
        # In this order: a group without members is nobody's, and does no harm; a membership of none would.
        await self._people.put_team(team)
        await self._people.put_member(MemberRecord(team.id, caller.id, MemberRole.MANAGER, now))
        try:
            await self._caps.check(Kind.GROUPS, caller)
        except refusals.Refusal:
            await self._people.delete_team(team.id)
            raise
        return await self.describe(caller, team.id)

    async def describe(self, caller: Caller, team_id: str) -> Group:
        """A group and who is in it.

        :raises Refusal: unknown, or the caller is not in it
        """
        team = await self._find(Action.SEE_TEAM, caller, team_id)
        members = await self._people.members(team.id)
        known = await self._people.identities(one.identity_id for one in members)
        shown = []
        for one in members:
            who = known.get(one.identity_id)
            name, username = ("", one.identity_id) if who is None else (who.name, who.username)
            shown.append(Member(one.identity_id, username, name, one.role, one.created_at))
        return _shown(team, _role(caller, members, team), shown)

    async def change(self, caller: Caller, team_id: str, wish: GroupChange) -> Group:
        """Rename or describe it anew.

        :raises Refusal: unknown, or not the caller's to change
        """
        team = await self._find(Action.MANAGE_TEAM, caller, team_id)
        name = team.name if wish.name is None else _checked(wish.name)
        description = team.description if wish.description is None else wish.description
        if not await self._people.change_team(msgspec.structs.replace(team, name=name, description=description)):
            raise people_refusals.team_not_found(team.id)  # it was deleted a moment ago
        return await self.describe(caller, team.id)

    async def delete(self, caller: Caller, team_id: str) -> None:
        """Remove it. What was shared with it is not shared with it any more.

        :raises Refusal: unknown, or not the caller's to delete
        """
        team = await self._find(Action.MANAGE_TEAM, caller, team_id)
        endpoints = await self._withdraw.of_team(team.id)
        await self._people.delete_team(team.id)
        for endpoint in endpoints:
            await self._withdraw.of_endpoint(endpoint)

    async def set_member(self, caller: Caller, team_id: str, identity_id: str, wish: MemberWish) -> Group:
        """Make a member a manager, or a manager a member. Those who administrate the service may also add somebody;
        everybody else invites.

        :raises Refusal: unknown, not the caller's to change, no member, or the last manager
        """
        identity_id = parse_id(identity_id, "identity")
        team = await self._find(Action.MANAGE_TEAM, caller, team_id)
        found = await self._member(team.id, identity_id)
        if found is None:
            if not caller.is_admin or caller.is_program:
                raise refusals.conflict(
                    f"{identity_id} is not in group {team.id}: invite them, so that they decide themselves."
                )
            if await self._people.identity(identity_id) is None:
                raise people_refusals.identity_not_found(identity_id)
            found = MemberRecord(team.id, identity_id, MemberRole(wish.role), self._clock.now())
        if found.role is MemberRole.MANAGER and MemberRole(wish.role) is MemberRole.MEMBER:
            await self._check_not_last(team, found)
        if not await self._people.put_member(msgspec.structs.replace(found, role=MemberRole(wish.role))):
            raise people_refusals.team_not_found(team.id)
        await self._check_managed(team, found)
        return await self.describe(caller, team.id)

    async def remove(self, caller: Caller, team_id: str, identity_id: str) -> None:
        """End a membership: somebody leaves, or a manager removes them.

        :raises Refusal: unknown, not the caller's to end, or of the last manager
        """
        identity_id = parse_id(identity_id, "identity")
        action = Action.SEE_TEAM if caller.is_one_of(identity_id) else Action.MANAGE_TEAM
        team = await self._find(action, caller, team_id)
        found = await self._member(team.id, identity_id)
        if found is None:
            raise people_refusals.identity_not_found(f"a member {identity_id} of group {team.id}")
        await self._check_not_last(team, found)
        await self._people.delete_member(team.id, identity_id)
        await self._check_managed(team, found)
        for endpoint in await self._withdraw.of_team(team.id):
            await self._withdraw.of_endpoint(endpoint)

    async def _find(self, action: Action, caller: Caller, team_id: str) -> TeamRecord:
        team_id = parse_id(team_id, "group")
        team = await self._people.team(team_id)
        if team is None:
            raise people_refusals.team_not_found(team_id)
        await self._permit.check(action, caller, team)
        return team

    async def _member(self, team_id: str, identity_id: str) -> MemberRecord | None:
        return next((one for one in await self._people.members(team_id) if one.identity_id == identity_id), None)

    async def _check_not_last(self, team: TeamRecord, leaving: MemberRecord) -> None:
        others = [one for one in await self._people.members(team.id) if one.identity_id != leaving.identity_id]
        if leaving.role is MemberRole.MANAGER and not _managers(others):
            raise _last_manager(team)

    async def _check_managed(self, team: TeamRecord, before: MemberRecord) -> None:
        """Put ``before`` back if a change that crossed with another one has left no manager."""
        if not _managers(await self._people.members(team.id)):
            if not await self._people.put_member(before):
                raise people_refusals.team_not_found(team.id)  # nobody is in it because it was deleted
            raise _last_manager(team)


def _managers(members: Sequence[MemberRecord]) -> list[MemberRecord]:
    return [one for one in members if one.role is MemberRole.MANAGER]


def _role(caller: Caller, members: Sequence[MemberRecord], team: TeamRecord) -> MemberRole | None:
    """The most that one of somebody's identities is in a group."""
    mine = [one.role for one in members if one.team_id == team.id and caller.is_one_of(one.identity_id)]
    return MemberRole.MANAGER if MemberRole.MANAGER in mine else next(iter(mine), None)


def _checked(name: str) -> str:
    if not name.strip():
        raise refusals.invalid("The name of a group is empty: its members know it by that.")
    return name.strip()


def _last_manager(team: TeamRecord) -> refusals.Refusal:
    return refusals.conflict(
        f"That would leave group {team.name!r} ({team.id}) without a manager: make somebody else one first, or delete "
        "the group."
    )


def _shown(team: TeamRecord, role: MemberRole | None, members: Sequence[Member] = ()) -> Group:
    return Group(team.id, team.name, team.description, team.created_at, role, [*members])
