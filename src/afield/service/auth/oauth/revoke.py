"""Taking a token back (RFC 7009).

An access token ends alone; a refresh token ends with all that came of the same login. Whether there was such a token is
nobody's business: the answer is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afield.service.auth.oauth.clients import claimed
from afield.service.auth.oauth.fields import needed
from afield.service.auth.oauth.personal import proven
from afield.service.auth.tokens import BearerTokens, digest_of
from afield.service.domain.people import TokenKind
from afield.service.store.people import People

__all__ = ["revoke"]


async def revoke(
    people: People, tokens: BearerTokens, authorization: str | None, fields: Mapping[str, str]
) -> dict[str, Any]:
    """The published answer.

    :param authorization: the value of that header
    :raises OAuthError: the client is not known, or did not prove that it is the one
    """
    text = needed(fields, "token")
    personal = await proven(tokens, authorization, fields)
    if personal is not None:  # it ends itself, or one that stands for it
        record = await tokens.known(digest_of(text))
        if record is not None and personal.digest in {record.digest, record.stands_for}:
            await tokens.revoke(text)
        return {"active": False}
    # Whoever holds a token may end it; a client that names itself must be that one.
    client = None
    if authorization is not None or "client_id" in fields:
        client = await claimed(people, authorization, fields)
    record = await tokens.known(digest_of(text))
    if record is not None and (client is None or record.client_id == client.id):
        if record.kind is TokenKind.REFRESH and record.family:
            await tokens.revoke_all(family=record.family)
        await tokens.revoke(text)
    return {"active": False}
