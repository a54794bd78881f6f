"""Logging in with one provider: the browser is sent there, comes back, and it is found out who that was.

What is remembered meanwhile is a ticket: it works once, at any replica, and only for the browser that was sent.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec

from afield.service.auth.oauth.attempts import Attempts
from afield.service.auth.tokens import digest_of
from afield.service.auth.upstream.answer import code_in, redeemed
from afield.service.auth.upstream.arrival import Arrival, arrival, check_allowed, logged_in_at, silent
from afield.service.auth.upstream.directory import Directory, Places
from afield.service.auth.upstream.fetch import Fetch
from afield.service.auth.upstream.id_token import check_claims, is_subject
from afield.service.auth.upstream.problems import LoginFailed, lied, set_up_wrongly, stale, unreachable
from afield.service.auth.upstream.providers import ORGANIZATIONS
from afield.service.auth.upstream.question import Asked, Wanted, address, is_silent
from afield.service.clock import Clock
from afield.service.domain.people import TicketRecord
from afield.service.settings import ProviderSettings
from afield.service.store.people import People

__all__ = ["AWAY_S", "UpstreamLogin"]

#: Seconds that somebody may stay with a provider.
AWAY_S: Final = 900.0

_KIND: Final = "upstream"
_NOT_ASKED: Final = "This answer to a login was not asked for here, was used before, or comes too late."


class UpstreamLogin:
    """One provider. It is an :class:`~afield.service.auth.oauth.server.OutsideLogin`.

    :param settings: with nothing left to guess (:func:`~afield.service.auth.upstream.providers.completed`)
    :param starts: counts logins that begin, by address; it is told before anything is kept for them
    """

    def __init__(
        self, settings: ProviderSettings, people: People, clock: Clock, *, fetch: Fetch, starts: Attempts
    ) -> None:
        self.settings = settings
        self._people, self._clock, self._fetch, self._starts = people, clock, fetch, starts
        self._directory = Directory(settings, fetch, clock.now)

    @property
    def name(self) -> str:
        """For people."""
        return self.settings.title

    @property
    def path(self) -> str:
        """Where a login begins."""
        return f"/login/{self.settings.name}"

    def url(self, errand: str) -> str:
        """A path on this service that begins the login.

        :param errand: to be carried along
        """
        return f"{self.path}?errand={errand}"

    async def begin(self, here: str, browser: str, want: Wanted, who: str, **carried: Any) -> str:
        """Where to send a browser.

        :param here: this service's address, as the browser has it
        :param browser: a mark of the browser
        :param want: what the login must be like
        :param who: the address it asks from
        :param carried: further fields of what is remembered
        :raises LoginFailed: the provider does not answer, or cannot say what has to be known
        """
        if is_silent(self.settings) and want.age is not None and not self.settings.assume_fresh:
            raise silent(self.name)
        self._may_begin(who)
        places = await self._directory.places()
        asked = Asked(
            self.settings.name,
            f"{here}{self.path}/callback",
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            browser=browser,
            since=want.since,
            is_timed=want.age is not None,
            **carried,
        )
        state = secrets.token_urlsafe(32)
        content: dict[str, Any] = msgspec.to_builtins(asked)
        await self._people.put_ticket(TicketRecord(_digest(state), _KIND, content, self._clock.now() + AWAY_S))
        return address(self.settings, places.authorization_endpoint, asked, state, want)

    async def remembered(self, fields: Mapping[str, str], browser: str) -> Asked:
        """What a browser that comes back was sent for; from now on nobody comes back by it.

        :raises LoginFailed: nothing is known of it
        """
        digest = _digest(fields.get("state", ""))
        ticket = await self._people.ticket(digest)
        asked = None if ticket is None or ticket.kind != _KIND else msgspec.convert(ticket.content, Asked)
        if ticket is None or asked is None or asked.provider != self.settings.name:
            raise stale(_NOT_ASKED)
        if not secrets.compare_digest(asked.browser, browser):
            raise stale("This login was begun in another browser, or you logged in otherwise meanwhile.")
        if await self._people.take_ticket(digest) is None or self._clock.now() >= ticket.expires_at:
            raise stale(_NOT_ASKED)
        return asked

    async def finish(self, asked: Asked, fields: Mapping[str, str]) -> Arrival:
        """Who has come.

        :param fields: that the browser brings
        :raises LoginFailed: nobody who may
        """
        places = await self._directory.places()
        says_who = places.authorization_response_iss_parameter_supported
        code = code_in(fields, self.name, self.settings.issuer, says_who=says_who)
        tokens = await self._redeem(places, code, asked)
        if self.settings.kind == "oidc":
            signed = await self._signed(tokens, asked.nonce)
            claims = await self._more(places, tokens, signed)
            subject = signed["sub"]
        else:
            signed, claims = {}, await self._said(places, tokens)
            subject = _subject(claims.get(self.settings.subject_claim), self.name)
        at = logged_in_at(
            self.settings, claims, self._clock.now(), since=asked.since, is_timed=asked.is_timed, title=self.name
        )
        check_allowed(self.settings, claims, self.name)
        return arrival(self.settings, claims, subject, at)

    # -- the provider is asked ---------------------------------------------------------------------------------------

    async def _redeem(self, places: Places, code: str, asked: Asked) -> Mapping[str, Any]:
        settings, headers = self.settings, {}
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": asked.redirect_uri,
            "client_id": settings.client_id,
            "code_verifier": asked.verifier,
        }
        if settings.client_secret is not None:
            if "client_secret_basic" in places.token_endpoint_auth_methods_supported:
                both = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
                headers["authorization"] = f"Basic {b64encode(both.encode()).decode()}"
                del form["client_id"]
            else:
                form["client_secret"] = settings.client_secret
        status, body = await self._fetch.json(
            self.name, places.token_endpoint, settings.timeout_s, form=form, headers=headers
        )
        return redeemed(body, status, self.name)

    async def _signed(self, tokens: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise lied(self.name, "does not say who you are: there is no id_token")
        claims = await self._directory.claims(token)
        check_claims(claims, self.settings, nonce, self._clock.now(), self.name)
        return claims

    async def _more(self, places: Places, tokens: Mapping[str, Any], signed: dict[str, Any]) -> dict[str, Any]:
        """With what it says beside; what is signed goes before."""
        if places.userinfo_endpoint is None:
            return signed
        more = await self._get(places.userinfo_endpoint, tokens)
        # A token of somebody else may have been put in place of this one (OpenID Connect Core 5.3.2).
        if not isinstance(more, dict) or more.get("sub") != signed["sub"]:
            raise lied(self.name, "is about two people at once")
        return _without_login(more, self.settings) | signed

    async def _said(self, places: Places, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """By an API, without OpenID Connect."""
        assert places.userinfo_endpoint is not None
        claims = await self._get(places.userinfo_endpoint, tokens)
        if not isinstance(claims, dict):
            raise lied(self.name, "does not say who you are")
        if self.settings.kind == "github" and ORGANIZATIONS in self.settings.require:
            several = await self._get(f"{places.userinfo_endpoint}/orgs?per_page=100", tokens)
            several = several if isinstance(several, list) else []
            claims |= {ORGANIZATIONS: [each.get("login") for each in several if isinstance(each, dict)]}
        return _without_login(claims, self.settings)

    async def _get(self, url: str, tokens: Mapping[str, Any]) -> Any:
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        status, body = await self._fetch.json(self.name, url, self.settings.timeout_s, headers=headers)
        if status in {401, 403}:
            raise set_up_wrongly(self.name, f"does not tell this service who you are (status {status})")
        if status != 200 or body is None:
            raise unreachable(self.name, f"answered with status {status} where it should have said who you are")
        return body

    def _may_begin(self, who: str) -> None:
        now = self._clock.now()
        wait_s = self._starts.wait_s(who, now)
        if wait_s > 0:
            raise LoginFailed(
                f"Too many logins were begun from where you are. Try again in {int(wait_s // 60) + 1} minutes.", 429
            )
        self._starts.count(who, now)


def _digest(state: str) -> bytes:
    return digest_of(f"upstream:{state}")


def _without_login(claims: Mapping[str, Any], settings: ProviderSettings) -> dict[str, Any]:
    # How somebody logged in is believed only where it is signed: an API may speak of another login.
    about = {"acr", "amr", "auth_time", settings.time_claim}
    return {name: value for name, value in claims.items() if name not in about}


def _subject(said: object, title: str) -> str:
    # GitHub's are numbers.
    subject = str(said) if isinstance(said, str | int) and not isinstance(said, bool) else ""
    if not is_subject(subject):
        raise lied(title, "does not say who you are")
    return subject
