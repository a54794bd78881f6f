"""The authorization server's documents: where everything is, and who holds a token.

Tokens are given in ``oauth_tokens``, and what people see is in ``oauth_pages``.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from afield.service.api.ask import Ask
from afield.service.api.reply import Reply
from afield.service.auth.oauth import identities, userinfo
from afield.service.auth.oauth.fields import MOST_BYTES, parse_fields
from afield.service.auth.oauth.problems import OAuthError, invalid_request
from afield.service.domain.refusals import Refusal

__all__ = [
    "NO_STORE",
    "configuration",
    "consents",
    "form_of",
    "here",
    "identity_list",
    "jwks",
    "projects",
    "user",
]

_encode = msgspec.json.Encoder().encode

_FORM: Final = "application/x-www-form-urlencoded"
_HOST: Final = re.compile(r"[A-Za-z0-9.\-_]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}
#: Where a document that says nothing secret may be read by pages of other origins, too.
_PUBLIC: Final = {"cache-control": "public, max-age=300", "access-control-allow-origin": "*"}


def here(ask: Ask) -> str:
    """The service's address, without a slash at the end: the public one, or as this request has it.

    :raises OAuthError: the request names a host that can be none
    """
    public = ask.uses.oauth.public_url
    if public is not None:
        return public
    host = ask.header(b"host") or "localhost"
    if not _HOST.fullmatch(host):
        raise invalid_request("The request's Host header names no host.")
    return f"http://{host}"


async def form_of(ask: Ask) -> dict[str, str]:
    """The fields of a form.

    :raises OAuthError: it is none, or too large
    """
    kind = (ask.header(b"content-type") or "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise invalid_request(f"This takes a form. Send it as {_FORM}.")
    try:
        body = await ask.body(MOST_BYTES)
    except Refusal as refusal:
        said = f"A form may have at most {MOST_BYTES} bytes. Send less." if refusal.status == 413 else refusal.message
        raise OAuthError("invalid_request", said, refusal.status) from refusal
    return parse_fields(body)


async def configuration(ask: Ask) -> Reply:
    """Where everything is (OpenID Connect Discovery)."""
    from afield.service.auth.oauth import discovery

    try:
        return Reply(_encode(discovery.configuration(here(ask))), headers=_PUBLIC)
    except OAuthError as error:
        return Reply(_encode(error.body), error.status)


async def jwks(ask: Ask) -> Reply:
    """The keys that verify what this service signs; the one that signs now is the first."""
    return Reply(_encode(await ask.uses.oauth.keys.listed()), headers=_PUBLIC)


async def user(ask: Ask) -> Reply:
    """Who holds the token, with all linked identities."""
    return Reply(_encode(userinfo.userinfo(ask.caller)), headers=NO_STORE)


async def identity_list(ask: Ask) -> dict[str, Any]:
    """Identities by ids or by usernames."""
    included = "identity_provider" in (ask.query("include") or "").split(",")
    people = ask.uses.oauth.people
    return await identities.identities(
        people, ask.caller, ask.query("ids"), ask.query("usernames"), with_providers=included
    )


async def consents(ask: Ask, identity_id: str) -> dict[str, Any]:
    """What the caller lets programs do."""
    return await identities.consents(ask.uses.oauth.people, ask.caller, identity_id)


async def projects(_ask: Ask) -> dict[str, Any]:
    """None: clients and policies belong to people here, not to projects."""
    return {"projects": []}
