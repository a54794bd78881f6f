"""Tokens for what somebody granted, and the document that carries them (RFC 6749 section 5.1).

The document is the published one: at its top the token of one resource server, those of others in ``other_tokens``,
which is always there (reference: wire contract section 2.4).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec

from afield.service.auth.oauth.keys import SigningKeys
from afield.service.auth.oauth.scopes import OPENID, by_server
from afield.service.auth.tokens import BearerTokens
from afield.service.clock import Clock
from afield.service.domain.people import IdentityRecord, Session, TokenKind
from afield.service.settings import SignIn
from afield.service.store.people import People

__all__ = ["Grant", "Issuer", "new_family", "token_document"]

#: Seconds for which an id token says who logged in; it is read at once.
_ID_TOKEN_S: Final = 3600


class Grant(msgspec.Struct, frozen=True):
    """What somebody granted to a client."""

    client_id: str
    identity_id: str
    scopes: tuple[str, ...]
    #: the same for all tokens that come of it
    family: str
    session: Session | None = None
    #: with refresh tokens
    offline: bool = False
    nonce: str | None = None


def new_family() -> str:
    """A name for the tokens of one login."""
    return secrets.token_urlsafe(16)


def token_document(access: str, server: str, scopes: tuple[str, ...], expires_in: float) -> dict[str, Any]:
    """One access token, as clients read it."""
    return {
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": int(expires_in),
        "scope": " ".join(scopes),
        "resource_server": server,
    }


class Issuer:
    """Makes tokens.

    :param keys: gives the keys that sign; asked for only when something is to be signed
    """

    def __init__(
        self, people: People, tokens: BearerTokens, keys: Callable[[], SigningKeys], clock: Clock, times: SignIn
    ) -> None:
        self._people, self._tokens, self._keys = people, tokens, keys
        self._clock, self._times = clock, times

    async def issue(self, grant: Grant, label: str, issuer: str) -> dict[str, Any]:
        """All tokens of a grant, and the id token if it has the scope for it.

        :param label: what they are for, for their owner
        :param issuer: this service's address
        """
        documents = [
            await self._pair(grant, label, server, scopes) for server, scopes in by_server(grant.scopes).items()
        ]
        answer = documents[0] | {"other_tokens": documents[1:]}
        if OPENID in grant.scopes and grant.session is not None:
            identity = await self._people.identity(grant.identity_id)
            if identity is not None:
                answer["id_token"] = await self._keys().sign(self._claims(grant, identity, issuer))
        return answer

    async def access(self, grant: Grant, label: str, server: str) -> dict[str, Any]:
        """One more access token; its scopes are those of one resource server."""
        access = await self._tokens.issue(
            grant.identity_id,
            label,
            self._times.access_s,
            kind=TokenKind.ACCESS,
            client_id=grant.client_id,
            scopes=grant.scopes,
            family=grant.family,
            session=grant.session,
        )
        return token_document(access, server, grant.scopes, self._times.access_s)

    async def _pair(self, grant: Grant, label: str, server: str, scopes: tuple[str, ...]) -> dict[str, Any]:
        part = msgspec.structs.replace(grant, scopes=scopes)
        document = await self.access(part, label, server)
        if grant.offline:
            document["refresh_token"] = await self._tokens.issue(
                grant.identity_id,
                label,
                self._times.refresh_s,
                kind=TokenKind.REFRESH,
                client_id=grant.client_id,
                scopes=scopes,
                family=grant.family,
                session=grant.session,
            )
        return document

    def _claims(self, grant: Grant, identity: IdentityRecord, issuer: str) -> dict[str, Any]:
        now = int(self._clock.now())
        session = grant.session or Session()
        claims: dict[str, Any] = {
            "iss": issuer,
            "sub": identity.id,
            "aud": grant.client_id,
            "iat": now,
            "nbf": now,
            "exp": now + _ID_TOKEN_S,
            "auth_time": int(max(session.authenticated_at.values(), default=now)),
            "preferred_username": identity.username,
            "name": identity.name,
            "email": identity.email,
            "identity_provider": identity.provider,
        }
        if identity.organization is not None:
            claims["organization"] = identity.organization
        if session.mfa:
            claims["amr"] = ["mfa"]
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        return claims
