"""Where programs get tokens, give them back, and ask about them. What is wrong is told as in RFC 6749 section 5.2."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

import msgspec

from afield.service.api.ask import Ask
from afield.service.api.oauth import NO_STORE, form_of, here
from afield.service.api.reply import JSON, Reply
from afield.service.auth.oauth.clients import claimed
from afield.service.auth.oauth.introspect import introspect
from afield.service.auth.oauth.problems import OAuthError
from afield.service.auth.oauth.revoke import revoke

__all__ = ["device_authorization", "introspection", "revocation", "token"]

_encode: Final = msgspec.json.Encoder().encode

Handler = Callable[[Ask], Awaitable[dict[str, Any]]]


def _in_oauths_words(handler: Handler) -> Callable[[Ask], Awaitable[Reply]]:
    @wraps(handler)
    async def answer(ask: Ask) -> Reply:
        try:
            return Reply(_encode(await handler(ask)), headers=NO_STORE)
        except OAuthError as error:
            return Reply(_encode(error.body), error.status, JSON, {**NO_STORE, **error.headers})

    return answer


@_in_oauths_words
async def token(ask: Ask) -> dict[str, Any]:
    """Tokens for a code, a refresh token, a device code, or a client's own credentials (RFC 6749)."""
    fields = await form_of(ask)
    return await ask.uses.oauth.token_endpoint.answer(ask.header(b"authorization"), fields, here(ask))


@_in_oauths_words
async def revocation(ask: Ask) -> dict[str, Any]:
    """Take a token back (RFC 7009)."""
    oauth = ask.uses.oauth
    return await revoke(oauth.people, oauth.tokens, ask.header(b"authorization"), await form_of(ask))


@_in_oauths_words
async def introspection(ask: Ask) -> dict[str, Any]:
    """What a token is good for (RFC 7662)."""
    oauth = ask.uses.oauth
    return await introspect(oauth.people, oauth.tokens, ask.header(b"authorization"), await form_of(ask), here(ask))


@_in_oauths_words
async def device_authorization(ask: Ask) -> dict[str, Any]:
    """Codes for a device without a browser (RFC 8628)."""
    oauth = ask.uses.oauth
    fields = await form_of(ask)
    client = await claimed(oauth.people, ask.header(b"authorization"), fields)
    return await oauth.devices.start(client, fields, ask.address(oauth.proxies), f"{here(ask)}/device")
