"""A personal access token as a client's credentials, for programs that know no other way in.

Published programs take a client's id and secret from their environment, and are then that client: somebody else than
the person who runs them. Given the id of one of that person's tokens, and the token as the secret, they are the person:
the access tokens that they get *stand for* the personal one. They are of its kind, so what a program with a personal
token may not do, they may not either; they are good for no more, last no longer, and end when it does. A token that
stands for another is no credential here.

Wrong tries are not counted, as for clients' secrets and for tokens elsewhere: a token has 256 random bits and is looked
up by its digest, so its id, which others may see, brings nobody closer to it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

from afield.service.auth.oauth.clients import said
from afield.service.auth.oauth.issue import token_document
from afield.service.auth.oauth.problems import invalid_client, invalid_scope
from afield.service.auth.oauth.scopes import COMPUTE, by_server, parse
from afield.service.auth.tokens import BearerTokens, digest_of
from afield.service.domain.people import TokenKind, TokenRecord
from afield.service.settings import SignIn

__all__ = ["proven", "stand_ins"]

#: As owners are shown the ids of tokens. A client's id never looks like that: it is a UUID.
_TOKEN_ID: Final = re.compile(r"[0-9a-f]{16}")


async def proven(tokens: BearerTokens, authorization: str | None, fields: Mapping[str, str]) -> TokenRecord | None:
    """The personal token by which somebody proves who they are; None: they do not say that they have one.

    :param authorization: the value of that header
    :raises OAuthError: there is none of this id and text, or nobody comes in by it; the same as for a client
    """
    if authorization is None and "client_id" not in fields:
        return None
    token_id, secret = said(authorization, fields)
    if not _TOKEN_ID.fullmatch(token_id):
        return None
    record = None if secret is None else await tokens.known(digest_of(secret))
    if record is None or record.kind is not TokenKind.PERSONAL or record.stands_for is not None:
        raise invalid_client()
    if not hmac.compare_digest(record.shown_id, token_id) or await tokens.holder(record) is None:
        raise invalid_client()
    return record


async def stand_ins(
    tokens: BearerTokens, personal: TokenRecord, fields: Mapping[str, str], times: SignIn
) -> dict[str, Any]:
    """The document. Published programs ask for the scopes of one resource server at a time.

    :raises OAuthError: a scope is not known, or the personal token is not good for it
    """
    scopes = parse(fields.get("scope", "")) or (COMPUTE,)
    more = [] if personal.scopes is None else [scope for scope in scopes if scope not in personal.scopes]
    if more:
        raise invalid_scope(
            f"This personal access token was not made for the scope {more[0]}. `afield env` makes one that published "
            "programs can use; `afield token create --scope` makes one for the scopes that you name."
        )
    documents = []
    for server, part in by_server(scopes).items():
        access, seconds = await tokens.stand_in(personal, part, times.access_s)
        documents.append(token_document(access, server, part, seconds))
    return documents[0] | {"other_tokens": documents[1:]}
