"""The document with which a service answers who asks for tokens, and what it says when there are none (RFC 6749 section
5, in the published form: reference, wire contract section 2.4).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from afield.errors import ComputeAPIError, ServiceError, ServiceUnreachable
from afield.sdk.login.plain_http import LATER, Answer, post_form
from afield.sdk.login.stored import StoredToken
from afield.sdk.retry import TryAgain
from afield.wire.malformed import MALFORMED

__all__ = ["DEFAULT_CLIENT", "TOKEN_PATH", "TokenRefused", "ask_for_tokens", "basic", "decode_refusal"]

TOKEN_PATH: Final = "/v2/oauth2/token"  # noqa: S105 - a path

#: The native client that this program is, known to every service (reference: wire contract section 2.1).
DEFAULT_CLIENT: Final = "4cf29807-cf21-49ec-9443-ff9a3fb9f81c"


class TokenRefused(ComputeAPIError):  # noqa: N818 - one error, under a name by which it can be told from others
    """The service gives no token; ``code`` is OAuth's, such as ``invalid_grant``."""


class _Token(msgspec.Struct):
    access_token: str
    resource_server: str = ""
    scope: str = ""
    refresh_token: str | None = None
    #: seconds; published clients take none for "at once"
    expires_in: float = 0


class _Document(_Token):
    other_tokens: list[_Token] = []


class _Refused(msgspec.Struct):
    error: str = ""
    error_description: str = ""


def ask_for_tokens(url: str, form: Mapping[str, str], now: float, secret: str | None = None) -> dict[str, StoredToken]:
    """Tokens for what a form says, by what they are for.

    :param url: of the service
    :param now: unix time, from which they count
    :param secret: of the client that the form names, if it has one
    :raises TokenRefused: the answer is no
    :raises TryAgain: nobody answered, or not now
    :raises ServiceError: what answers is no such service
    """
    authorization = None if secret is None else basic(form["client_id"], secret)
    answer = post_form(f"{url.rstrip('/')}{TOKEN_PATH}", form, authorization, "for a token")
    if answer.status != 200:
        raise decode_refusal(url, answer)
    try:
        document = msgspec.json.decode(answer.body, type=_Document)
    except MALFORMED as error:
        raise ServiceError(f"{url} answered with something that is no token: {error}") from error
    return {one.resource_server: _kept(one, now) for one in (document, *document.other_tokens)}


def decode_refusal(url: str, answer: Answer) -> TryAgain | ServiceError:
    """What to raise for an answer in OAuth's words that brings nothing."""
    try:
        said = msgspec.json.decode(answer.body, type=_Refused)
    except MALFORMED:
        said = _Refused()
    if said.error:
        return TokenRefused(answer.status, said.error, said.error_description or said.error)
    if answer.status in LATER:
        return TryAgain(ServiceUnreachable(f"{url} answers {answer.status} to the request for a token"))
    return ServiceError(
        f"{url} answers {answer.status} to the request for a token, as no Afield service does: is the address right?"
    )


def basic(client_id: str, secret: str) -> str:
    """The Authorization header of a client (RFC 6749 section 2.3.1: both are form-encoded before they are joined)."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _kept(token: _Token, now: float) -> StoredToken:
    return StoredToken(token.access_token, now, now + token.expires_in, token.refresh_token, token.scope)
