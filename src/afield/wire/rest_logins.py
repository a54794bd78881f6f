"""The bodies of the REST API about how people and programs come in: who asks, personal access tokens, clients. All of
it is ours, below ``/afield/v1``; the published API has no word for it.

Times are unix seconds.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = [
    "Client",
    "ClientList",
    "ClientWish",
    "Known",
    "Membership",
    "NewClient",
    "NewToken",
    "Token",
    "TokenList",
    "TokenWish",
    "WhoAmI",
]

_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Scopes = Annotated[list[Annotated[str, Meta(min_length=1, max_length=256)]], Meta(max_length=20)]
_Addresses = Annotated[list[Annotated[str, Meta(min_length=1, max_length=2_000)]], Meta(max_length=20)]

_DAY = 86_400.0


class Known(msgspec.Struct):
    """An identity, as its owner sees it."""

    id: str
    username: str
    name: str
    email: str
    #: who vouches for it: ``local``, ``client``, or the issuer's URL
    provider: str


class Membership(msgspec.Struct):
    """A group that the caller is in."""

    id: str
    name: str
    role: str  #: ``manager`` or ``member``


class Token(msgspec.Struct):
    """What lets somebody in, without what would let anybody else in."""

    #: the beginning of its digest; of a login, of all its tokens together
    id: str
    label: str
    #: ``personal``: made by a person for a program of theirs; ``login``: of a program that somebody let in;
    #: ``service``: made by the service for whoever runs it
    kind: str
    created_at: float
    #: None: until it is revoked
    expires_at: float | None
    #: what it is good for; None: everything that its holder may
    scopes: list[str] | None
    #: the program that it was given to
    client_id: str | None = None


class WhoAmI(msgspec.Struct):
    """GET /afield/v1/whoami: who the caller is, and the token that says so."""

    identity: Known
    #: their other identities
    linked: list[Known]
    groups: list[Membership]
    #: may administrate the service
    is_admin: bool
    token: Token


class TokenWish(msgspec.Struct, omit_defaults=True):
    """POST /afield/v1/tokens: a personal access token."""

    #: what it is for, in words of its owner
    label: _Name
    #: seconds until it expires; None: it does not, until it is revoked
    lifetime_s: Annotated[float, Meta(ge=60, le=3_650 * _DAY)] | None = 90 * _DAY
    #: what it is good for; None: to use endpoints, functions and tasks
    scopes: _Scopes | None = None


class NewToken(msgspec.Struct):
    """A new one. Nobody is shown its text again."""

    token: str
    about: Token


class TokenList(msgspec.Struct):
    """GET /afield/v1/tokens: the caller's, the oldest first."""

    tokens: list[Token]


class ClientWish(msgspec.Struct, omit_defaults=True):
    """POST /afield/v1/clients: a program that may ask for tokens."""

    name: _Name
    #: with a secret it is somebody by itself; without one it is a program with which people log in
    has_secret: bool = True
    #: where people may be sent back with a code
    redirect_uris: _Addresses = []


class Client(msgspec.Struct):
    """A client, as its owner sees it."""

    id: str
    name: str
    created_at: float
    has_secret: bool
    redirect_uris: list[str]
    #: since when nobody comes in by it; None: it is in use
    disabled_at: float | None = None


class NewClient(msgspec.Struct):
    """A new one. Nobody is shown its secret again."""

    client: Client
    #: None: it has none
    secret: str | None = None


class ClientList(msgspec.Struct):
    """GET /afield/v1/clients: the caller's, the oldest first."""

    clients: list[Client]
