"""Somebody with a good login of their own and pika, which the published packages use, against somebody else; on the
broker of a service's own and on a RabbitMQ with the logins that it is given.

Mallory has an account, an endpoint that serves her, and watches a task group: so she has one login of each kind.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pika
import pytest
from pamqp import commands, frame
from pika import exceptions

from afield.broker.base import Permissions
from afield.broker.rabbitmq.api import ManagementApi
from afield.broker.rabbitmq.rights import rights
from afield.service.app import Service
from afield.service.domain import names
from afield.service.settings import Limits, Settings
from afield.wire import codec, v1
from afield.wire.messages import Report, Result

from .conftest import CoreEndpoint, Site, UserEndpoint
from .test_revoking import account

pytestmark = pytest.mark.anyio

HERS = b"00\nher value\n"


@pytest.mark.rabbitmq
@pytest.mark.postgres
async def test_on_a_rabbitmq(site):
    await attack(await site())


async def test_on_a_services_own_broker(own):
    await attack(await own(Limits()))


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Callable[[Limits], Awaitable[Site]]]:
    """Starts a service that needs nothing of the machine."""
    sites: list[Site] = []

    async def start(limits: Limits) -> Site:
        service = Service()
        running = await service.start(Settings(data_dir=tmp_path, port=0, amqp_port=0, limits=limits))
        sites.append(Site(service, running))
        return sites[-1]

    yield start
    for one in sites:
        await one.stop()


class TestConnections:
    """More than one may have."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(queue_connections=4)

    @pytest.mark.rabbitmq
    @pytest.mark.postgres
    async def test_on_a_rabbitmq(self, site):
        await flood_with_connections(await site())

    async def test_on_a_services_own_broker(self, own, limits):
        await flood_with_connections(await own(limits))


@pytest.mark.rabbitmq
async def test_a_rabbitmq_is_told_when_the_limit_is_lifted(node, vhost):
    """The logins of endpoints are as old as they are."""
    api = ManagementApi(node.api, vhost)
    url = f"amqp://often:s3cret@127.0.0.1:{node.port}/{vhost}"
    allowed = rights(Permissions("often"))
    try:
        await api.put_user("often", "s3cret", allowed, connections=1)
        [held] = await asyncio.to_thread(connect_until_refused, url)
        await api.put_user("often", "s3cret", allowed)
        another = await asyncio.to_thread(pika.BlockingConnection, pika.URLParameters(url))
        for connection in (held, another):
            await asyncio.to_thread(connection.close)
    finally:
        await api.delete_user("often")
        await api.close()


async def flood_with_connections(site: Site) -> None:
    """Mallory gets no more; Ada's come in as ever."""
    async with mallory_at(site) as mallory:
        held = await asyncio.to_thread(connect_until_refused, mallory.client)
        async with endpoint_of(site) as ada:
            assert await site.status(ada.core.id) == "online"
        for connection in held:
            await asyncio.to_thread(connection.close)


def connect_until_refused(url: str) -> list[pika.BlockingConnection]:
    held: list[pika.BlockingConnection] = []

    def more() -> None:
        while len(held) < 50:
            held.append(pika.BlockingConnection(pika.URLParameters(url)))

    with pytest.raises(exceptions.AMQPConnectionError) as refused:
        more()
    # Not as a wrong password, which published endpoints take as final.
    assert "NOT_ALLOWED" in str(refused.value)
    assert not isinstance(refused.value, exceptions.ProbableAuthenticationError)
    assert held
    return held


async def attack(site: Site) -> None:
    """Ada's task ends with what her endpoint says, and she hears it once, whatever Mallory does meanwhile."""
    async with mallory_at(site) as mallory, endpoint_of(site) as ada:
        function_id = await site.function()
        accepted = await site.submit(ada.core.id, function_id)
        [task_id] = accepted["tasks"][function_id]
        watching = await site.watch(accepted)
        await ada.user.take(1)
        me = (await site.get("/v2/get_amqp_result_connection_url"))["queue_prefix"].rstrip(".")
        aims = Aims(ada.core.id, ada.user.id, names.group_queue(me, accepted["task_group_id"]))
        for url in (mallory.client, mallory.core, mallory.user):
            allowed = await asyncio.to_thread(tried, url, aims)
            assert allowed == []
        enough = threading.Event()
        spinning = asyncio.ensure_future(asyncio.to_thread(take_and_give_back, mallory, enough))
        await asyncio.to_thread(publish_what_pika_cannot_read, mallory)
        flood = asyncio.ensure_future(asyncio.to_thread(forge, mallory, ada, task_id))
        assert (await site.states([task_id]))[task_id] == "waiting-for-ep"
        await ada.user.send(Result(task_id, HERS))
        [result] = codec.decode((await watching.next()).body)
        assert (result.task_id, result.data) == (task_id, HERS)
        await flood
        # What she said last was read before this is answered: it goes the same way.
        second = await site.submit(ada.core.id, function_id)
        [later] = second["tasks"][function_id]
        again = await site.watch(second)
        await ada.user.send(Result(later, HERS))
        assert codec.decode((await again.next()).body)[0].data == HERS
        assert (await site.states([task_id]))[task_id] == "success"
        assert await site.status(ada.core.id) == "online"
        assert watching.deliveries.empty()
        assert not spinning.done()
        enough.set()
        assert await spinning > 1
        for peer in (watching, again):
            await peer.connection.close()


