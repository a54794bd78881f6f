"""Other people's clients: pika as it is, with the same script on our broker and on RabbitMQ.

Each script runs in a thread of its own, because most of pika blocks; the broker has the event loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pika
import pytest
from pamqp import commands, frame
from pika import exceptions

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Binding, BrokerAdmin, Permissions, Publication, QueueSpec
from afield.broker.embedded.server import EmbeddedBroker
from afield.errors import BrokerRefused, BrokerUnreachable
from afield.testing.broker import Inbox, done, raises, turn

pytestmark = pytest.mark.anyio

PASSWORD = "p%4: @/ü"
QUOTED = "p%254%3A%20%40%2F%C3%BC"
RABBITMQ = os.environ.get("AFIELD_TEST_RABBITMQ", "")


@dataclass
class Server:
    """A broker with a queue ``work``, and an exchange ``results`` that leads ``*.results`` to it."""

    url: str
    admin: BrokerAdmin
    work: str
    results: str
    embedded: EmbeddedBroker | None = None

    def blocking(self, url: str = "") -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(url or self.url))

    @contextmanager
    def channel(self) -> Iterator[Any]:
        connection = self.blocking()
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def publish(self, channel: Any, text: bytes = b"x", **more: Any) -> None:
        channel.basic_publish("", self.work, text, **more)


async def _prepare(admin: BrokerAdmin) -> tuple[str, str]:
    prefix = f"afield-pika-{uuid4().hex[:8]}-"
    work, results = prefix + "work", prefix + "results"
    await admin.declare_exchange(results, "topic")
    await admin.declare_queue(QueueSpec(work), Binding(work, results, "*.results"))
    return work, results


class Gate:
    """Checks logins, once it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.known = {"root": Permissions("root", ("*",), (("*", "*"),), ("*",))}

    async def __call__(self, login: str, password: str) -> Permissions | None:
        self.asked.set()
        await self.open.wait()
        return self.known.get(login) if password == PASSWORD else None


@pytest.fixture
async def gate() -> Gate:
    return Gate()


@pytest.fixture
async def ours(gate: Gate) -> AsyncIterator[Server]:
    broker = EmbeddedBroker(gate)
    port = await broker.listen("127.0.0.1", 0)
    work, results = await _prepare(broker)
    yield Server(f"amqp://root:{QUOTED}@127.0.0.1:{port}/%2F", broker, work, results, broker)
    await broker.close()


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def server(request: pytest.FixtureRequest, gate: Gate, rabbit_admin: Any) -> AsyncIterator[Server]:
    if request.param == "rabbitmq":
        admin = rabbit_admin()
        work, results = await _prepare(admin)
        yield Server(RABBITMQ, admin, work, results)
        await admin.delete_queue(work)
        return
    broker = EmbeddedBroker(gate)
    port = await broker.listen("127.0.0.1", 0)
    work, results = await _prepare(broker)
    yield Server(f"amqp://root:{QUOTED}@127.0.0.1:{port}/%2F", broker, work, results, broker)
    await broker.close()


async def run(script: Callable[[], Any]) -> Any:
    async with asyncio.timeout(30):
        return await asyncio.to_thread(script)


# What the published endpoints and SDK do


async def test_passive_declares_never_compare(server: Server) -> None:
    """A topic exchange is checked as a direct one, a durable queue as a transient one: only the name counts."""

    def script() -> Any:
        with server.channel() as channel:
            channel.exchange_declare(server.results, "direct", passive=True, durable=False)
            return channel.queue_declare(server.work, passive=True, durable=False).method

    method = await run(script)
    assert (method.queue, method.message_count, method.consumer_count) == (server.work, 0, 0)


