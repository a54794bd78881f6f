"""A login in a browser that happened elsewhere, and when it happened there."""

from __future__ import annotations

import msgspec

from afield.service.auth.oauth.browser import Browser, Browsers
from afield.service.auth.tokens import digest_of
from afield.service.domain.people import IdentityRecord
from afield.service.store.people import People

__all__ = ["log_in", "mark_of"]


def mark_of(browser: Browser, purpose: str) -> str:
    """What only this browser and this service know, and what does not give its cookie away."""
    return digest_of(f"{purpose}:{browser.value}").hex()


async def log_in(
    browsers: Browsers, people: People, browser: Browser, identity: IdentityRecord, *, at: float, mfa: bool
) -> Browser:
    """An identity proved itself elsewhere.

    :param at: when; unix time. How long the browser stays logged in is counted from now
    :param mfa: with more than one factor
    """
    browser = await browsers.log_in(browser, identity, mfa=mfa)
    # Nobody has the new cookie yet, so nobody sees the session before it says the right time.
    ticket = await people.ticket(digest_of(f"browser:{browser.value}"))
    if ticket is None:
        raise LookupError("a session that was just made is not where sessions are")
    session = ticket.content["session"]
    session = {**session, "authenticated_at": session["authenticated_at"] | {identity.id: at}}
    await people.put_ticket(msgspec.structs.replace(ticket, content=ticket.content | {"session": session}))
    return browser
