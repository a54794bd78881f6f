"""RabbitMQ's management API (plugin ``rabbitmq_management``): what AMQP itself cannot do."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import aiohttp

from afield.broker.rabbitmq.rights import Rights
from afield.errors import BrokerRefused, BrokerUnreachable, ConfigurationError

__all__ = ["PORT", "ManagementApi", "api_url"]

logger = logging.getLogger("afield.broker")

#: Where the API listens by default, without and with TLS.
PORT: Final = 15672
_TLS_PORT: Final = 15671

#: From here on it speaks of itself, not of the request.
_NOT_WELL: Final = 500

#: And so it does with these, where it has let us in before: on its way down or up RabbitMQ cannot look logins up, and
#: finds nothing where everything is.
_LOST: Final = (401, 404)

#: What it says to the second of two who make a user at once. Asked again, it changes the one that is there.
_CROSSED: Final = "user_already_exists"

#: Nothing here takes long; it only bounds a hang, in seconds.
_PATIENCE: Final = aiohttp.ClientTimeout(total=15.0)

_GONE: Final = 404


def api_url(broker_url: str) -> str:
    """Where the API is, for a broker of this URL, if nobody says otherwise: same host, same login, usual port."""
    parts = urlsplit(broker_url)
    login, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    scheme, port = ("https", _TLS_PORT) if parts.scheme == "amqps" else ("http", PORT)
    return f"{scheme}://{login}{at}{host}:{port}"


class ManagementApi:
    """One API, used with the service's own login, which must be an administrator's.

    :param url: ``http://user:password@host:15672``, or ``https``
    :param vhost: the virtual host that is the service's
    :raises ConfigurationError: the URL is none
    """

    def __init__(self, url: str, vhost: str = "/") -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            # The URL may hold a password, so it is not repeated.
            raise ConfigurationError(
                "the URL of RabbitMQ's management API cannot be read: write http://user:password@host:15672"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._base = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}/api"
        login = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}
        self._vhost = vhost
        self._session: aiohttp.ClientSession | None = None
        self._was_let_in = False

    async def check(self) -> None:
        """Make sure that it answers, and that this login may do what is needed.

        :raises BrokerUnreachable: nobody answers there
        :raises BrokerRefused: wrong login, or not an administrator's
        """
        answer = await self._ask("GET", "/whoami")
        self._was_let_in = True
        tags = answer.get("tags", ())
        if "administrator" not in (tags.split(",") if isinstance(tags, str) else tags):
            raise BrokerRefused(
                f"the user {answer.get('name')!r} of RabbitMQ is no administrator, so it cannot make logins for "
                f"endpoints: rabbitmqctl set_user_tags {answer.get('name')} administrator"
            )

    async def put_user(self, name: str, password: str, rights: Rights, *, connections: int = 0) -> None:
        """Make a user with these rights and no others, or make it have them.

        :param connections: that it may have at once; 0: any number
        """
        await self._ask("PUT", f"/users/{_in_path(name)}", {"password": password, "tags": ""})
        # -1: any number, also where it was bounded before. Before 3.8.10 there is no such thing.
        limit = {"value": connections or -1}
        await self._ask("PUT", f"/user-limits/{_in_path(name)}/max-connections", limit, missing={})
        where = f"{_in_path(self._vhost)}/{_in_path(name)}"
        said = {"configure": rights.configure, "write": rights.write, "read": rights.read}
        # The keys before the exchanges: without a rule for it, every key of an exchange may be written.
        for exchange, keys in rights.topics.items():
            await self._ask("PUT", f"/topic-permissions/{where}", {"exchange": exchange, "write": keys, "read": "^$"})
        await self._ask("PUT", f"/permissions/{where}", said)

    async def delete_user(self, name: str) -> None:
        """Remove a user; RabbitMQ ends its connections. No such user: fine."""
        await self._ask("DELETE", f"/users/{_in_path(name)}", missing={})

    async def users(self) -> list[str]:
        """The names of all users."""
        return [one["name"] for one in await self._ask("GET", "/users?columns=name")]

    async def connections_of(self, user: str) -> list[str]:
        """The names of all connections of a user, of this moment."""
        found = await self._ask("GET", f"/connections/username/{_in_path(user)}", missing=[])
        return [one["name"] for one in found]

    async def connected(self) -> dict[str, list[str]]:
        """User -> names of its connections. May be some seconds behind."""
        found: dict[str, list[str]] = {}
        for one in await self._ask("GET", f"/vhosts/{_in_path(self._vhost)}/connections?columns=name,user"):
            if "user" in one:
                found.setdefault(one["user"], []).append(one["name"])
        return found

    async def end_connections(self, names: Sequence[str], reason: str) -> None:
        """End connections; those that have ended already are fine."""
        for name in names:
            await self._ask("DELETE", f"/connections/{_in_path(name)}", missing={}, headers={"X-Reason": reason})

    async def close(self) -> None:
        """Let go. Twice is fine."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        missing: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """What it answers; ``missing`` where the thing does not exist.

        It is asked once more when it stumbles: RabbitMQ 3.10 answers 500 to the second of two who delete a user at
        once, as a service that revokes a login and whoever is on duty do, and 400 to the second of two who make one.
        All that is asked here may be asked twice.

        :raises BrokerUnreachable: no answer, or one about itself
        :raises BrokerRefused: another answer than "done"
        """
        try:
            return await self._ask_once(method, path, body, missing=missing, headers=headers)
        except _Stumbled as error:
            logger.info("it is asked once more: %s", error)
            return await self._ask_once(method, path, body, missing=missing, headers=headers)

    async def _ask_once(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, missing: Any, headers: Mapping[str, str] | None
    ) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=_PATIENCE)
        try:
            async with self._session.request(method, f"{self._base}{path}", json=body, headers=headers) as answer:
                if answer.ok:
                    return await answer.json() if answer.content_type == "application/json" else {}
                if answer.status == _GONE and missing is not None:
                    return missing
                status, said = answer.status, (await answer.text())[:300]
        except (aiohttp.ClientError, OSError, ValueError) as error:  # also an answer that breaks off
            raise BrokerUnreachable(
                f"RabbitMQ's management API at {self._base} does not answer: {error or type(error).__name__}. Is the "
                "plugin on (rabbitmq-plugins enable rabbitmq_management)? Name its address with --broker-api"
            ) from error
        if status >= _NOT_WELL or (status in _LOST and self._was_let_in) or _CROSSED in said:
            raise _Stumbled(f"RabbitMQ's management API is not well: {method} {path}: {status} {said}")
        raise BrokerRefused(f"RabbitMQ's management API refused {method} {path}: {status} {said}")


class _Stumbled(BrokerUnreachable):
    """It answered that it could not."""


def _in_path(name: str) -> str:
    return quote(name, safe="")
