"""What a token is good for, told to a program that was given it (RFC 7662)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afield.service.auth.oauth.clients import authenticated
from afield.service.auth.oauth.fields import needed
from afield.service.auth.oauth.scopes import by_server
from afield.service.auth.tokens import BearerTokens, digest_of
from afield.service.domain.people import TokenKind
from afield.service.store.people import People

__all__ = ["introspect"]


async def introspect(
    people: People, tokens: BearerTokens, authorization: str | None, fields: Mapping[str, str], here: str
) -> dict[str, Any]:
    """The published answer; ``include=identity_set`` adds ids, ``session_info`` how its holder had logged in.

    :param authorization: the value of that header: the client's own proof
    :param here: the service's address
    :raises OAuthError: the client did not prove who it is
    """
    client = await authenticated(people, authorization, fields)
    record = await tokens.known(digest_of(needed(fields, "token")))
    # A refresh token concerns nobody but the client that has it.
    if record is None or (record.kind is TokenKind.REFRESH and record.client_id != client.id):
        return {"active": False}
    caller = await tokens.holder(record)
    if caller is None:
        return {"active": False}
    scopes = record.scopes or ()
    answer: dict[str, Any] = {
        "active": True,
        "token_type": "Bearer",
        "scope": " ".join(scopes),
        "client_id": record.client_id,
        "username": caller.identity.username,
        "name": caller.identity.name,
        "email": caller.identity.email,
        "sub": caller.id,
        "aud": [*by_server(scopes), *([record.client_id] if record.client_id else [])],
        "iss": here,
        "iat": int(record.created_at),
        "nbf": int(record.created_at),
    }
    if record.expires_at is not None:
        answer["exp"] = int(record.expires_at)
    wanted = fields.get("include", "").split(",")
    if {"identity_set", "identities_set"} & set(wanted):
        answer["identity_set"] = answer["identities_set"] = [caller.id, *(one.id for one in caller.linked)]
    if "session_info" in wanted and caller.session is not None:
        answer["session_info"] = {
            "session_id": record.family,
            "authentications": {
                each: {"auth_time": int(when), "amr": ["mfa"] if each in caller.session.mfa else []}
                for each, when in caller.session.authenticated_at.items()
            },
        }
    return answer