class Aims:
    """What is Ada's, and what is the service's."""

    def __init__(self, core_id: str, user_id: str, group: str) -> None:
        self.queues = (
            names.command_queue(core_id), names.task_queue(user_id), group, names.RESULTS, names.HEARTBEATS,
        )  # fmt: skip
        self.keys = (
            (names.RESULTS, names.result_key(user_id)),
            (names.RESULTS, names.result_key(core_id)),
            (names.HEARTBEATS, names.heartbeat_key(user_id)),
            (names.HEARTBEATS, names.heartbeat_key(core_id)),
            (names.COMMANDS, names.command_queue(core_id)),
            (names.TASKS, names.task_queue(user_id)),
            (names.GROUPS, group),
            *(("", queue) for queue in self.queues),
        )


def tried(url: str, aims: Aims) -> list[str]:
    """Everything that a login must not do, tried; what of it was done all the same."""
    attempts = dict(attempts_on(aims))
    return [name for name, attempt in attempts.items() if succeeds(url, attempt)]


def attempts_on(aims: Aims) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    for queue in aims.queues:
        yield f"consume {queue}", lambda channel, queue=queue: channel.basic_consume(queue, print)
        yield f"get {queue}", lambda channel, queue=queue: channel.basic_get(queue)
        yield f"delete {queue}", lambda channel, queue=queue: channel.queue_delete(queue)
        yield f"purge {queue}", lambda channel, queue=queue: channel.queue_purge(queue)
        yield f"declare {queue}", lambda channel, queue=queue: channel.queue_declare(queue, durable=True)
        for exchange in names.EXCHANGES:
            yield (
                f"bind {queue} to all of {exchange}",
                lambda channel, queue=queue, exchange=exchange: channel.queue_bind(queue, exchange, "#"),
            )
    for exchange, key in aims.keys:
        yield f"publish to {exchange!r} as {key}", lambda channel, to=(exchange, key): publish(channel, *to)
    yield "declare a queue", lambda channel: channel.queue_declare("", exclusive=True)
    yield "declare an exchange", lambda channel: channel.exchange_declare("mine", "fanout")
    yield "delete an exchange", lambda channel: channel.exchange_delete(names.RESULTS)
    yield "bind exchanges", lambda channel: channel.exchange_bind(names.RESULTS, names.GROUPS, "#")


def publish(channel: Any, exchange: str, key: str) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"\x01forged", mandatory=True)


def succeeds(url: str, attempt: Callable[[Any], Any]) -> bool:
    with connected(url) as connection:
        channel = connection.channel()
        try:
            attempt(channel)
        except (exceptions.AMQPChannelError, exceptions.AMQPConnectionError) as error:
            return "ACCESS_REFUSED" not in str(error)
        return True


@contextmanager
def connected(url: str) -> Iterator[pika.BlockingConnection]:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


def forge(mallory: Mallory, ada: Pair, task_id: str) -> None:
    """By her own keys, all that she may write: results of Ada's task and reports of Ada's endpoints, and much of it."""
    result = v1.encode_result(Result(task_id, b"00\nforged\n"))
    goodbyes = [
        v1.encode_report(Report(ada.user.id, {"heartbeat_period": 30, "active": False})),
        v1.encode_report(Report(ada.core.id, {"heartbeat_period": 0})),
        v1.encode_report(Report(ada.core.id, {"heartbeat_period": 30, "error": "broken"})),
    ]
    for url, whose in ((mallory.user, mallory.user_id), (mallory.core, mallory.core_id)):
        with connected(url) as connection:
            channel = connection.channel()
            for number in range(1_000):
                channel.basic_publish(names.RESULTS, names.result_key(whose), result if number % 2 else b"\x01{")
                channel.basic_publish(names.HEARTBEATS, names.heartbeat_key(whose), goodbyes[number % 3])
            channel.confirm_delivery()
            channel.basic_publish(names.RESULTS, names.result_key(whose), result)
            channel.basic_publish(names.HEARTBEATS, names.heartbeat_key(whose), goodbyes[0])


