"""Logins for the queues, without a table: the name says who and which generation, the password is a keyed hash of it.

So nothing secret is kept but the service's own key, every replica can check every login, and credentials outlive the
service's restarts, which the published core endpoint needs: it keeps those of its registration for life. Revoking is
raising the generation of the record; see :mod:`afield.service.domain.names`.
"""

from __future__ import annotations

import hmac
from typing import Protocol

from afield.broker.base import Permissions
from afield.service.clock import Clock
from afield.service.domain.names import ClientLogin, CoreLogin, Login, UserLogin, parse_login, permissions
from afield.service.domain.records import EndpointRecord, UserEndpointRecord

__all__ = ["Lookup", "QueueLogins"]


class Lookup(Protocol):
    """Where the generations are: the store, or something in front of it."""

    async def endpoint(self, endpoint_id: str) -> EndpointRecord | None:
        """By id."""

    async def user_endpoint(self, user_endpoint_id: str) -> UserEndpointRecord | None:
        """By id."""


class QueueLogins:
    """Makes logins, and checks them for the broker.

    :param secret: the service's key, the same in every life and every replica
    :param records: where the generations are
    """

    def __init__(self, secret: bytes, records: Lookup, clock: Clock) -> None:
        self._secret = secret
        self._records = records
        self._clock = clock
        self._address = ""

    def reach(self, host: str, port: int) -> None:
        """Where the broker is, as others reach it. Known once it listens."""
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def url(self, login: Login) -> str:
        """The broker's URL with this login in it. Names and passwords need no escaping."""
        return f"amqp://{login.name}:{self._password(login.name)}@{self._address}/%2F"

    def core_url(self, endpoint: EndpointRecord) -> str:
        """For a core endpoint; good until its generation is raised."""
        return self.url(CoreLogin(endpoint.id, endpoint.generation))

    def user_url(self, user_endpoint: UserEndpointRecord) -> str:
        """For a user endpoint; good until its generation is raised."""
        return self.url(UserLogin(user_endpoint.id, user_endpoint.generation))

    def client_url(self, identity_id: str, lifetime_s: float) -> str:
        """For a client; it connects within ``lifetime_s`` seconds, or asks again."""
        return self.url(ClientLogin(identity_id, int(self._clock.now() + lifetime_s)))

    async def authenticate(self, name: str, password: str) -> Permissions | None:
        """Who is this? An :data:`afield.broker.base.Authenticate`."""
        # Both sides as bytes: compare_digest refuses text that is not ASCII, and a login may hold anything.
        if not hmac.compare_digest(self._password(name).encode(), password.encode("utf-8", "surrogatepass")):
            return None
        login = parse_login(name)
        if login is None or not await self._is_good(login):
            return None
        return permissions(login)

    async def _is_good(self, login: Login) -> bool:
        if isinstance(login, ClientLogin):
            return self._clock.now() < login.expires_at
        if isinstance(login, CoreLogin):
            endpoint = await self._records.endpoint(login.endpoint_id)
            return endpoint is not None and endpoint.generation == login.generation
        user_endpoint = await self._records.user_endpoint(login.user_endpoint_id)
        if user_endpoint is None or user_endpoint.generation != login.generation:
            return False
        return await self._records.endpoint(user_endpoint.endpoint_id) is not None

    def _password(self, name: str) -> str:
        return hmac.digest(self._secret, name.encode("utf-8", "surrogatepass"), "sha256").hex()
