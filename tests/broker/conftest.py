"""Brokers to test on."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count

import pika
import pytest

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Binding, Connection, ExchangeKind, Permissions, QueueSpec
from afield.broker.embedded.local import EVERYTHING
from afield.broker.embedded.server import EmbeddedBroker
from afield.broker.memory import MemoryBroker
from afield.testing.broker import BrokerUnderTest

RABBITMQ = os.environ.get("AFIELD_TEST_RABBITMQ", "")
PASSWORD = "s3cret"


class Logins:
    """Who may come in, and what they may: every login has the same password."""

    def __init__(self) -> None:
        self.known: dict[str, Permissions] = {}
        self._numbers = count(1)

    async def authenticate(self, login: str, password: str) -> Permissions | None:
        return self.known.get(login) if password == PASSWORD else None

    def add(self, permissions: Permissions | None) -> str:
        """A login with these rights (None: all)."""
        if permissions is None:
            permissions = Permissions(f"root{next(self._numbers)}", EVERYTHING.consume, EVERYTHING.publish, ("*",))
        self.known[permissions.name] = permissions
        return permissions.name


class RabbitAdmin:
    """A BrokerAdmin for RabbitMQ by active declares: what tests need of one."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._exchanges: set[str] = set()

    async def declare_exchange(self, name: str, kind: ExchangeKind) -> None:
        self._exchanges.add(name)
        with self._connection.channel() as channel:
            channel.exchange_declare(name, kind, durable=True)

    async def declare_queue(self, spec: QueueSpec, *bindings: Binding) -> None:
        with self._connection.channel() as channel:
            channel.queue_declare(spec.name, durable=True)
            for binding in bindings:
                channel.queue_bind(binding.queue, binding.exchange, binding.pattern)

    async def delete_queue(self, name: str) -> None:
        with self._connection.channel() as channel:
            channel.queue_delete(name)

    async def purge(self, name: str) -> int:
        counts = self._counts(name)
        if counts:
            with self._connection.channel() as channel:
                return int(channel.queue_purge(name).method.message_count)
        return 0

    async def depth(self, name: str) -> int:
        return self._counts(name)[0] if self._counts(name) else 0

    async def consumers(self, name: str) -> int:
        return self._counts(name)[1] if self._counts(name) else 0

    async def logins(self, beginning: str) -> list[str]:
        raise NotImplementedError

    async def drop(self, login: str) -> int:
        raise NotImplementedError

    def _counts(self, name: str) -> tuple[int, int] | None:
        channel = self._connection.channel()
        try:
            method = channel.queue_declare(name, passive=True).method
        except pika.exceptions.ChannelClosedByBroker:
            return None
        channel.close()
        return method.message_count, method.consumer_count

    def close(self) -> None:
        with self._connection.channel() as channel:
            for exchange in self._exchanges:
                channel.exchange_delete(exchange)
        self._connection.close()


@pytest.fixture
def rabbit_admin() -> Iterator[Callable[[], RabbitAdmin]]:
    """Makes an admin of the RabbitMQ, or skips; it is closed afterwards."""
    made: list[RabbitAdmin] = []

    def make() -> RabbitAdmin:
        if not RABBITMQ:
            pytest.skip("AFIELD_TEST_RABBITMQ is not set")
        made.append(RabbitAdmin(RABBITMQ))
        return made[0]

    yield make
    for admin in made:
        admin.close()


@asynccontextmanager
async def memory() -> AsyncIterator[BrokerUnderTest]:
    logins = Logins()
    broker = MemoryBroker(logins.authenticate)

    async def connect(permissions: Permissions | None) -> Connection:
        return await broker.connect(f"memory://{logins.add(permissions)}:{PASSWORD}@")

    yield BrokerUnderTest(broker, connect, pytest.skip)


@asynccontextmanager
async def sockets() -> AsyncIterator[BrokerUnderTest]:
    logins = Logins()
    broker = EmbeddedBroker(logins.authenticate)
    port = await broker.listen("127.0.0.1", 0)

    async def connect(permissions: Permissions | None) -> Connection:
        return await AmqpConnector().connect(f"amqp://{logins.add(permissions)}:{PASSWORD}@127.0.0.1:{port}/%2F")

    yield BrokerUnderTest(broker, connect, pytest.skip)
    await broker.close()


@asynccontextmanager
async def local() -> AsyncIterator[BrokerUnderTest]:
    broker = EmbeddedBroker(Logins().authenticate)

    async def connect(permissions: Permissions | None) -> Connection:
        return broker.connect_local(permissions or EVERYTHING)

    yield BrokerUnderTest(broker, connect, pytest.skip)
    await broker.close()


@asynccontextmanager
async def rabbitmq() -> AsyncIterator[BrokerUnderTest]:
    if not RABBITMQ:
        pytest.skip("AFIELD_TEST_RABBITMQ is not set")
    admin = RabbitAdmin(RABBITMQ)

    async def connect(_permissions: Permissions | None) -> Connection:
        return await AmqpConnector().connect(RABBITMQ)

    yield BrokerUnderTest(admin, connect, pytest.skip, lacks=frozenset(("confirm_on_ack", "permissions", "drop")))
    admin.close()


@pytest.fixture(
    params=[memory, sockets, local, pytest.param(rabbitmq, marks=pytest.mark.rabbitmq)], ids=lambda kind: kind.__name__
)
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[BrokerUnderTest]:
    async with request.param() as under_test:
        yield under_test
        await under_test.clean_up()
