"""The page on which somebody answers an invitation into a group.

The link alone changes nothing: whoever opens it is shown who invites them to what, and says yes or no in a form of
ours. Nobody need be logged in to read it, for the code tells as much to a program, too.
"""

from __future__ import annotations

from typing import Any, Final

from afield.service.api.ask import Ask
from afield.service.api.oauth_pages import browser_of, join_url, proven_form, show, trouble
from afield.service.api.reply import Reply, redirect
from afield.service.auth.oauth.browser import Browser, LoggedIn
from afield.service.auth.oauth.errands import JoinRequest
from afield.service.domain.caller import Caller
from afield.service.domain.people import MemberRole
from afield.service.domain.refusals import Refusal
from afield.service.use.people.callers import caller_of
from afield.service.use.people.invitations import Offer
from afield.wire.rest_people import InvitationShown

__all__ = ["answer", "invited"]

#: The same address gives programs JSON.
_VARY: Final = {"vary": "accept"}
_MAY: Final = {
    MemberRole.MEMBER: "use what is shared with the group",
    MemberRole.MANAGER: "use what is shared with the group, invite people, and remove them",
}


async def invited(ask: Ask, code: str) -> Reply:
    """What somebody is invited to, who may answer here once they have logged in."""
    browser = await browser_of(ask)
    try:
        if browser.person is None:
            return _page(ask, browser, code, await ask.uses.invitations.show(code))
        offer = await ask.uses.invitations.offer(await _caller(ask, browser.person), code)
    except Refusal as refusal:
        return trouble(ask, refusal.message, refusal.status)
    return _page(ask, browser, code, offer.shown, offer)


async def answer(ask: Ask) -> Reply:
    """Somebody says yes or no."""
    got = await proven_form(ask)
    if isinstance(got, Reply):
        return got
    browser, fields = got
    code, invitations = fields.get("code", ""), ask.uses.invitations
    try:
        if browser.person is None:
            await invitations.show(code)
            return redirect(join_url(code))
        caller = await _caller(ask, browser.person)
        if fields.get("decision") == "accept":
            group = await invitations.accept(caller, code)
            title, text = "Welcome", f"You are in the group {group.name} now, as a {group.role}."
        elif fields.get("decision") == "decline":
            shown = await invitations.decline(caller, code)
            title, text = "Declined", f"You did not join the group {shown.group_name}."
        else:
            return redirect(join_url(code))
    except Refusal as refusal:
        return trouble(ask, refusal.message, refusal.status)
    return show(ask, browser, "message", title=title, text=f"{text} You may close this page.", is_bad=False, links=[])


def _page(ask: Ask, browser: Browser, code: str, shown: InvitationShown, offer: Offer | None = None) -> Reply:
    values: dict[str, Any] = {
        "group": shown.group_name,
        "inviter": shown.invited_by,
        "role": shown.role,
        "may": _MAY[MemberRole(shown.role)],
        "code": code,
        "errand": ask.uses.oauth.errands.close(JoinRequest(code)),
        "username": None if browser.person is None else browser.person.identity.username,
        "is_theirs": offer is None or offer.is_theirs,
        "is_joined": offer is not None and offer.is_joined,
    }
    return show(ask, browser, "group_invitation", headers=_VARY, **values)


async def _caller(ask: Ask, person: LoggedIn) -> Caller:
    return await caller_of(ask.uses.oauth.people, person.identity)
