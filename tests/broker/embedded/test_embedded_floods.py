"""Peers with a good login that want too much: it costs them their connection, or they are not listened to for a while.
Others do not notice.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pika
import pytest
from pamqp import body, commands, header
from pika import exceptions

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Binding, Permissions, Publication, QueueSpec
from afield.broker.embedded.connection import State
from afield.broker.embedded.core import Broker
from afield.broker.embedded.local import LocalConnection
from afield.broker.embedded.replies import Reply
from afield.broker.embedded.server import EmbeddedBroker
from afield.testing.broker import Inbox

from .test_embedded_connection import Client, marshal, names, publish

pytestmark = pytest.mark.anyio

LARGEST = 1_000_000


def core(**options: int) -> Broker:
    made = Broker(**options)
    made.declare_exchange("results", "topic")
    made.declare_queue(QueueSpec("results", confirm_on_ack=True), [Binding("results", "results", "*.results")])
    made.declare_queue(QueueSpec("work"))
    return made


def endpoint(name: str = "mine", login: int = 1) -> Permissions:
    key = f"{name}.results"
    return Permissions(f"uep.{name}.{login}", ("work",), (("results", key),), ("results",), party=name)


class TestOneConversation:
    """Without sockets."""

    def test_a_message_that_is_put_back_and_asked_for_again_in_one_breath(self):
        client = Client(core()).open()
        client.send(*publish(b"x" * 100_000))
        again = b"".join(
            marshal(method, 1)
            for tag in range(1, 2_001)
            for method in (commands.Basic.Get(0, "work"), commands.Basic.Nack(tag, requeue=True))
        )
        client.peer.receive(again, client.now)
        answer = client.peer.data_to_send(client.now)
        assert len(answer) < 2_000_000  # and not 2,000 times the message
        assert client.peer.state is State.CLOSING
        assert client.core.depth("work") == 1

    def test_who_asks_for_one_after_the_other_gets_all(self):
        client = Client(core()).open()
        for _ in range(20):
            client.send(*publish(b"x" * 100_000))
        for tag in range(1, 21):
            assert "Basic.GetOk" in names(client.send(commands.Basic.Get(0, "work")))
            client.send(commands.Basic.Ack(tag))
        assert client.core.depth("work") == 0

    def test_a_message_that_may_not_be_sent_is_not_even_read(self):
        client = Client(core()).open(Permissions("sdk.ada.1", ("ada.*",), party="ada"))
        begins = [commands.Basic.Publish(0, "results", "mine.results"), header.ContentHeader(0, 50_000_000)]
        [close] = client.send(*begins)
        assert (close.name, close.reply_code) == ("Channel.Close", Reply.ACCESS_REFUSED)
        assert client.peer.session.party.begun == 0

    @pytest.mark.parametrize("kind", ["channels", "connections"])
    def test_messages_that_are_begun_and_never_finished(self, kind):
        shared, last = core(), []
        first = Client(shared, max_body=LARGEST).open(endpoint())
        other = Client(shared, max_body=LARGEST).open(endpoint("theirs"))
        begins = (commands.Basic.Publish(0, "results", "mine.results"), header.ContentHeader(0, LARGEST))
        for number in range(1, 5):
            if kind == "channels":
                if number > 1:
                    first.send(commands.Channel.Open(), channel=number)
                last = first.send(*begins, channel=number)
            else:
                client = first if number == 1 else Client(shared, max_body=LARGEST).open(endpoint(login=number))
                last = client.send(*begins)
        [close] = last
        assert (close.name, close.reply_code) == ("Connection.Close", Reply.RESOURCE_ERROR)
        theirs = (commands.Basic.Publish(0, "results", "theirs.results"), header.ContentHeader(0, LARGEST))
        assert other.send(*theirs) == []
        # What was begun is forgotten with its connection.
        assert other.peer.session.party.begun == LARGEST
        other.peer.lost()
        assert other.peer.session.party.begun == 0

    @pytest.mark.parametrize("crumb", [b"", b"xy"])
    def test_a_body_in_crumbs_takes_no_more_memory_than_it_is_long(self, crumb):
        client = Client(core()).open(endpoint())
        client.send(commands.Basic.Publish(0, "results", "mine.results"), header.ContentHeader(0, 10 * LARGEST))
        crumbs = marshal(body.ContentBody(crumb), 1) * 1_000
        client.raw(crumbs)
        tracemalloc.start()
        for _ in range(100):
            client.raw(crumbs)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert client.peer.state is State.OPEN
        assert grown < 2 * 100_000 * len(crumb) + 50_000

    def test_properties_cost_what_they_weigh(self):
        """For who sends them, and in the turn of who reads them."""
        shared = core(most_owed=LARGEST)
        reader, sender = Client(shared).open(), Client(shared).open(endpoint())
        reader.send(commands.Basic.Consume(0, "results"))
        heavy = commands.Basic.Properties(headers={"a": "x" * 50_000})
        message = (commands.Basic.Publish(0, "results", "mine.results"), header.ContentHeader(0, 0, heavy))
        sender.send(*message * 15)
        assert len(reader.peer.session.outbox) < 12
        assert not sender.peer.held
        sender.send(*message * 15)
        assert sender.peer.held

    @pytest.mark.parametrize(
        "method",
        [commands.Basic.Consume(0, "work", exclusive=True), commands.Basic.Get(0, "work")],
        ids=["consume", "get"],
    )
    def test_what_is_said_in_the_moment_of_being_shut_out_is_not_heard(self, method):
        client = Client(core()).open()
        client.send(*publish(b"x"))
        client.core.drop("root", "revoked")
        answers = names(client.send(method, *publish(b"y")))
        assert answers == ["Connection.Close"]
        assert (client.core.consumers("work"), client.core.depth("work")) == (0, 1)
        client.send(commands.Connection.CloseOk(), channel=0)
        assert client.peer.over
        # Or nobody could ever read it again.
        after = Client(client.core).open()
        assert "Basic.Deliver" in names(after.send(commands.Basic.Consume(0, "work", exclusive=True)))

    def test_consumers_without_end(self):
        client = Client(core()).open(endpoint())
        answers: list[object] = []
        for _ in range(1_000):
            answers += client.send(commands.Basic.Consume(0, "work", nowait=True))
            if answers:
                break
        [close] = answers
        assert (close.name, close.reply_code) == ("Channel.Close", Reply.ACCESS_REFUSED)
        assert client.core.consumers("work") == 0  # they went with their channel

    def test_who_owes_too_much_is_held_until_half_is_paid_on_all_connections(self):
        shared = core(most_owed=100_000)
        one, two = Client(shared).open(endpoint()), Client(shared).open(endpoint(login=2))
        other = Client(shared).open(endpoint("theirs"))
        while not one.peer.held:
            one.send(*publish(b"x" * 9_000, "mine.results", "results"))
        assert two.peer.held
        assert not other.peer.held
        # To come again is no way out.
        one.peer.lost()
        assert Client(shared).open(endpoint(login=3)).peer.held
        reader = Client(shared).open()
        woken = two.woken
        reader.send(commands.Basic.Consume(0, "results", consumer_tag="c"))
        waiting = len(reader.peer.session.channels and next(iter(reader.peer.session.channels)).unacked)
        reader.send(commands.Basic.Ack(2, multiple=True))
        assert two.peer.held
        reader.send(commands.Basic.Ack(waiting, multiple=True))
        assert not two.peer.held
        assert two.woken > woken

    def test_who_is_not_listened_to_is_not_dead(self):
        shared = core(most_owed=1)
        client = Client(shared).open(endpoint(), heartbeat_s=10)
        client.send(*publish(b"x", "mine.results", "results"))
        for _ in range(30):
            client.now += 10
            client.peer.tick(client.now)
        assert client.peer.state is State.OPEN
        shared.purge("results")
        client.now += 21
        client.peer.tick(client.now)
        assert client.peer.over

    def test_a_party_that_is_gone_and_owes_nothing_is_forgotten(self):
        shared = core()
        for number in range(3):
            client = Client(shared).open(endpoint(str(number)))
            client.send(*publish(b"x", f"{number}.results", "results"))
            client.peer.lost()
        assert len(shared._parties._here) == 3
        shared.purge("results")
        assert not shared._parties._here


class Served:
    """A broker as a service has it: results are read by the program that carries it, when the test likes."""

    def __init__(self) -> None:
        self.broker = EmbeddedBroker(self._authenticate, connections=3, most_owed=LARGEST)

    async def _authenticate(self, login: str, _password: str) -> Permissions | None:
        _, name, number = login.split(".")
        return endpoint(name, int(number))

    async def open(self) -> Served:
        await self.broker.declare_exchange("results", "topic")
        await self.broker.declare_queue(
            QueueSpec("results", confirm_on_ack=True), Binding("results", "results", "*.results")
        )
        await self.broker.declare_queue(QueueSpec("work"))
        self.port = await self.broker.listen("127.0.0.1", 0)
        return self

    def url(self, name: str, number: int = 1) -> str:
        return f"amqp://uep.{name}.{number}:pw@127.0.0.1:{self.port}/%2F"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = await Served().open()
    yield served
    await served.broker.close()


async def test_a_flood_waits_in_its_senders_socket(served):
    """Two senders, nobody who reads: the one that sends fifty times what it may fills no memory of ours, and the
    other's message is there at once.
    """
    flooding, other = [await AmqpConnector().connect(served.url(name)) for name in ("flood", "other")]
    results = [
        asyncio.ensure_future(flooding.publish(Publication("results", "flood.results", b"x" * 100_000)))
        for _ in range(500)
    ]
    await other.check(queue="results")
    while not served.broker.waiting_bytes("results") > LARGEST:
        await asyncio.sleep(0)
    asked = asyncio.ensure_future(other.publish(Publication("results", "other.results", b"mine")))
    await other.check(queue="results")  # answered in order: it is in the queue
    waiting = served.broker.waiting_bytes("results")
    assert waiting < 5 * LARGEST
    inbox = Inbox()
    reader = served.broker.connect_local()
    consumer = await reader.consume("results", inbox)
    read = 0
    while read < len(results) + 1:
        await inbox.wait_for(read + 1)
        read = len(inbox.deliveries)
        consumer.ack(inbox.deliveries[-1].tag, multiple=True)
    await asyncio.gather(asked, *results)
    for connection in (flooding, other):
        await connection.close()


async def test_who_is_not_listened_to_may_connect_once_more(served):
    """An endpoint that starts again while the service is behind: cut off in the middle of it, it would take its login
    for revoked.
    """
    flooding = await AmqpConnector().connect(served.url("flood"))
    results = [
        asyncio.ensure_future(flooding.publish(Publication("results", "flood.results", b"x" * 100_000)))
        for _ in range(20)
    ]
    while not all(one.peer.held for one in served.broker._sockets):
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        again = await AmqpConnector().connect(served.url("flood", 2))
    await served.broker.delete_queue("results")
    for connection in (again, flooding):
        await connection.close()
    await asyncio.gather(*results, return_exceptions=True)


@pytest.mark.parametrize("reader", ["local", "by pika"])
async def test_properties_that_cannot_be_read_do_not_fill_the_log(served, reader, caplog):
    never = b"\x01aT" + bytes((0x40, 0, 0, 0, 0, 0, 0, 0))
    properties = (1 << 13).to_bytes(2) + len(never).to_bytes(4) + never
    sender = LocalConnection(served.broker._core, write_properties=lambda _: properties)
    connection = served.broker.connect_local()
    if reader == "by pika":
        connection = await AmqpConnector().connect(served.url("work"))
    inbox = Inbox()
    consumer = await connection.consume("work", inbox)
    for _ in range(500):
        await sender.publish(Publication("", "work", b"x"))
    if reader == "by pika":  # and the bodies come
        await inbox.wait_for(500)
        consumer.ack(500, multiple=True)
    while served.broker.unacknowledged("work") or served.broker.waiting_bytes("work"):
        await asyncio.sleep(0)
    assert 0 < len(caplog.messages) < 15
    assert "256" in caplog.messages[-1]
    for one in (sender, connection):
        await one.close()


async def test_one_connection_too_many_is_told_so_and_may_come_again(served):
    """Not as a wrong password, which published endpoints take as final; by pika, which they use."""

    def connect(name: str, number: int) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(served.url(name, number)))

    here = [await asyncio.to_thread(connect, "mine", number) for number in (1, 2, 3)]
    with pytest.raises(exceptions.AMQPConnectionError) as refused:
        await asyncio.to_thread(connect, "mine", 4)
    assert not isinstance(refused.value, exceptions.ProbableAuthenticationError)
    assert "530" in str(refused.value)
    here.append(await asyncio.to_thread(connect, "theirs", 1))
    await asyncio.to_thread(here[0].close)
    here.append(await asyncio.to_thread(connect, "mine", 4))
    for connection in here[1:]:
        await asyncio.to_thread(connection.close)
