"""Asking a person, through their browser, for a code (RFC 6749 section 4.1, with RFC 7636 and RFC 8252).

What can be wrong is of two kinds. Where the client or the address to go back to is wrong, the person is told here, and
nobody is sent anywhere (:class:`~afield.service.auth.oauth.problems.OAuthError`). All else is told to the client, at
its address (:class:`SentBack`).

A code lives for a minute, once. One that comes a second time was stolen, or the first was: what it brought is revoked
(section 4.1.2).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from afield.service.auth.oauth import pkce, redirects
from afield.service.auth.oauth.browser import LoggedIn
from afield.service.auth.oauth.clients import DEFAULT_CLIENT, find_client
from afield.service.auth.oauth.fields import needed
from afield.service.auth.oauth.issue import Grant, new_family
from afield.service.auth.oauth.needs import NOTHING, Needs, parse_needs
from afield.service.auth.oauth.problems import OAuthError, invalid_grant, invalid_request
from afield.service.auth.oauth.scopes import MANAGE_PROJECTS, OFFLINE, OPENID, parse
from afield.service.auth.tokens import BearerTokens, digest_of
from afield.service.clock import Clock
from afield.service.domain.people import ClientRecord, PolicyRecord, TicketRecord
from afield.service.settings import SignIn
from afield.service.store.people import People

__all__ = ["AuthorizationRequest", "Codes", "SentBack", "asked_scopes", "parse_request", "policies_of"]

_MOST_STATE: Final = 2000
#: Seconds for which it is remembered that a code was used.
_REMEMBERED_S: Final = 86_400.0


class AuthorizationRequest(msgspec.Struct, frozen=True, omit_defaults=True, tag="code"):
    """What a client asks a person for."""

    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str | None = None
    challenge: str | None = None
    nonce: str | None = None
    offline: bool = False
    #: how the client calls itself this time
    label: str | None = None
    needs: Needs = NOTHING
    #: nobody may be asked anything
    silent: bool = False
    #: the person is asked even for what they consented to before (OpenID Connect Core 3.1.2.1)
    asks_again: bool = False
    is_pasted: bool = False


class SentBack(Exception):  # noqa: N818 - it is an answer
    """The client is told at its address.

    :ivar url: where the browser goes
    :ivar is_pasted: that is our own page
    """

    def __init__(self, uri: str, state: str | None, error: OAuthError, *, is_pasted: bool) -> None:
        self.is_pasted = is_pasted
        said = {"error": error.code, "error_description": error.message, "state": state}
        super().__init__(uri, error)
        self.url = redirects.with_query(uri, said)


async def parse_request(people: People, fields: Mapping[str, str], here: str, now: float) -> AuthorizationRequest:
    """What the parameters ask for.

    :param here: the service's own address as the browser reaches it
    :raises OAuthError: told to the person
    :raises SentBack: told to the client
    """
    client = await find_client(people, needed(fields, "client_id"))
    if client is None:
        raise invalid_request(
            "This service does not know the program that sent you here. Whoever runs it has to register it, or the "
            "program is set up for another service."
        )
    uri = needed(fields, "redirect_uri")
    if not redirects.is_allowed(uri, client, here):
        raise invalid_request(
            f"The program {client.name} wants you to be sent to {uri[:200]}, which is not registered for it. Nothing "
            "was sent there. Whoever runs the program has to register that address, character by character."
        )
    state = fields.get("state")
    try:
        if state is not None and len(state) > _MOST_STATE:
            raise invalid_request(f"The parameter state is longer than {_MOST_STATE} characters. Send less.")
        return _request(fields, client, uri, here, now)
    except OAuthError as error:
        state = None if state is None or len(state) > _MOST_STATE else state
        raise SentBack(uri, state, error, is_pasted=redirects.is_pasted(uri, here)) from error


def _request(fields: Mapping[str, str], client: ClientRecord, uri: str, here: str, now: float) -> AuthorizationRequest:
    if needed(fields, "response_type") != "code":
        raise OAuthError("unsupported_response_type", "This service gives codes only. Send response_type=code.")
    pkce.check_challenge(
        fields.get("code_challenge"), fields.get("code_challenge_method"), is_public=client.secret_digest is None
    )
    access = fields.get("access_type", "online")
    if access not in {"online", "offline"}:
        raise invalid_request("access_type is online or offline. Send one of these, or leave it out.")
    asked, prompts = needed(fields, "scope"), fields.get("prompt", "").split()
    return AuthorizationRequest(
        client_id=client.id,
        redirect_uri=uri,
        scopes=asked_scopes(client, asked),
        state=fields.get("state"),
        challenge=fields.get("code_challenge"),
        nonce=fields.get("nonce"),
        offline=access == "offline" or OFFLINE in asked.split(),
        label=fields.get("prefill_named_grant", "")[:100] or None,
        needs=parse_needs(fields, now),
        silent="none" in prompts,
        asks_again="consent" in prompts,
        is_pasted=redirects.is_pasted(uri, here) and client.secret_digest is None,
    )


def asked_scopes(client: ClientRecord, text: str) -> tuple[str, ...]:
    """What a client asks for; of the published programs also what they would come back for at once.

    :raises OAuthError: a scope is not known
    """
    scopes = parse(text)
    if not scopes:
        raise invalid_request("The parameter scope names nothing. Send the scopes that you need.")
    # Their endpoint and their command line need it, their SDK does not ask for it, and all of them share what is kept:
    # without this, each person would log in twice (reference: wire contract section 2.4).
    if client.id == DEFAULT_CLIENT.id and OPENID in scopes and MANAGE_PROJECTS not in scopes:
        return (*scopes, MANAGE_PROJECTS)
    return scopes


async def policies_of(people: People, needs: Needs) -> list[PolicyRecord]:
    """The policies that are named.

    :raises OAuthError: there is none of one of these ids
    """
    found = [await people.policy(each) for each in needs.policies]
    if None in found:
        raise invalid_request("A policy in session_required_policies does not exist. Name another.")
    return [each for each in found if each is not None]


class _Promise(msgspec.Struct, frozen=True):
    # What a code is good for.
    grant: Grant
    redirect_uri: str
    label: str
    challenge: str | None = None


class Codes:
    """Gives codes, and takes them."""

    def __init__(self, people: People, tokens: BearerTokens, clock: Clock, times: SignIn) -> None:
        self._people, self._tokens, self._clock, self._times = people, tokens, clock, times

    async def give(self, request: AuthorizationRequest, person: LoggedIn, label: str) -> str:
        """A code for what a person has consented to."""
        code = secrets.token_urlsafe(24)
        grant = Grant(
            client_id=request.client_id,
            identity_id=person.identity.id,
            scopes=request.scopes,
            family=new_family(),
            session=person.session,
            offline=request.offline,
            nonce=request.nonce,
        )
        promise = _Promise(grant, request.redirect_uri, label, request.challenge)
        lifetime_s = self._times.pasted_code_s if request.is_pasted else self._times.code_s
        await self._people.put_ticket(_ticket(digest_of(code), "code", promise, self._clock.now() + lifetime_s))
        return code

    async def take(self, client: ClientRecord, fields: Mapping[str, str]) -> tuple[Grant, str]:
        """What a code is good for, and a label for the tokens; from now on it is good for nothing.

        :raises OAuthError: it is not this client's, has expired, or was used
        """
        code = needed(fields, "code")
        digest = digest_of(code)
        ticket = await self._people.ticket(digest)
        if ticket is None or ticket.kind != "code":
            await self._used_before(digest)
            raise invalid_grant("This code is not known, has expired, or was used before. Log in again.")
        promise = msgspec.convert(ticket.content, _Promise)
        if promise.grant.client_id != client.id:
            raise invalid_grant("This code was given to another client. Log in again.")
        # First it is written that it was used: who comes second finds that, whoever of the two writes tokens first.
        until = self._clock.now() + _REMEMBERED_S
        used = {"family": promise.grant.family}
        await self._people.put_ticket(TicketRecord(_used(digest), "used-code", used, until))
        if await self._people.take_ticket(digest) is None:
            await self._used_before(digest)
            raise invalid_grant("This code was used before. Log in again.")
        if self._clock.now() >= ticket.expires_at:
            raise invalid_grant("This code has expired. Log in again, and be quicker.")
        if fields.get("redirect_uri") != promise.redirect_uri:
            raise invalid_grant("redirect_uri is not the one with which this code was asked for. Log in again.")
        pkce.check_verifier(promise.challenge, fields.get("code_verifier"))
        return promise.grant, promise.label

    async def is_revoked(self, code: str) -> bool:
        """Whether a code came a second time while its tokens were being made."""
        ticket = await self._people.ticket(_used(digest_of(code)))
        return ticket is not None and bool(ticket.content.get("again"))

    async def _used_before(self, digest: bytes) -> None:
        ticket = await self._people.ticket(_used(digest))
        if ticket is not None:
            content: dict[str, Any] = ticket.content | {"again": True}
            await self._people.put_ticket(msgspec.structs.replace(ticket, content=content))
            await self._tokens.revoke_all(family=ticket.content["family"])


def _used(digest: bytes) -> bytes:
    return digest_of(f"used:{digest.hex()}")


def _ticket(digest: bytes, kind: str, content: object, until: float) -> TicketRecord:
    return TicketRecord(digest, kind, msgspec.to_builtins(content), until)
