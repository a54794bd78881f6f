"""SEAM: queues between machines, as everybody here uses them.

Two views. :class:`Connection` is what any party has: it publishes and consumes with the rights of its login.
:class:`BrokerAdmin` is the service's: it declares what must exist before others come. Peers never declare anything
(reference: the published wire contract, section 4.1).

What every implementation promises, and ``afield.testing.broker`` checks:

- A queue delivers in the order of arrival. What was delivered and not acknowledged when its consumer goes is put back
  at its old place and delivered again, marked ``redelivered``.
- ``publish`` returns when the message is *safe*: in a queue that survives the broker, or, for a queue declared with
  ``confirm_on_ack``, acknowledged by its consumer. A lost connection raises instead; then nobody knows whether it
  arrived.
- A connection uses only what its login allows; anything else raises :class:`~afield.errors.BrokerRefused` and, where
  the protocol says so, closes the channel and never somebody else's.
- Nothing is called back after ``close`` or ``cancel`` has returned, nor before ``consume`` has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from afield.errors import BrokerUnreachable

__all__ = [
    "Authenticate",
    "Binding",
    "BrokerAdmin",
    "Connection",
    "Connector",
    "Consumer",
    "Delivery",
    "ExchangeKind",
    "NotSent",
    "OnDelivery",
    "Permissions",
    "Properties",
    "Publication",
    "QueueSpec",
]


class NotSent(BrokerUnreachable):
    """There was no connection: nothing of it has left. (A plain BrokerUnreachable says that nobody knows.)"""


ExchangeKind = Literal["direct", "topic", "fanout"]


@dataclass(frozen=True, slots=True)
class Properties:
    """The message properties that are used here; others pass through untouched.

    :param headers: text, whole numbers, booleans, None, and lists and dicts of these; nothing else passes everywhere
    """

    headers: Mapping[str, object] = field(default_factory=dict)
    content_type: str | None = None
    #: unix time in seconds
    timestamp: int | None = None
    #: 2: survives the broker, 1: need not
    delivery_mode: int = 2


@dataclass(frozen=True, slots=True)
class Publication:
    """A message on its way in."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Properties = Properties()
    #: raise Unroutable when no queue wants it
    mandatory: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way out. ``tag`` names it towards the consumer that got it, and rises."""

    tag: int
    body: bytes
    properties: Properties
    exchange: str
    routing_key: str
    redelivered: bool


OnDelivery = Callable[[Delivery], None]


class Consumer(Protocol):
    """One subscription. Acknowledging is sending: it does not wait, and nobody answers."""

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Done with this delivery, or with all up to it. Unknown tags are an error of the caller (ValueError)."""

    def nack(self, tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
        """Not done: put it back, or drop it."""

    async def cancel(self) -> None:
        """No more deliveries. What was not acknowledged stays with the connection until that closes."""

    @property
    def cancelled(self) -> asyncio.Future[str]:
        """Resolves with the reason when this subscription is over: cancelled, or its queue was deleted."""


class Connection(Protocol):
    """One authenticated connection."""

    async def publish(self, publication: Publication) -> None:
        """Hand over one message; returns when it is safe. Many may be under way at once, and keep their order.

        :raises Unroutable: mandatory, and no queue is bound for it
        :raises BrokerRefused: this login may not publish there, or the exchange does not exist
        :raises BrokerUnreachable: the connection is gone, or went before the answer came
        """

    async def consume(
        self, queue: str, on_delivery: OnDelivery, *, exclusive: bool = False, prefetch: int = 0
    ) -> Consumer:
        """Subscribe. ``on_delivery`` is called in the event loop and must not block.

        :param exclusive: be the only one, or fail
        :param prefetch: how many unacknowledged deliveries there may be at once; 0: no bound
        :raises BrokerRefused: no such queue, not yours, or somebody else has it exclusively
        :raises BrokerUnreachable: the connection is gone
        """

    async def check(self, *, exchange: str | None = None, queue: str | None = None) -> None:
        """Make sure that these exist (passive declares), whatever their attributes.

        :raises BrokerRefused: one does not, or is not yours to see
        """

    async def waiting(self, queue: str) -> int:
        """How many messages wait in a queue, not counting delivered ones (a passive declare).

        :raises BrokerRefused: no such queue, or it is not yours to see
        :raises BrokerUnreachable: the connection is gone
        """

    async def close(self) -> None:
        """End it in good order. Closing twice is fine."""

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolves with the reason when the connection is over, from whichever side."""


class Connector(Protocol):
    """Makes connections from URLs."""

    async def connect(self, url: str) -> Connection:
        """Connect and log in.

        :param url: ``amqp://user:password@host:port/vhost``, or ``amqps``
        :raises BrokerUnreachable: nobody listens, or it hung up; trying again may help
        :raises BrokerRefused: the login is wrong; trying again does not help
        """


@dataclass(frozen=True, slots=True)
class Permissions:
    """What one login may do. A name that ends in ``*`` stands for every name that begins so.

    :param name: the login, for messages and for :meth:`BrokerAdmin.drop`
    :param consume: queues it may read
    :param publish: (exchange, routing key) pairs it may write
    :param inspect: further exchanges and queues whose existence it may check; what it reads and writes it may anyway
    :param party: whose it is: what several logins of one party use is counted together; empty: it is alone
    """

    name: str
    consume: tuple[str, ...] = ()
    publish: tuple[tuple[str, str], ...] = ()
    inspect: tuple[str, ...] = ()
    party: str = ""

    def may_consume(self, queue: str) -> bool:
        """Whether it may read this queue."""
        return any(_covers(pattern, queue) for pattern in self.consume)

    def may_publish(self, exchange: str, routing_key: str) -> bool:
        """Whether it may write this routing key."""
        return any(_covers(e, exchange) and _covers(k, routing_key) for e, k in self.publish)

    def may_inspect(self, name: str) -> bool:
        """Whether it may know that this queue or exchange exists."""
        return (
            self.may_consume(name)
            or any(_covers(exchange, name) for exchange, _ in self.publish)
            or any(_covers(pattern, name) for pattern in self.inspect)
        )


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


#: Who is this? User name and password in, rights out; None: wrong login. May wait, may not raise.
Authenticate = Callable[[str, str], Awaitable[Permissions | None]]


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A queue that should exist.

    :param confirm_on_ack: a publisher's confirm waits until a consumer has acknowledged the message. For a queue that
        does not survive its broker, this is what makes a confirm mean "safe". A broker with a disk may confirm when
        the message is on it.
    :param one_reader: of several that consume it, one gets everything for as long as it lives, so that order holds. To
        a broker that lives in its only reader's process this means nothing
    :param expires_s: seconds without a reader after which the broker may remove it with what it holds; None: never.
        Not every broker does
    """

    name: str
    confirm_on_ack: bool = False
    one_reader: bool = False
    expires_s: float | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages of ``exchange`` whose routing key matches ``pattern`` go to ``queue`` (AMQP 0-9-1 section 3.1.3)."""

    queue: str
    exchange: str
    pattern: str


class BrokerAdmin(Protocol):
    """What the service does to the queues. Every call may be repeated without harm."""

    async def declare_exchange(self, name: str, kind: ExchangeKind) -> None:
        """Make it exist."""

    async def declare_queue(self, spec: QueueSpec, *bindings: Binding) -> None:
        """Make it and its bindings exist; what it holds stays."""

    async def delete_queue(self, name: str) -> None:
        """Remove it with what it holds; its consumers are told. No such queue: fine."""

    async def purge(self, name: str) -> int:
        """Drop what waits in it and is not delivered; how many that were."""

    async def depth(self, name: str) -> int:
        """How many messages wait in it, not counting delivered ones; 0 where there is no such queue."""

    async def consumers(self, name: str) -> int:
        """How many consume it."""

    async def logins(self, beginning: str) -> list[str]:
        """The logins whose names begin so and that have connections, or are known to the broker; each once."""

    async def drop(self, login: str) -> int:
        """End every connection of this login now (its credentials were revoked); how many that were. Several may do so
        at once.
        """