async def test_a_publisher_with_confirms(server: Server) -> None:
    def script() -> None:
        with server.channel() as channel:
            channel.confirm_delivery()
            for n in range(50):
                properties = pika.BasicProperties(headers={"n": n, "list": ["a", "b"]}, delivery_mode=2, timestamp=n)
                channel.basic_publish(server.results, "e.results", b"%d" % n, properties, mandatory=True)
            with pytest.raises(exceptions.UnroutableError) as unroutable:
                channel.basic_publish(server.results, "nobody", b"text", mandatory=True)
            (returned,) = unroutable.value.messages
            assert (returned.method.reply_code, returned.body) == (312, b"text")
            channel.basic_publish(server.results, "nobody", b"text")
            for n in range(50):
                method, properties, text = channel.basic_get(server.work)
                assert (text, properties.headers["n"], properties.timestamp) == (b"%d" % n, n, n)
                assert properties.headers["list"] == ["a", "b"]
                assert method.message_count == 49 - n
                channel.basic_ack(method.delivery_tag)
            assert channel.basic_get(server.work) == (None, None, None)

    await run(script)


async def test_a_short_lived_reporter(server: Server) -> None:
    """No confirm, no properties, open and close at once (how a failed start is reported)."""

    def script() -> None:
        with server.channel() as channel:
            server.publish(channel, b"report")
            channel.close()
        with server.channel() as channel:
            method, properties, text = channel.basic_get(server.work, auto_ack=True)
            assert (text, properties.headers, properties.delivery_mode) == (b"report", None, None)
            assert not method.redelivered

    await run(script)


async def test_a_consumer_that_acknowledges_many_at_once(server: Server) -> None:
    def script() -> None:
        with server.channel() as channel:
            for n in range(200):
                server.publish(channel, b"%d" % n)
            seen = []
            for method, _properties, text in channel.consume(server.work, exclusive=True, inactivity_timeout=10):
                seen.append((method.delivery_tag, text))
                if len(seen) == 150:
                    channel.basic_ack(method.delivery_tag, multiple=True)
                    break
            assert seen == [(n + 1, b"%d" % n) for n in range(150)]
        with server.channel() as channel:
            method, _, text = channel.basic_get(server.work)
            assert (text, method.redelivered) == (b"150", True)

    await run(script)


async def test_large_bodies(server: Server) -> None:
    def script() -> None:
        body = os.urandom(10_500_000)
        with server.channel() as channel:
            server.publish(channel, body)
            server.publish(channel, b"")
            channel.confirm_delivery()
            server.publish(channel, body[:2_000_000])
            assert channel.basic_get(server.work, auto_ack=True)[2] == body
            assert channel.basic_get(server.work, auto_ack=True)[2] == b""
            assert channel.basic_get(server.work, auto_ack=True)[2] == body[:2_000_000]

    await run(script)


async def test_cancel_before_close(server: Server) -> None:
    """pika cancels its consumers without waiting, then closes the channel: what it held is back."""

    def script() -> None:
        with server.channel() as channel:
            server.publish(channel)
            seen: list[bytes] = []
            channel.basic_consume(server.work, lambda _c, _m, _p, text: seen.append(text))
            while not seen:
                channel.connection.process_data_events(time_limit=1)
        with server.channel() as channel:
            method, _, _ = channel.basic_get(server.work)
            assert method.redelivered

    await run(script)


async def test_prefetch(server: Server) -> None:
    def script() -> None:
        with server.channel() as channel:
            for n in range(5):
                server.publish(channel, b"%d" % n)
            channel.basic_qos(prefetch_count=2)
            seen: list[Any] = []
            channel.basic_consume(server.work, lambda _c, method, _p, text: seen.append((method, text)))
            while len(seen) < 2:
                channel.connection.process_data_events(time_limit=1)
            assert channel.queue_declare(server.work, passive=True).method.message_count == 3
            channel.basic_reject(seen[0][0].delivery_tag)
            while len(seen) < 3:
                channel.connection.process_data_events(time_limit=1)
            assert [text for _, text in seen] == [b"0", b"1", b"0"]
            assert seen[2][0].redelivered

    await run(script)


