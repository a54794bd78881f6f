"""Invitations into groups: a code that is good once, and for a while.

What is kept is the code's SHA-256. An invitation is as good as whoever made it: once they manage the group no more,
administrate the service no more, if that is why they could, or their account is disabled, it lets nobody in. Whoever
runs the service has no account of which that could be read, and stays who they are.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from string import ascii_letters
from typing import Final

from afield.ids import parse_id
from afield.service.clock import Clock
from afield.service.domain import people_refusals
from afield.service.domain.access import Action
from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord, MemberRecord, MemberRole, TeamRecord, TicketRecord
from afield.service.store.base import Store
from afield.service.use.people.callers import caller_of, is_shut_out
from afield.service.use.people.groups import Groups
from afield.service.use.people.named import find_identity
from afield.service.use.people.permit import Permit
from afield.wire.rest_people import Group, Invitation, InvitationShown, InvitationWish

__all__ = ["LINK", "Invitations", "Offer"]

#: What comes before the code in the link of an invitation, below the service's address.
LINK: Final = "/afield/v1/invitations/"

_KIND: Final = "invitation"
_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class _Good:
    """An invitation that lets in."""

    ticket: TicketRecord
    team: TeamRecord
    inviter: IdentityRecord
    role: MemberRole
    #: the only one who may use it
    identity_id: str | None

    def is_for(self, caller: Caller) -> bool:
        return self.identity_id is None or caller.is_one_of(self.identity_id)


@dataclass(frozen=True, slots=True)
class Offer:
    """What an invitation is to somebody who has its code.

    :param is_theirs: they may use it; False: it is for somebody else
    :param is_joined: they are in the group already, as that or as more
    """

    shown: InvitationShown
    is_theirs: bool
    is_joined: bool


class Invitations:
    """Makes them, shows them, takes them."""

    def __init__(self, store: Store, *, groups: Groups, permit: Permit, clock: Clock) -> None:
        self._people = store.people
        self._groups = groups
        self._permit = permit
        self._clock = clock

    async def make(self, caller: Caller, team_id: str, wish: InvitationWish) -> Invitation:
        """Invite somebody, or whoever has the code.

        :raises Refusal: no group that the caller manages, or nobody of that name
        """
        team_id = parse_id(team_id, "group")
        team = await self._people.team(team_id)
        if team is None:
            raise people_refusals.team_not_found(team_id)
        await self._permit.check(Action.MANAGE_TEAM, caller, team)
        by_host = caller.is_admin and not await self._has_account(caller)
        content = {"team_id": team.id, "role": wish.role, "invited_by": caller.id, "by_host": by_host}
        if wish.username is not None:
            content["identity_id"] = (await find_identity(self._people, username=wish.username)).id
        # A letter first: `afield group join` would take what begins with "-" for an option.
        code = secrets.choice(ascii_letters) + secrets.token_urlsafe(_BYTES)
        expires_at = self._clock.now() + wish.lifetime_s
        await self._people.put_ticket(TicketRecord(_digest(code), _KIND, content, expires_at))
        return Invitation(code, LINK + code, expires_at)

    async def show(self, code: str) -> InvitationShown:
        """What it invites to; for whoever has the code.

        :raises Refusal: it lets nobody in
        """
        return _shown(await self._good(code))

    async def offer(self, caller: Caller, code: str) -> Offer:
        """What it is to the caller.

        :raises Refusal: it lets nobody in
        """
        good = await self._good(code)
        return Offer(_shown(good), good.is_for(caller), _is_enough(await self._mine(caller, good), good.role))

    async def accept(self, caller: Caller, code: str) -> Group:
        """Join. Who is in the group already stays what they are, and the invitation stays good.

        :raises Refusal: it does not let the caller in
        """
        good = await self._good(code)
        if not good.is_for(caller):
            raise people_refusals.invitation_not_found()
        mine = await self._mine(caller, good)
        if _is_enough(mine, good.role):
            return await self._groups.describe(caller, good.team.id)
        if await self._people.take_ticket(good.ticket.digest) is None:
            raise people_refusals.invitation_not_found()
        joining = mine[0].identity_id if mine else good.identity_id or caller.id
        if not await self._people.put_member(MemberRecord(good.team.id, joining, good.role, self._clock.now())):
            # The group was deleted a moment ago.
            raise people_refusals.invitation_not_found()
        return await self._groups.describe(caller, good.team.id)

    async def decline(self, caller: Caller, code: str) -> InvitationShown:
        """Say no. An invitation that is for the caller alone is used up by that; one that is for whoever has the code
        stays good, for it may be meant for others.

        :raises Refusal: it does not let the caller in anyhow
        """
        good = await self._good(code)
        if not good.is_for(caller):
            raise people_refusals.invitation_not_found()
        if good.identity_id is not None:
            await self._people.take_ticket(good.ticket.digest)
        return _shown(good)

    async def take_back(self, caller: Caller, code: str) -> None:
        """Nobody joins by it any more.

        :raises Refusal: it lets nobody in, or is not the caller's to take back
        """
        good = await self._good(code)
        await self._permit.check(Action.MANAGE_TEAM, caller, good.team)
        if await self._people.take_ticket(good.ticket.digest) is None:
            raise people_refusals.invitation_not_found()

    async def _mine(self, caller: Caller, good: _Good) -> list[MemberRecord]:
        return [one for one in await self._people.members(good.team.id) if caller.is_one_of(one.identity_id)]

    async def _has_account(self, caller: Caller) -> bool:
        return any([await self._people.account_of(one) is not None for one in caller.ids])

    async def _good(self, code: str) -> _Good:
        ticket = await self._people.ticket(_digest(code))
        if ticket is None or ticket.kind != _KIND or self._clock.now() >= ticket.expires_at:
            raise people_refusals.invitation_not_found()
        said = ticket.content
        team = await self._people.team(said["team_id"])
        inviter = await self._people.identity(said["invited_by"])
        if team is None or inviter is None or await is_shut_out(self._people, inviter):
            raise people_refusals.invitation_not_found()
        if not said.get("by_host", False):
            manages = await self._permit.refusal(Action.MANAGE_TEAM, await caller_of(self._people, inviter), team)
            if manages is not None:
                raise people_refusals.invitation_not_found()
        return _Good(ticket, team, inviter, MemberRole(said["role"]), said.get("identity_id"))


def _is_enough(mine: list[MemberRecord], role: MemberRole) -> bool:
    return any(one.role in {MemberRole.MANAGER, role} for one in mine)


def _shown(good: _Good) -> InvitationShown:
    return InvitationShown(good.team.id, good.team.name, good.inviter.username, good.role, good.ticket.expires_at)


def _digest(code: str) -> bytes:
    return sha256(code.encode("utf-8", "surrogatepass")).digest()