def publish_what_pika_cannot_read(mallory: Mallory) -> None:
    """By bytes, for pika cannot write it either."""
    deep = b""
    for _ in range(5_000):
        deep = b"\x01aF" + struct.pack(">I", len(deep)) + deep
    places = (
        (names.RESULTS, names.result_key(mallory.user_id)),
        (names.HEARTBEATS, names.heartbeat_key(mallory.user_id)),
    )
    login = urlsplit(mallory.user)
    with socket.create_connection((login.hostname or "", login.port or 0), 30) as raw:
        for said in (
            b"AMQP\x00\x00\x09\x01",
            frame.marshal(commands.Connection.StartOk({}, "PLAIN", f"\0{login.username}\0{login.password}"), 0),
            frame.marshal(commands.Connection.TuneOk(10, 131_072, 0), 0)
            + frame.marshal(commands.Connection.Open(login.path[1:].replace("%2F", "/")), 0),
            frame.marshal(commands.Channel.Open(), 1),
        ):
            raw.sendall(said)
            assert raw.recv(10_000)
        for exchange, key in places:
            for table in (b"\x01aT" + struct.pack(">Q", 2**62), b"\x02\xff\xfeS\0\0\0\x01x", deep):
                head = struct.pack(">HHQHI", 60, 0, 3, 1 << 13, len(table)) + table
                raw.sendall(
                    frame.marshal(commands.Basic.Publish(0, exchange, key), 1)
                    + b"\x02" + struct.pack(">HI", 1, len(head)) + head + b"\xce"
                    + b"\x03" + struct.pack(">HI", 1, 3) + b"\x01{}" + b"\xce"
                )  # fmt: skip
        # Answered in order: they are in their queues.
        raw.sendall(frame.marshal(commands.Queue.Declare(0, names.RESULTS, passive=True), 1))
        answer = frame.unmarshal(raw.recv(10_000))[2]
        assert isinstance(answer, commands.Queue.DeclareOk), answer


def take_and_give_back(mallory: Mallory, enough: threading.Event) -> int:
    """Her own task, until it is enough; how many times."""
    times = 0
    with connected(mallory.user) as connection:
        channel = connection.channel()
        for method, _, _ in channel.consume(names.task_queue(mallory.user_id), inactivity_timeout=0.1):
            if enough.is_set():
                return times
            if method is not None:
                channel.basic_nack(method.delivery_tag, requeue=True)
                times += 1
    raise AssertionError("her queue is gone")


class Pair:
    """A core endpoint and the user endpoint that it started."""

    def __init__(self, core: CoreEndpoint, user: UserEndpoint) -> None:
        self.core, self.user = core, user


@asynccontextmanager
async def endpoint_of(site: Site) -> AsyncIterator[Pair]:
    """That is up and has nothing to do."""
    core, function_id = await site.core(wire=1), await site.function()
    await core.report()
    await site.until(core.id, "online")
    submitting = asyncio.ensure_future(site.submit(core.id, function_id))
    user = await core.start()
    await user.report()
    accepted = await submitting
    [task] = await user.take(1)
    await user.send(Result(task.task_id, HERS), wire=1)
    user.done()
    assert accepted["tasks"][function_id] == [task.task_id]
    yield Pair(core, user)
    for peer in (core.peer, user.peer):
        await peer.connection.close()


class Mallory:
    """Her logins, as URLs, and her ids."""

    def __init__(self, client: str, pair: Pair) -> None:
        self.client = client
        self.core = pair.core.registered.command_queue_info.connection_url
        self.user = pair.user.credentials.task_queue_info.connection_url
        self.core_id, self.user_id = pair.core.id, pair.user.id


@asynccontextmanager
async def mallory_at(site: Site) -> AsyncIterator[Mallory]:
    _, token = await account(site, "mallory")
    http = site.http
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=site.running.service_url, headers=headers, timeout=60) as hers:
        site.http = hers
        try:
            async with endpoint_of(site) as pair:
                client = (await site.get("/v2/get_amqp_result_connection_url"))["connection_url"]
                await site.submit(pair.core.id, await site.function())
                await pair.user.take(1)
                await pair.user.peer.connection.close()
                site.http = http
                yield Mallory(client, pair)
        finally:
            site.http = http