async def test_recover(server: Server) -> None:
    def script() -> None:
        with server.channel() as channel:
            server.publish(channel, b"a")
            channel.basic_get(server.work)
            channel.basic_recover(requeue=True)
            method, _, text = channel.basic_get(server.work)
            assert (text, method.redelivered) == (b"a", True)

    await run(script)


# Faults


async def test_faults_close_the_channel_and_nothing_else(server: Server) -> None:
    def script() -> None:
        connection = server.blocking()
        holder = connection.channel()
        holder.basic_consume(server.work, lambda *_: None, exclusive=True)
        faults: list[tuple[int, Callable[[Any], Any]]] = [
            (404, lambda c: c.basic_consume("missing-" + server.work, lambda *_: None)),
            (403, lambda c: c.basic_consume(server.work, lambda *_: None)),
            (403, lambda c: c.basic_consume(server.work, lambda *_: None, exclusive=True)),
            (404, lambda c: c.queue_declare("missing-" + server.work, passive=True)),
            (404, lambda c: c.exchange_declare("missing-" + server.work, passive=True)),
            (404, lambda c: (c.confirm_delivery(), c.basic_publish("missing-" + server.work, "k", b""))),
            (406, lambda c: (c.basic_ack(7), c.queue_declare(server.work, passive=True))),
        ]
        for code, fault in faults:
            channel = connection.channel()
            with pytest.raises(exceptions.ChannelClosedByBroker) as closed:
                fault(channel)
            assert closed.value.reply_code == code, closed.value
        assert holder.is_open
        connection.close()

    await run(script)


async def test_a_deleted_queue_cancels_its_consumers(server: Server) -> None:
    consuming = asyncio.Event()
    loop = asyncio.get_running_loop()

    def script() -> None:
        with server.channel() as channel:
            channel.basic_consume(server.work, lambda *_: None)
            loop.call_soon_threadsafe(consuming.set)
            while channel.consumer_tags:
                channel.connection.process_data_events(time_limit=1)
            assert channel.is_open

    waiting = asyncio.ensure_future(run(script))
    await consuming.wait()
    await server.admin.delete_queue(server.work)
    await waiting


async def test_a_wrong_password_is_told_as_such(server: Server) -> None:
    parts = urlsplit(server.url)
    wrong = parts._replace(netloc=f"{parts.username}:wrong@{parts.hostname}:{parts.port}").geturl()

    def script() -> None:
        with pytest.raises(exceptions.ProbableAuthenticationError):
            server.blocking(wrong)

    await run(script)
    with raises(BrokerRefused):
        await AmqpConnector().connect(wrong)


async def test_a_lost_socket_gives_back_what_it_held(server: Server) -> None:
    inbox, again = Inbox(), Inbox()
    lost, here = await AmqpConnector().connect(server.url), await AmqpConnector().connect(server.url)
    await lost.consume(server.work, inbox, exclusive=True)

    def script() -> None:
        with server.channel() as channel:
            server.publish(channel, b"a")

    await run(script)
    await inbox.wait_for(1)
    lost._raw._transport._sock.shutdown(socket.SHUT_RDWR)  # without a word
    assert await done(lost.closed)
    await here.consume(server.work, again)
    assert (await again.wait_for(1))[0].redelivered
    await here.close()


async def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(BrokerUnreachable) as error:
            await AmqpConnector().connect(f"amqp://me:verysecret@127.0.0.1:{port}/%2F")
    assert "verysecret" not in str(error.value)


async def test_an_address_that_is_none() -> None:
    for url in ("amqp://me:verysecret@host:port/%2F", "http://me:verysecret@host/", "nonsense"):
        with pytest.raises(BrokerRefused) as error:
            await AmqpConnector().connect(url)
        assert "verysecret" not in str(error.value)


# Our broker's own rules


