"""SEAM: how peers log in to the queues. And the way without a table: the name says who and which generation, the
password is a keyed hash of it.

What every way promises:

- A login reaches what :func:`afield.service.domain.names.permissions` says, and nothing else.
- One of an endpoint lets in until its generation is raised and its connections were dropped
  (:meth:`afield.broker.base.BrokerAdmin.drop`), or until it expires, which takes days: a published core endpoint keeps
  the one of its registration for life. One of a client lets in for a while; each connect asks for a new one.
- None lets in whose owner is shut out (their account is disabled), nor a client's by a token that was revoked. What is
  connected then is dropped (:mod:`afield.service.use.people.cut_off`).
- Nothing secret is kept but the service's own key, and every replica admits the same login with the same password.

Without a table every replica can check every login by itself, which a broker in the service's own process needs; other
brokers keep users of their own, or believe tokens (:mod:`afield.service.auth.rabbit_logins`).
"""

from __future__ import annotations

import hmac
from typing import Protocol

from afield.broker.base import Permissions
from afield.service.clock import Clock
from afield.service.domain.names import ClientLogin, CoreLogin, Login, parse_login, permissions
from afield.service.domain.records import EndpointRecord, UserEndpointRecord
from afield.service.store.people import People
from afield.service.use.people.callers import is_proof_good, may_come_in

__all__ = ["Logins", "Lookup", "QueueLogins", "is_current", "is_good", "owner_of", "password_of"]


class Lookup(Protocol):
    """Where the generations are: the store, or something in front of it."""

    async def endpoint(self, endpoint_id: str) -> EndpointRecord | None:
        """By id."""

    async def user_endpoint(self, user_endpoint_id: str) -> UserEndpointRecord | None:
        """By id."""


class Logins(Protocol):
    """Makes logins that the broker lets in."""

    async def admit(self, login: Login) -> str:
        """The broker's URL, as others reach it, with this login in it; from now on it lets in.

        A client's may be good for longer than it says.

        :raises BrokerUnreachable: the broker, which must be told, does not answer
        """


def password_of(secret: bytes, name: str) -> str:
    """The password of a login of this name; it needs no escaping in a URL."""
    return hmac.digest(secret, name.encode("utf-8", "surrogatepass"), "sha256").hex()


async def is_good(login: Login, records: Lookup, people: People, now: float) -> bool:
    """Whether a login may let in at this moment, going by what is kept of its owner."""
    if not await is_current(login, records, now):
        return False
    owner = await owner_of(login, records)
    if owner is None or not await may_come_in(people, owner):
        return False
    if isinstance(login, ClientLogin) and login.proof:
        return await is_proof_good(people, owner, login.proof, now)
    return True


async def owner_of(login: Login, records: Lookup) -> str | None:
    """The identity whose it is: of an endpoint's user endpoints, too, its owner; None: nobody's any more."""
    if isinstance(login, ClientLogin):
        return login.identity_id
    if isinstance(login, CoreLogin):
        endpoint = await records.endpoint(login.endpoint_id)
    else:
        user_endpoint = await records.user_endpoint(login.user_endpoint_id)
        endpoint = None if user_endpoint is None else await records.endpoint(user_endpoint.endpoint_id)
    return None if endpoint is None else endpoint.owner_id


async def is_current(login: Login, records: Lookup, now: float, *, or_later: bool = False) -> bool:
    """Whether its time is not over, and no later one has taken its place.

    :param or_later: one of a later generation than the record's counts as well. Only the service's key makes logins: so
        it is one that another replica made a moment ago, and the record that is known here is behind
    """
    if isinstance(login, ClientLogin):
        return now < login.expires_at
    if isinstance(login, CoreLogin):
        endpoint = await records.endpoint(login.endpoint_id)
        return endpoint is not None and _fits(login.generation, endpoint.generation, or_later=or_later)
    user_endpoint = await records.user_endpoint(login.user_endpoint_id)
    if user_endpoint is None or not _fits(login.generation, user_endpoint.generation, or_later=or_later):
        return False
    return await records.endpoint(user_endpoint.endpoint_id) is not None


def _fits(generation: int, known: int, *, or_later: bool) -> bool:
    return generation >= known if or_later else generation == known


class QueueLogins:
    """Makes logins, and checks them for a broker that asks.

    :param secret: the service's key, the same in every life and every replica
    :param records: where the generations are
    :param people: whose logins they are
    """

    def __init__(self, secret: bytes, records: Lookup, people: People, clock: Clock) -> None:
        self._secret = secret
        self._people = people
        self._records = records
        self._clock = clock
        self._address = ""

    def reach(self, host: str, port: int) -> None:
        """Where the broker is, as others reach it. Known once it listens."""
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def url(self, login: Login) -> str:
        """The broker's URL with this login in it. Names and passwords need no escaping."""
        return f"amqp://{login.name}:{password_of(self._secret, login.name)}@{self._address}/%2F"

    async def admit(self, login: Login) -> str:
        """The broker's URL with this login in it; the broker asks when somebody comes."""
        return self.url(login)

    async def authenticate(self, name: str, password: str) -> Permissions | None:
        """Who is this? An :data:`afield.broker.base.Authenticate`."""
        # Both sides as bytes: compare_digest refuses text that is not ASCII, and a login may hold anything.
        right = password_of(self._secret, name)
        if not hmac.compare_digest(right.encode(), password.encode("utf-8", "surrogatepass")):
            return None
        login = parse_login(name)
        if login is None or not await is_good(login, self._records, self._people, self._clock.now()):
            return None
        return permissions(login)
