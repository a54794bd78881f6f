"""Our AMQP client where brokers and networks behave badly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from afield.broker.amqp import AmqpConnector, redact
from afield.broker.base import Permissions, Properties, Publication, QueueSpec
from afield.broker.embedded.server import EmbeddedBroker
from afield.errors import BrokerRefused, BrokerUnreachable, WireError
from afield.testing.broker import Inbox, done, raises

pytestmark = pytest.mark.anyio


async def everybody(login: str, _password: str) -> Permissions | None:
    return Permissions(login, ("*",), (("*", "*"),), ("*",))


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(everybody)
    await broker.declare_queue(QueueSpec("work"))
    yield broker
    await broker.close()


@pytest.fixture
async def url(broker: EmbeddedBroker) -> str:
    return f"amqp://me:secret@127.0.0.1:{await broker.listen('127.0.0.1', 0)}/%2F"


class Wire:
    """A cable to the broker that can go dead: it stays connected, and carries nothing."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.dead = False

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return self._target._replace(netloc=f"me:secret@127.0.0.1:{port}").geturl()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers += [writer, there[1]]
        for source, sink in ((reader, there[1]), (there[0], writer)):
            self._tasks.append(asyncio.ensure_future(self._carry(source, sink)))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if not self.dead:
                sink.write(data)
        if not self.dead:
            sink.close()

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for writer in self._writers:
            writer.transport.abort()


@pytest.fixture
async def wire(url: str) -> AsyncIterator[Wire]:
    wire = Wire(url)
    yield wire
    await wire.stop()


def test_passwords_are_not_shown() -> None:
    assert redact("amqp://me:s%40cret@host:1/%2F") == "amqp://me:***@host:1/%2F"
    assert redact("amqp://host/") == "amqp://host/"
    assert "secret" not in redact("amqp://me:secret@[::1/")


async def test_closing_does_not_wait_for_ever(wire: Wire) -> None:
    connection = await AmqpConnector(farewell_s=0.01).connect(await wire.start())
    consumer = await connection.consume("work", Inbox())
    wire.dead = True
    await connection.close()
    assert connection.closed.done()
    assert consumer.cancelled.done()


async def test_what_is_under_way_hears_of_the_loss(wire: Wire) -> None:
    connection = await AmqpConnector(farewell_s=0.01).connect(await wire.start())
    consumer = await connection.consume("work", Inbox())
    await connection.publish(Publication("", "work", b""))
    wire.dead = True
    doomed = [
        asyncio.ensure_future(attempt)
        for attempt in (
            connection.publish(Publication("", "work", b"")),
            connection.consume("work", Inbox()),
            connection.check(queue="work"),
            consumer.cancel(),
        )
    ]
    await asyncio.sleep(0)
    await connection.close()
    outcomes = await asyncio.gather(*doomed, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [BrokerUnreachable] * 3 + [type(None)]


async def test_a_connect_that_is_cancelled_leaves_nothing(broker: EmbeddedBroker, url: str) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
    for turns in range(40):
        attempt = asyncio.ensure_future(AmqpConnector().connect(url))
        for _ in range(turns):
            await asyncio.sleep(0)
        attempt.cancel()
        try:
            connection = await attempt
        except asyncio.CancelledError:
            continue
        await connection.close()
    while await broker.drop("me") or broker._sockets:
        await asyncio.sleep(0)
    assert faults == []


async def test_deliveries_wait_until_the_consumer_is_known(url: str) -> None:
    """A full queue: the first deliveries come with the broker's consent. They may be acknowledged at once."""
    connection = await AmqpConnector().connect(url)
    for n in range(10):
        await connection.publish(Publication("", "work", b"%d" % n))
    consumers: list[Any] = []
    inbox = Inbox()

    def on_delivery(delivery: Any) -> None:
        consumers[0].ack(delivery.tag)
        inbox(delivery)

    consumers.append(await connection.consume("work", on_delivery))
    assert inbox.bodies == []
    await inbox.wait_for(10)
    await connection.close()


async def test_a_consumer_that_fails_costs_one_message(url: str, caplog: pytest.LogCaptureFixture) -> None:
    connection = await AmqpConnector().connect(url)
    inbox = Inbox()

    def on_delivery(delivery: Any) -> None:
        if delivery.body == b"bad":
            raise ZeroDivisionError
        inbox(delivery)

    await connection.consume("work", on_delivery)
    await connection.publish(Publication("", "work", b"bad"))
    await connection.publish(Publication("", "work", b"good"))
    await inbox.wait_for(1)
    assert "failed on a delivery" in caplog.text
    await connection.close()


async def test_what_does_not_fit_amqp_is_the_callers_error(url: str) -> None:
    connection = await AmqpConnector().connect(url)
    for bad in (
        Publication("", "work", b"", Properties({"n": object()})),
        Publication("", "k" * 300, b""),
    ):
        with raises(WireError):
            await connection.publish(bad)
    await connection.publish(Publication("", "work", b""))
    await connection.close()


async def test_a_cancelled_publisher_disturbs_nobody(broker: EmbeddedBroker, url: str) -> None:
    await broker.declare_queue(QueueSpec("slow", confirm_on_ack=True))
    connection = await AmqpConnector().connect(url)
    sent = [asyncio.ensure_future(connection.publish(Publication("", "slow", b"%d" % n))) for n in range(3)]
    inbox = Inbox()
    consumer = await connection.consume("slow", inbox)
    await inbox.wait_for(3)
    sent[1].cancel()
    consumer.ack(3, multiple=True)
    await done(sent[0])
    await done(sent[2])
    await connection.close()


async def test_two_refused_among_many_under_way(broker: EmbeddedBroker, url: str) -> None:
    """Also where the confirms of the innocent are late, so that everybody is a suspect."""
    await broker.declare_queue(QueueSpec("slow", confirm_on_ack=True))
    connection = await AmqpConnector().connect(url)
    publications = [Publication("", "slow", b"%d" % n) for n in range(6)]
    publications[2] = publications[4] = Publication("missing", "key", b"")
    sent = [asyncio.ensure_future(connection.publish(p)) for p in publications]
    seen: list[bytes] = []

    def on_delivery(delivery: Any) -> None:
        seen.append(delivery.body)
        consumer.ack(delivery.tag)

    local = broker.connect_local()
    for innocent in (2, 4):
        with raises(BrokerRefused):
            # Nobody acknowledges yet: the suspects go one at a time, and the first of them waits.
            if innocent == 2:
                consumer = await local.consume("slow", on_delivery)
            await done(sent[innocent])
    await asyncio.gather(*(sent[n] for n in (0, 1, 3, 5)))
    assert set(seen) == {b"0", b"1", b"3", b"5"}
    await connection.close()


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_a_broker_that_ends_while_it_checks_a_login_has_not_refused_it(how: str) -> None:
    """Else an endpoint would leave for good because its service was started again at a bad moment."""
    asked = asyncio.Event()

    async def undecided(_login: str, _password: str) -> Permissions | None:
        asked.set()
        await asyncio.get_running_loop().create_future()
        return None

    broker = EmbeddedBroker(undecided)
    target = f"amqp://me:secret@127.0.0.1:{await broker.listen('127.0.0.1', 0)}/%2F"
    cable = Wire(target)
    connecting = asyncio.ensure_future(AmqpConnector().connect(await cable.start()))
    await asked.wait()
    if how == "stopped":
        await broker.close()
    else:
        await cable.stop()
    with pytest.raises(BrokerUnreachable):
        await done(connecting)
    if how == "stopped":
        await cable.stop()
    await broker.close()
