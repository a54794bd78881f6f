"""Where at a service people and programs log in, as it says itself (OpenID Connect Discovery).

What a browser opens is the service's public address; what this program asks, it asks where it was told to find the
service, for the two may differ behind a tunnel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from afield.errors import ServiceError
from afield.sdk.login.plain_http import exchange
from afield.wire.malformed import MALFORMED

__all__ = ["Places", "Wish", "find_places"]

_CONFIGURATION: Final = "/.well-known/openid-configuration"


class Places(NamedTuple):
    """Of one service."""

    #: for this program
    url: str
    #: what the service calls itself, without a slash at the end
    issuer: str
    #: for a browser
    authorize: str


class Wish(NamedTuple):
    """What is asked of somebody who logs in."""

    #: the program that they let in
    client_id: str
    scopes: tuple[str, ...]
    #: further parameters, such as those of another login that a service needs
    more: Mapping[str, str]


class _Configuration(msgspec.Struct):
    issuer: str
    authorization_endpoint: str


def find_places(url: str) -> Places:
    """Ask the service.

    :raises TryAgain: nobody answered
    :raises ServiceError: what answers is no such service
    """
    url = url.rstrip("/")
    answer = exchange("GET", url + _CONFIGURATION, {"Accept": "application/json"}, why="for a login")
    try:
        if answer.status != 200:
            raise msgspec.DecodeError(f"it answers {answer.status}")
        found = msgspec.json.decode(answer.body, type=_Configuration)
    except MALFORMED as error:
        raise ServiceError(
            f"nobody can log in at {url} ({error}). Is that the address of an Afield service?"
        ) from error
    return Places(url, found.issuer.rstrip("/"), found.authorization_endpoint)
