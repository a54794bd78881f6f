"""Logins for a RabbitMQ, in the two ways that it knows.

:class:`ManagedLogins`: each login is a user of RabbitMQ's own, made by the management API. It is revoked at once, by
deleting it. :class:`TokenLogins`: the password is a token that says what its holder may, signed with the service's
key; RabbitMQ (plugin ``rabbitmq_auth_backend_oauth2``) keeps nothing and believes it until it expires. So a revoked
login could connect again until then: whoever is on duty looks for such connections and ends them
(:meth:`TokenLogins.tidy`).

Logins of clients are rounded up to half an hour's multiple of their lifetime, so that those that one person asks for by
one token are one.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, urlsplit

from afield.broker.rabbitmq.rights import rights, scopes
from afield.errors import ConfigurationError
from afield.service.auth.queue_logins import Logins, Lookup, is_current, owner_of, password_of
from afield.service.clock import Clock
from afield.service.domain.names import ClientLogin, Login, parse_login, permissions
from afield.service.store.people import People
from afield.service.use.people.callers import all_shut_out, is_proof_good

if TYPE_CHECKING:
    from afield.broker.rabbitmq.api import ManagementApi  # brings aiohttp, which who has no RabbitMQ needs not

__all__ = ["ManagedLogins", "PeerAddress", "RabbitLogins", "TokenLogins"]

logger = logging.getLogger(__name__)

#: How long, in seconds, a user is believed to be there without being made again.
_BELIEVED_S: Final = 600.0
_MOST: Final = 50_000

#: Clients' logins expire at multiples of this, in seconds.
_STEP_S: Final = 1800

#: How long a token of an endpoint is good, in seconds. The key that signed it verifies no longer than this.
_TOKEN_S: Final = 7 * 86_400.0

Sign = Callable[[dict[str, Any]], Awaitable[str]]


class RabbitLogins(Logins, Protocol):
    """Both ways."""

    async def tidy(self) -> None:
        """Remove what lets in and should not. May be repeated at any time.

        :raises BrokerError: RabbitMQ does not answer
        """


class PeerAddress:
    """Where RabbitMQ is, as peers reach it.

    :param broker_url: as the service itself reaches it
    :param public_url: ``amqps://host:port`` as others do; None: as the service itself
    :raises ConfigurationError: it is no such URL
    """

    def __init__(self, broker_url: str, public_url: str | None = None) -> None:
        ours, parts = urlsplit(broker_url), urlsplit(public_url or broker_url)
        if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
            # It may hold a password, so it is not repeated.
            raise ConfigurationError(
                "the broker's address for others cannot be read: write --broker-public-url amqps://host:port"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = "" if parts.port is None else f":{parts.port}"
        self._begin = f"{parts.scheme}://"
        self._end = f"@{host}{port}{ours.path or '/%2F'}"

    @property
    def without_login(self) -> str:
        """For people."""
        return self._begin + self._end[1:]

    def url(self, name: str, password: str) -> str:
        """With a login in it."""
        return f"{self._begin}{quote(name, safe='')}:{quote(password, safe='')}{self._end}"


def rounded(login: Login) -> Login:
    """A login that may be good for longer."""
    if isinstance(login, ClientLogin):
        return replace(login, expires_at=math.ceil(login.expires_at / _STEP_S) * _STEP_S)
    return login


class ManagedLogins:
    """Users of RabbitMQ's own.

    :param secret: the service's key; passwords follow from it
    :param records: where the generations are
    :param people: whose logins they are
    :param connections: that each may have at once; 0: any number
    """

    def __init__(
        self,
        secret: bytes,
        records: Lookup,
        people: People,
        clock: Clock,
        *,
        api: ManagementApi,
        address: PeerAddress,
        connections: int = 0,
    ) -> None:
        self._connections = connections
        self._secret = secret
        self._records = records
        self._people = people
        self._clock = clock
        self._api = api
        self._address = address
        # name -> until when it is believed to be there
        self._there: dict[str, float] = {}
        # name -> is being made
        self._making: dict[str, asyncio.Task[None]] = {}

    async def admit(self, login: Login) -> str:
        """The broker's URL with this login in it; RabbitMQ has been told.

        :raises BrokerUnreachable: it does not answer
        """
        login = rounded(login)
        password = password_of(self._secret, login.name)
        if self._there.get(login.name, 0.0) <= self._clock.now():
            # Programs of one person that begin together want the same one: it is made once for all.
            making = self._making.get(login.name)
            if making is None:
                making = self._making[login.name] = asyncio.ensure_future(self._make(login, password))
                making.add_done_callback(partial(self._made, login.name))
            await asyncio.shield(making)
        return self._address.url(login.name, password)

    def _made(self, name: str, making: asyncio.Task[None]) -> None:
        del self._making[name]
        if not making.cancelled():
            making.exception()  # whoever waits is told; if nobody does any more, nobody needs to know

    async def _make(self, login: Login, password: str) -> None:
        now = self._clock.now()
        allowed = rights(permissions(login))
        await self._api.put_user(login.name, password, allowed, connections=self._connections)
        if len(self._there) >= _MOST:
            self._there.clear()
        self._there[login.name] = now + _BELIEVED_S

    async def tidy(self) -> None:
        """Remove users that should let nobody in any more. A client that is connected stays: connecting expires. Not
        so those who are shut out.
        """
        now = self._clock.now()
        names = await self._api.users()
        shut_out = await all_shut_out(self._people)
        for name in names:
            login = parse_login(name)
            if login is None:
                continue
            if await owner_of(login, self._records) not in shut_out:
                if await is_current(login, self._records, now, or_later=True):
                    continue
                if isinstance(login, ClientLogin) and await self._api.connections_of(name):
                    continue
            await self._api.delete_user(name)
            self._there.pop(name, None)


class TokenLogins:
    """Tokens that RabbitMQ believes.

    :param sign: makes a JWT of claims, with a key that RabbitMQ knows
    :param records: where the generations are
    :param people: whose logins they are
    :param resource: the id by which RabbitMQ knows itself (``auth_oauth2.resource_server_id``)
    :param vhost: the virtual host that is the service's
    """

    def __init__(
        self,
        sign: Sign,
        records: Lookup,
        people: People,
        clock: Clock,
        *,
        api: ManagementApi,
        address: PeerAddress,
        resource: str = "rabbitmq",
        vhost: str = "/",
    ) -> None:
        self._sign = sign
        self._records = records
        self._people = people
        # Clients' connections that were found good when they were new.
        self._known: set[str] = set()
        self._clock = clock
        self._api = api
        self._address = address
        self._resource = resource
        self._vhost = vhost

    async def admit(self, login: Login) -> str:
        """The broker's URL with this login in it, and a token as its password."""
        login = rounded(login)
        now = self._clock.now()
        until = login.expires_at if isinstance(login, ClientLogin) else now + _TOKEN_S
        token = await self._sign(
            {
                "sub": login.name,
                "client_id": login.name,
                "aud": [self._resource],
                "iat": int(now),
                "exp": int(until),
                "scope": scopes(permissions(login), self._resource, self._vhost),
            }
        )
        return self._address.url(login.name, token)

    async def tidy(self) -> None:
        """End connections of logins that were revoked: their tokens would let them in again until they expire."""
        now = self._clock.now()
        connected = await self._api.connected()
        shut_out = await all_shut_out(self._people)
        self._known &= {one for connections in connected.values() for one in connections}
        for name, connections in connected.items():
            login = parse_login(name)
            if login is None or await self._may_stay(login, connections, shut_out, now):
                continue
            logger.info("%s was revoked, and is cut off again", name)
            await self._api.end_connections(connections, f"the credentials of {name} were revoked")

    async def _may_stay(self, login: Login, connections: list[str], shut_out: frozenset[str], now: float) -> bool:
        if await owner_of(login, self._records) in shut_out:
            return False
        if not isinstance(login, ClientLogin):
            return await is_current(login, self._records, now, or_later=True)
        # Once for each connection: one that was good goes on although the token behind it expires.
        is_new = bool(login.proof) and not self._known.issuperset(connections)
        if is_new and not await is_proof_good(self._people, login.identity_id, login.proof, now):
            return False
        self._known.update(connections)
        return True