async def test_peers_declare_nothing(ours: Server) -> None:
    def script() -> None:
        connection = ours.blocking()
        forbidden: list[Callable[[Any], Any]] = [
            lambda c: c.queue_declare(ours.work),
            lambda c: c.queue_declare("new"),
            lambda c: c.exchange_declare("new"),
            lambda c: c.queue_bind(ours.work, ours.results, "#"),
            lambda c: c.queue_purge(ours.work),
            lambda c: c.queue_delete(ours.work),
            lambda c: c.exchange_delete(ours.results),
        ]
        for attempt in forbidden:
            with pytest.raises(exceptions.ChannelClosedByBroker) as closed:
                attempt(connection.channel())
            assert closed.value.reply_code == 403
        connection.close()
        for hard in (lambda c: c.basic_qos(prefetch_count=1, global_qos=True), lambda c: c.tx_select()):
            connection = ours.blocking()
            with pytest.raises(exceptions.ConnectionClosedByBroker) as ended:
                hard(connection.channel())
            assert ended.value.reply_code == 540

    await run(script)


async def test_revoked_credentials(ours: Server, gate: Gate) -> None:
    """The connection ends with 320 and the login is refused from then on: this is how a peer is told to stop."""
    gate.known["uep"] = Permissions("uep", (ours.work,))
    url = ours.url.replace("root", "uep")
    consuming = asyncio.Event()
    loop = asyncio.get_running_loop()

    def script() -> None:
        connection = ours.blocking(url)
        channel = connection.channel()
        channel.basic_consume(ours.work, lambda *_: None, exclusive=True)
        loop.call_soon_threadsafe(consuming.set)
        with pytest.raises(exceptions.ConnectionClosedByBroker) as closed:
            channel.start_consuming()
        assert closed.value.reply_code == 320
        with pytest.raises(exceptions.ProbableAuthenticationError):
            ours.blocking(url)

    running = asyncio.ensure_future(run(script))
    await consuming.wait()
    del gate.known["uep"]
    assert await ours.admin.drop("uep") == 1
    assert await ours.admin.consumers(ours.work) == 0
    await running


async def test_shutting_down_is_no_wrong_password(ours: Server, gate: Gate) -> None:
    """Who is logging in while the broker shuts down must not conclude that it is unwelcome for ever."""
    assert ours.embedded is not None
    gate.open.clear()
    script = asyncio.ensure_future(run(ours.blocking))
    await gate.asked.wait()
    closing = asyncio.ensure_future(ours.embedded.close())
    await turn()
    gate.open.set()
    await closing
    with pytest.raises(exceptions.AMQPConnectionError) as error:
        await script
    assert not isinstance(error.value, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError)
    with raises(BrokerUnreachable):
        await AmqpConnector().connect(ours.url)


async def test_closing_is_polite(ours: Server) -> None:
    assert ours.embedded is not None
    connection = await AmqpConnector().connect(ours.url)
    await ours.embedded.close()
    assert "320" in await done(connection.closed)
    with raises(BrokerUnreachable):
        await connection.check(queue=ours.work)
    await ours.embedded.close()


async def test_a_taken_port_is_the_callers_to_step_over(ours: Server, gate: Gate) -> None:
    port = urlsplit(ours.url).port
    assert port is not None
    with pytest.raises(OSError):
        await EmbeddedBroker(gate).listen("127.0.0.1", port)


async def test_the_service_learns_what_was_taken(ours: Server) -> None:
    assert ours.embedded is not None
    taken: list[tuple[str, list[bytes]]] = []
    ours.embedded.on_settled = lambda queue, settled: taken.append((queue, [s.body for s in settled]))
    local = ours.embedded.connect_local()
    peer = await AmqpConnector().connect(ours.url)
    inbox, own = Inbox(), Inbox()
    consumer = await peer.consume(ours.work, inbox)
    for n in range(3):
        await local.publish(Publication("", ours.work, b"%d" % n))
    deliveries = await inbox.wait_for(3)
    consumer.ack(deliveries[1].tag, multiple=True)
    consumer.nack(deliveries[2].tag)
    (again,) = (await inbox.wait_for(4))[3:]
    consumer.ack(again.tag)
    await consumer.cancel()
    assert taken == [(ours.work, [b"0", b"1"]), (ours.work, [b"2"])]
    own_consumer = await local.consume(ours.work, own)
    await local.publish(Publication("", ours.work, b"own"))
    own_consumer.ack((await own.wait_for(1))[0].tag)
    assert len(taken) == 2  # what the service takes itself is no news
    await peer.close()


