"""A program that is somebody by itself: an id and a secret, exchanged for tokens that do not last.

The exchange is OAuth 2.0's (RFC 6749 section 4.4): POST /v2/oauth2/token with the id and the secret as HTTP Basic
(reference: wire contract sections 2.2 and 2.3).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from afield.errors import ComputeAPIError, ServiceError, ServiceUnreachable
from afield.sdk.login.known import same_service
from afield.sdk.login.plain_http import LATER, post_form
from afield.sdk.login.tokens import TOKEN_PATH, basic
from afield.sdk.retry import TryAgain
from afield.wire.malformed import MALFORMED

__all__ = [
    "COMPUTE_SCOPE",
    "PAIRS",
    "PUBLISHED_PAIR",
    "PUBLISHED_URL",
    "ClientCredentials",
    "find",
    "is_token_id",
]

#: Published: what a token must be good for.
COMPUTE_SCOPE: Final = "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all"

#: The variables for id and secret that published packages read today.
PUBLISHED_PAIR: Final = ("GLOBUS_COMPUTE_CLIENT_ID", "GLOBUS_COMPUTE_CLIENT_SECRET")
#: The variables for id and secret, ours before the published ones, those of today before those of the first generation.
PAIRS: Final = (
    ("AFIELD_CLIENT_ID", "AFIELD_CLIENT_SECRET"),
    PUBLISHED_PAIR,
    ("FUNCX_SDK_CLIENT_ID", "FUNCX_SDK_CLIENT_SECRET"),
)

#: An id without a secret has a published meaning of its own there: a person logs in through that application.
_ID_MAY_BE_ALONE: Final = {PUBLISHED_PAIR[0]}

#: The one address at which published packages look for a service of one's own (wire contract section 1.1), and where
#: `afield forward` makes another one answer.
PUBLISHED_URL: Final = "http://localhost:5000"
#: Published: which service the pair of today is for.
_AUTH_VARIABLE: Final = "GLOBUS_SDK_SERVICE_URL_AUTH"

#: Seconds before its end at which a token is renewed, so that none ends on its way.
_EARLY_S: Final = 60.0


class _Token(msgspec.Struct):
    access_token: str
    #: seconds; published clients take none for "at once"
    expires_in: float = 0


class _Refused(msgspec.Struct):
    error: str = ""
    error_description: str = ""


class ClientCredentials:
    """Gives the Authorization header, with a token that is fetched when the first is needed and before the last ends.

    May be asked from several threads; one of them fetches.

    :param url: of the service
    :param client_id: who
    :param secret: the proof
    :param name: of the variable that held the id, for messages
    :param now: a clock, in seconds
    """

    def __init__(
        self, url: str, client_id: str, secret: str, name: str = "client_id", now: Callable[[], float] = time.monotonic
    ) -> None:
        self.client_id = client_id
        self._url, self._name, self._now = url.rstrip("/"), name, now
        self._basic = basic(client_id, secret)
        self._header, self._until = "", -1.0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"ClientCredentials({self.client_id!r} at {self._url})"

    def ready(self) -> str | None:
        """The header, where the token lasts a while; asks nobody."""
        return self._header if self._now() < self._until else None

    def get_authorization_header(self) -> str:
        """The header; asks the service for a token where need be.

        :raises TryAgain: nobody answered
        :raises ServiceError: the service does not know this client, or issues no tokens
        """
        with self._lock:
            found = self.ready()
            if found is None:
                began = self._now()
                token = self._fetch()
                self._header = found = f"Bearer {token.access_token}"
                # Of a token that is shorter than that, half its time must do.
                self._until = began + max(token.expires_in - _EARLY_S, token.expires_in / 2)
            return found

    def handle_missing_authorization(self) -> bool:
        """The token was not taken any more: forget it, so that another one is fetched."""
        with self._lock:
            self._header, self._until = "", -1.0
        return True

    def _fetch(self) -> _Token:
        form = {"grant_type": "client_credentials", "scope": COMPUTE_SCOPE}
        status, answer, _ = post_form(f"{self._url}{TOKEN_PATH}", form, self._basic, "for a token")
        if status == 200:
            try:
                return msgspec.json.decode(answer, type=_Token)
            except MALFORMED as error:
                raise ServiceError(f"{self._url} answered with something that is no token: {error}") from error
        if status in LATER:
            raise TryAgain(ServiceUnreachable(f"{self._url} answers {status} to {self._name}'s request for a token"))
        if status in {404, 405}:
            raise ServiceError(
                f"the service at {self._url} issues no tokens for client credentials: use AFIELD_TOKEN, and unset "
                f"{self._name} and its secret here"
            )
        try:
            body = msgspec.json.decode(answer, type=_Refused)
        except MALFORMED:
            body = _Refused()
        reason = body.error_description or body.error or "it does not say why"
        raise ComputeAPIError(
            status,
            body.error or f"HTTP_{status}",
            f"{self._url} gives {self._name} {self.client_id} no token: {reason}",
        )


def find(url: str, environ: Mapping[str, str]) -> ClientCredentials | None:
    """What the environment says; None: nothing.

    What `afield env` set for another service is not for this one: it would be shown a token that is good there. Where
    that service may be behind `afield forward`, it is shown the secret itself, as published: this machine's port 5000
    may be anybody's, and gets no more than what stands for the personal token.

    :param url: of the service
    :raises ValueError: it says half of it, or for a service that has no address
    """
    for id_name, secret_name in PAIRS:
        client_id, secret = environ.get(id_name), environ.get(secret_name)
        if client_id and secret:
            where = _whose(url, environ) if is_token_id(client_id) else url
            if where is None:
                continue
            return ClientCredentials(where, client_id, secret, id_name)
        if secret or (client_id and id_name not in _ID_MAY_BE_ALONE):
            there, absent = (secret_name, id_name) if secret else (id_name, secret_name)
            raise ValueError(
                f"{there} is set and {absent} is not: set both to be that client, or neither to be yourself"
            )
    return None


def is_token_id(client_id: str) -> bool:
    """Whether that is a personal access token's id; those of clients are UUIDs."""
    return re.fullmatch(r"[0-9a-f]{16}", client_id) is not None


def _whose(url: str, environ: Mapping[str, str]) -> str | None:
    """Which service is shown the secret by whoever asks at this URL; None: none is."""
    meant = environ.get(_AUTH_VARIABLE)
    if not meant:
        return url
    try:
        is_asked = same_service(meant, url)
    except ValueError:  # a port out of range, half a bracket
        is_asked = None
    if is_asked is None or not meant.startswith(("http://", "https://")):
        raise ValueError(
            f"{_AUTH_VARIABLE} does not hold the address of a service: set it anew with `afield env`, or unset it"
        )
    if is_asked:
        return url
    return meant if same_service(PUBLISHED_URL, url) else None
