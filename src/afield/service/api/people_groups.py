"""Groups of people, and invitations into them."""

from __future__ import annotations

from afield.service.api.ask import Ask
from afield.service.api.reply import Reply
from afield.wire.rest_people import (
    Group,
    GroupChange,
    GroupList,
    GroupWish,
    Invitation,
    InvitationAnswer,
    InvitationShown,
    InvitationWish,
    MemberWish,
)

__all__ = [
    "accept",
    "change",
    "delete",
    "describe",
    "invite",
    "listing",
    "make",
    "remove_member",
    "set_member",
    "show_invitation",
    "take_back_invitation",
]


async def listing(ask: Ask) -> GroupList:
    """The groups that the caller is in."""
    return await ask.uses.teams.list(ask.caller)


async def make(ask: Ask, body: GroupWish) -> Group:
    """Make a group, of which the caller is the manager."""
    return await ask.uses.teams.make(ask.caller, body)


async def describe(ask: Ask, group_id: str) -> Group:
    """A group and who is in it, for its members."""
    return await ask.uses.teams.describe(ask.caller, group_id)


async def change(ask: Ask, group_id: str, body: GroupChange) -> Group:
    """Rename a group, or describe it anew."""
    return await ask.uses.teams.change(ask.caller, group_id, body)


async def delete(ask: Ask, group_id: str) -> dict[str, int]:
    """Remove a group, and with it what was shared with it."""
    await ask.uses.teams.delete(ask.caller, group_id)
    return {"deleted": 1}


async def set_member(ask: Ask, group_id: str, identity_id: str, body: MemberWish) -> Group:
    """Make a member a manager, or a manager a member."""
    return await ask.uses.teams.set_member(ask.caller, group_id, identity_id, body)


async def remove_member(ask: Ask, group_id: str, identity_id: str) -> dict[str, int]:
    """Leave a group, or remove somebody from it."""
    await ask.uses.teams.remove(ask.caller, group_id, identity_id)
    return {"removed": 1}


async def invite(ask: Ask, group_id: str, body: InvitationWish) -> Invitation:
    """Invite somebody into a group, by a code that is good once."""
    return await ask.uses.invitations.make(ask.caller, group_id, body)


async def show_invitation(ask: Ask, code: str) -> InvitationShown | Reply:
    """What somebody is invited to, for whoever has the code; in a browser, a page on which to answer."""
    if "text/html" not in (ask.header(b"accept") or ""):
        return await ask.uses.invitations.show(code)
    from afield.service.api import group_invitation  # what pages take is loaded when somebody asks for one

    return await group_invitation.invited(ask, code)


async def accept(ask: Ask, body: InvitationAnswer) -> Group:
    """Join a group by the code of an invitation."""
    return await ask.uses.invitations.accept(ask.caller, body.code)


async def take_back_invitation(ask: Ask, code: str) -> dict[str, int]:
    """Take an invitation back: nobody joins by it any more."""
    await ask.uses.invitations.take_back(ask.caller, code)
    return {"deleted": 1}
