"""What a test of a broker needs: the broker itself, an inbox, and patience."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar
from uuid import uuid4

from afield.broker.base import (
    Binding,
    BrokerAdmin,
    Connection,
    Delivery,
    ExchangeKind,
    Permissions,
    Publication,
    QueueSpec,
)

__all__ = ["PATIENCE_S", "BrokerUnderTest", "Inbox", "done", "message", "raises", "turn"]

T = TypeVar("T")

#: Nothing here takes longer, in seconds; it only bounds a hang.
PATIENCE_S = 30.0


@dataclass
class BrokerUnderTest:
    """A broker and how to reach it.

    :param admin: declares
    :param open: makes a connection with these rights (None: all)
    :param skip: ends the test, because this broker cannot be asked that
    :param lacks: what it cannot be asked: ``confirm_on_ack``, ``permissions``, ``drop``; ``inspect``: everybody may
        know that a queue exists; ``exclusive``: two may read a queue that each wants alone;
        ``unbounded``: no consumer is given more than 2,000 that it has not acknowledged
    :param prefix: makes names unlike those of other tests
    """

    admin: BrokerAdmin
    open: Callable[[Permissions | None], Awaitable[Connection]]
    skip: Callable[[str], NoReturn]
    lacks: frozenset[str] = frozenset()
    prefix: str = field(default_factory=lambda: f"afield-test-{uuid4().hex[:8]}-")
    queues: list[str] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)

    def name(self, word: str) -> str:
        """A name of this test's own."""
        return self.prefix + word

    def needs(self, feature: str) -> None:
        """Skip where the broker has no such thing."""
        if feature in self.lacks:
            self.skip(f"this broker has no {feature} that a test could use")

    async def connect(self, permissions: Permissions | None = None) -> Connection:
        """A new connection, which :meth:`clean_up` closes."""
        connection = await self.open(permissions)
        self.connections.append(connection)
        return connection

    async def clean_up(self) -> None:
        """Close all connections, and delete all queues."""
        for connection in self.connections:
            await connection.close()
        for queue in self.queues:
            await self.admin.delete_queue(queue)

    async def exchange(self, word: str, kind: ExchangeKind = "direct") -> str:
        """A new exchange; its name."""
        await self.admin.declare_exchange(self.name(word), kind)
        return self.name(word)

    async def queue(self, word: str, *bindings: tuple[str, str], confirm_on_ack: bool = False) -> str:
        """A new queue with (exchange, pattern) bindings; its name."""
        name = self.name(word)
        self.queues.append(name)
        wanted = [Binding(name, exchange, pattern) for exchange, pattern in bindings]
        await self.admin.declare_queue(QueueSpec(name, confirm_on_ack=confirm_on_ack), *wanted)
        return name


class Inbox:
    """Remembers deliveries in order, and can be waited for."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self._came = asyncio.Event()

    def __call__(self, delivery: Delivery) -> None:
        """Remember it: an inbox is what ``consume`` calls."""
        self.deliveries.append(delivery)
        self._came.set()

    @property
    def bodies(self) -> list[bytes]:
        """What came, in order."""
        return [delivery.body for delivery in self.deliveries]

    async def wait_for(self, count: int) -> list[Delivery]:
        """The first so many deliveries, as soon as they have come."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.deliveries) < count:
                self._came.clear()
                await self._came.wait()
        return self.deliveries[:count]


@contextmanager
def raises(kind: type[BaseException]) -> Iterator[None]:
    """Something must raise this."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


async def turn() -> None:
    """Let everything happen that can happen without waiting."""
    for _ in range(5):
        await asyncio.sleep(0)


def message(queue: str, body: bytes, *, mandatory: bool = True) -> Publication:
    """Something for a queue, by its name."""
    return Publication("", queue, body, mandatory=mandatory)


async def done(future: asyncio.Future[T]) -> T:
    """Its result, within reason."""
    async with asyncio.timeout(PATIENCE_S):
        return await future
