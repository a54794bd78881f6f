"""Who sits at a browser: a cookie that names a session in the store, and the proof in each form that it is ours.

A cookie is there from the first page on, so that the form to log in has a proof, too. Its value changes with each
login: whoever planted one gets nothing of it. Of the value the store keeps the SHA-256. A session ends when its time is
over, on log-out, when an account in it is disabled, and when its password changes.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from afield.service.auth.oauth.sealed import Seal
from afield.service.auth.passwords import stamp_of
from afield.service.auth.tokens import digest_of
from afield.service.clock import Clock
from afield.service.domain.people import IdentityRecord, Session, TicketRecord
from afield.service.store.people import People
from afield.service.use.people.callers import is_shut_out

__all__ = ["Browser", "Browsers", "LoggedIn", "mark_of"]

_KIND: Final = "session"
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class _Kept(msgspec.Struct, frozen=True):
    session: Session
    #: identity id -> what its password was when it logged in
    stamps: dict[str, str]


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Somebody at a browser.

    :param identities: all of the person's, the one that programs will act as first
    :param session: which of them logged in, and when
    """

    identities: tuple[IdentityRecord, ...]
    session: Session

    @property
    def identity(self) -> IdentityRecord:
        """The one that programs will act as. It is always the same of a person: published clients insist on that."""
        return self.identities[0]


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser that asks for a page.

    :param value: of its cookie
    :param is_new: it must be told that value
    :param person: who has logged in; None: nobody
    """

    value: str
    is_new: bool
    person: LoggedIn | None


class Browsers:
    """Knows browsers by their cookies.

    :param lifetime_s: of a login, in seconds
    :param is_secure: they reach the service by https
    """

    def __init__(self, people: People, clock: Clock, seal: Seal, lifetime_s: float, *, is_secure: bool) -> None:
        self._people, self._clock, self._seal = people, clock, seal
        self._lifetime_s, self._is_secure = lifetime_s, is_secure
        # The prefix makes browsers refuse one that a neighbouring host sets (RFC 6265bis section 4.1.3.2).
        self.cookie_name = "__Host-afield" if is_secure else "afield"

    async def look(self, cookie: str | None) -> Browser:
        """The browser with this cookie; with none, or none of ours, a new one."""
        if cookie is None or not _VALUE.fullmatch(cookie):
            return Browser(secrets.token_urlsafe(32), is_new=True, person=None)
        ticket = await self._people.ticket(_digest(cookie))
        person = None
        if ticket is not None and ticket.kind == _KIND and self._clock.now() < ticket.expires_at:
            person = await self._person(msgspec.convert(ticket.content, _Kept))
        return Browser(cookie, is_new=False, person=person)

    async def log_in(
        self, browser: Browser, identity: IdentityRecord, *, mfa: bool = False, at: float | None = None
    ) -> Browser:
        """An identity has proven itself: the session has it too if it is the same person's, and is a new one if not.

        :param mfa: with more than one factor
        :param at: when, in unix time; None: now. How long the browser stays logged in is counted from now
        """
        now = self._clock.now()
        before = browser.person
        known = before is not None and any(one.id == identity.id for one in before.identities)
        session = before.session if before is not None and known else Session()
        with_mfa = {each for each in session.mfa if each != identity.id} | ({identity.id} if mfa else set())
        session = Session(session.authenticated_at | {identity.id: now if at is None else at}, tuple(sorted(with_mfa)))
        stamps = {each: stamp_of(await self._people.account_of(each)) for each in session.authenticated_at}
        value = secrets.token_urlsafe(32)
        content: dict[str, Any] = msgspec.to_builtins(_Kept(session, stamps))
        await self._people.put_ticket(TicketRecord(_digest(value), _KIND, content, now + self._lifetime_s))
        await self._people.take_ticket(_digest(browser.value))
        return Browser(value, is_new=True, person=LoggedIn(await self._all_of(identity), session))

    async def log_out(self, browser: Browser) -> Browser:
        """Forget who it was."""
        await self._people.take_ticket(_digest(browser.value))
        return Browser(secrets.token_urlsafe(32), is_new=True, person=None)

    def cookie_of(self, browser: Browser) -> str:
        """A header for it. It lives as long as the browser, and the session behind it no longer than its time."""
        secure = "; Secure" if self._is_secure else ""
        return f"{self.cookie_name}={browser.value}; Path=/; HttpOnly; SameSite=Lax{secure}"

    def proof_of(self, browser: Browser) -> str:
        """What a form must bring along."""
        return self._seal.mark("form", browser.value)

    def is_proof(self, browser: Browser, proof: str) -> bool:
        """Whether a form came from a page that this browser got."""
        return not browser.is_new and self._seal.is_mark("form", browser.value, proof)

    async def _person(self, kept: _Kept) -> LoggedIn | None:
        for identity_id, stamp in kept.stamps.items():
            account = await self._people.account_of(identity_id)
            if stamp_of(account) != stamp:
                return None
        one = await self._people.identity(next(iter(kept.stamps), ""))
        if one is None:
            return None
        identities = await self._all_of(one)
        if await is_shut_out(self._people, one):
            return None
        # An identity that is no longer the person's has no part in what they may.
        ids = {each.id for each in identities}
        times = {each: when for each, when in kept.session.authenticated_at.items() if each in ids}
        return LoggedIn(identities, Session(times, tuple(each for each in kept.session.mfa if each in ids)))

    async def _all_of(self, identity: IdentityRecord) -> tuple[IdentityRecord, ...]:
        if identity.person_id is None:
            return (identity,)
        return tuple(await self._people.identities_of(identity.person_id)) or (identity,)


def mark_of(browser: Browser, purpose: str) -> str:
    """What only this browser and this service know, and what does not give its cookie away."""
    return digest_of(f"{purpose}:{browser.value}").hex()


def _digest(value: str) -> bytes:
    return digest_of(f"browser:{value}")
