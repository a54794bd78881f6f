"""A new access token for a refresh token (RFC 6749 section 6).

The refresh token stays the same and is said again in each answer: published clients keep what the answer says, and one
that says nothing costs them their login (reference: wire contract section 2.4). One that was not used for long expires.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afield.service.auth.oauth.fields import needed
from afield.service.auth.oauth.issue import Grant, Issuer
from afield.service.auth.oauth.problems import invalid_grant, invalid_scope
from afield.service.auth.oauth.scopes import by_server, parse
from afield.service.auth.tokens import BearerTokens, digest_of
from afield.service.domain.people import ClientRecord, TokenKind
from afield.service.settings import SignIn

__all__ = ["refresh"]


async def refresh(
    tokens: BearerTokens, issuer: Issuer, client: ClientRecord, fields: Mapping[str, str], times: SignIn
) -> dict[str, Any]:
    """The document with the new token, for the one resource server that the old one was for.

    :raises OAuthError: the refresh token is not this client's, or not good any more
    """
    text = needed(fields, "refresh_token")
    record = await tokens.known(digest_of(text))
    if record is None or record.kind is not TokenKind.REFRESH or record.client_id != client.id:
        raise invalid_grant("This refresh token is not known, has expired, or was revoked. Log in again.")
    if await tokens.holder(record) is None:
        raise invalid_grant("The account behind this refresh token is not in use. Ask whoever runs this service.")
    granted = record.scopes or ()
    scopes = parse(fields.get("scope", "")) or granted
    if not set(scopes) <= set(granted):
        raise invalid_scope("A refresh token brings no more than was granted. Log in again with the new scopes.")
    grant = Grant(client.id, record.identity_id, scopes, record.family or "", record.session, offline=True)
    document = await issuer.access(grant, record.label, next(iter(by_server(scopes))))
    # Last: if it was revoked meanwhile, so is what came of it; if it is from now on, both are.
    if not await tokens.prolong(text, times.refresh_s):
        await tokens.revoke(document["access_token"])
        raise invalid_grant("This refresh token was revoked at this moment. Log in again.")
    return document | {"refresh_token": text, "other_tokens": []}