async def test_an_undecodable_message_is_dropped_not_fatal(ours: Server) -> None:
    """A peer sends properties that are none. Who consumes in the service's process gets the next message."""
    assert ours.embedded is not None
    inbox = Inbox()
    await ours.embedded.connect_local().consume(ours.work, inbox)

    def script() -> None:
        class Broken(pika.BasicProperties):
            def encode(self) -> list[bytes]:
                return [b"\x20\x00\xff\xff\xff\xff"]

        with ours.channel() as channel:
            ours.publish(channel, b"bad", properties=Broken())
            ours.publish(channel, b"good")
            channel.queue_declare(ours.work, passive=True)

    await run(script)
    await inbox.wait_for(1)
    assert inbox.bodies == [b"good"]
    assert await ours.admin.depth(ours.work) == 0


async def test_random_bytes_on_a_socket_harm_nobody(ours: Server) -> None:
    parts = urlsplit(ours.url)
    for junk in (os.urandom(4000), b"AMQP\x00\x00\x09\x01" + os.urandom(4000), b"GET / HTTP/1.1\r\n\r\n", b"AM"):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(junk)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    connection = await AmqpConnector().connect(ours.url)
    await connection.check(queue=ours.work)
    await connection.close()


async def test_who_does_not_read_costs_no_memory(ours: Server) -> None:
    """A consumer whose socket is full gets no more; the rest waits in the queue, and others are served."""
    assert ours.embedded is not None
    local = ours.embedded.connect_local()
    for _ in range(40):
        await local.publish(Publication("", ours.work, b"x" * 1_000_000))
    parts = urlsplit(ours.url)
    sleeper = await asyncio.to_thread(_consume_and_sleep, parts.hostname, parts.port, ours.work)
    while await ours.admin.depth(ours.work) == 40:
        await asyncio.sleep(0)
    other = await AmqpConnector().connect(ours.url)
    await other.check(queue=ours.work)
    assert await ours.admin.depth(ours.work) > 20
    await asyncio.to_thread(sleeper.close)
    inbox = Inbox()
    await other.consume(ours.work, inbox)
    await inbox.wait_for(40)
    await other.close()


def _consume_and_sleep(host: str, port: int, queue: str) -> socket.socket:
    raw = socket.create_connection((host, port), 5)
    steps = [
        b"AMQP\x00\x00\x09\x01",
        frame.marshal(commands.Connection.StartOk({}, "PLAIN", f"\0root\0{PASSWORD}"), 0),
        frame.marshal(commands.Connection.TuneOk(0, 0, 0), 0) + frame.marshal(commands.Connection.Open("/"), 0),
    ]
    for step in steps:
        raw.sendall(step)
        raw.recv(10_000)
    raw.sendall(frame.marshal(commands.Channel.Open(), 1) + frame.marshal(commands.Basic.Consume(0, queue), 1))
    return raw


# Encrypted


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    try:
        subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    return cert, key


async def test_amqps(gate: Gate, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    broker = EmbeddedBroker(gate)
    port = await broker.listen("localhost", 0, context)
    await broker.declare_queue(QueueSpec("work"))
    url = f"amqps://root:{QUOTED}@localhost:{port}/%2F"
    with raises(BrokerUnreachable):
        await AmqpConnector().connect(url)  # nobody vouches for this certificate
    options = quote(repr({"ca_certs": str(cert)}))
    connection = await AmqpConnector().connect(f"{url}?ssl_options={options}")
    inbox = Inbox()
    await connection.consume("work", inbox)
    body = os.urandom(3_000_000)
    await connection.publish(Publication("", "work", body))
    await inbox.wait_for(1)
    assert inbox.bodies == [body]
    await connection.close()
    await broker.close()
