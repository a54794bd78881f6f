"""A broker in memory, for tests and for whole systems within one process: the same core as the embedded broker's,
without sockets. It can be broken in the ways in which brokers break.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from afield.broker.base import Authenticate, Permissions
from afield.broker.embedded.admin import CoreAdmin
from afield.broker.embedded.core import Broker
from afield.broker.embedded.local import EVERYTHING, LocalConnection
from afield.errors import BrokerRefused, BrokerUnreachable

__all__ = ["MemoryBroker"]


async def _anybody(login: str, _password: str) -> Permissions:
    return Permissions(login, EVERYTHING.consume, EVERYTHING.publish, EVERYTHING.inspect)


class MemoryBroker(CoreAdmin):
    """Both a :class:`~afield.broker.base.Connector` and a :class:`~afield.broker.base.BrokerAdmin`.

    ::

        broker = MemoryBroker()
        await broker.declare_queue(QueueSpec("work"))
        connection = await broker.connect("memory://alice")
        await connection.publish(Publication("", "work", b"hello"))

    :param authenticate: who is this; everybody may everything when it is not given
    """

    def __init__(self, authenticate: Authenticate = _anybody) -> None:
        super().__init__(Broker())
        self._authenticate = authenticate
        self._down = False

    async def connect(self, url: str) -> LocalConnection:
        """Connect and log in.

        :param url: ``memory://login`` or ``memory://login:password@anything``; ``amqp://…`` is read the same way
        :raises BrokerUnreachable: it is down
        :raises BrokerRefused: the login is wrong
        """
        self._usable()
        login, password = _login(url)
        permissions = await self._authenticate(login, password)
        self._usable()
        if permissions is None:
            raise BrokerRefused(f"the broker refused the login {login!r}: wrong name or password, or revoked")
        return LocalConnection(self._core, permissions, peer=True)

    def sever(self, login: str) -> int:
        """Lose every connection of this login, as a cut cable would; how many that were. They may come back."""
        return self._core.drop(login, "the connection was severed")

    def go_down(self, *, forget: bool = False) -> None:
        """Stop answering: all connections are lost, and none can be made.

        :param forget: lose what queues hold and the queues themselves, as a broker without a disk does
        """
        self._down = True
        self._core.drop(None, "the broker went down")
        if forget:
            self._core = Broker()

    def come_up(self) -> None:
        """Answer again."""
        self._down = False

    def _usable(self) -> None:
        if self._down:
            raise BrokerUnreachable("the broker is down")


def _login(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    name = parts.username if parts.username is not None else parts.netloc
    return unquote(name), unquote(parts.password or "")
