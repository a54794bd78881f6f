"""Connections that do not log in: few at a time, not for long, and nobody else's loss. By real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from pamqp import commands, frame

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Permissions, Publication, QueueSpec
from afield.broker.embedded.door import Door
from afield.broker.embedded.server import EmbeddedBroker
from afield.errors import BrokerUnreachable
from afield.testing.broker import Inbox

pytestmark = pytest.mark.anyio

HEADER = b"AMQP\x00\x00\x09\x01"


class TestDoor:
    def test_so_many_of_everybody_and_so_many_of_one_address(self):
        door = Door(3, 2)
        assert [door.come(address) for address in ("a", "a", "a", "b", "c")] == [True, True, False, True, False]
        door.leave("a")
        assert [door.come("c"), door.come("a")] == [True, False]

    def test_who_was_sent_away_leaves_no_trace(self):
        door = Door(1, 1)
        door.come("a")
        assert not any(door.come(f"b{number}") for number in range(100))
        door.leave("a")
        assert (door._count, dict(door._here)) == (0, {})

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("2001:db8::1", "2001:db8::ffff:2", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            ("::ffff:192.0.2.1", "192.0.2.1", True),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
            ("fe80::1%eth0", "fe80::2%eth1", True),
        ],
    )
    def test_one_network_of_ipv6_is_one_address(self, one, other, same):
        door = Door(9, 1)
        assert door.come(one)
        assert door.come(other) is not same


class Served:
    """A broker with a queue, a clock in hand, and logins that are checked when that is let."""

    def __init__(self) -> None:
        self.now = 0.0
        self.check = asyncio.Event()
        self.check.set()
        self.writers: list[asyncio.StreamWriter] = []
        self.broker = EmbeddedBroker(
            self.authenticate, handshakes=20, handshakes_per_address=10, clock=lambda: self.now
        )

    async def authenticate(self, login: str, password: str) -> Permissions | None:
        await self.check.wait()
        return Permissions(login, ("*",), (("*", "*"),), ("*",)) if password == "pw" else None

    async def open(self) -> Served:
        await self.broker.declare_queue(QueueSpec("q"))
        self.port = await self.broker.listen("127.0.0.1", 0)
        return self

    async def connect(self, address: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))
        self.writers.append(writer)
        return reader, writer

    async def login(self):
        return await AmqpConnector().connect(f"amqp://me:pw@127.0.0.1:{self.port}/%2F")


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = await Served().open()
    yield served
    served.check.set()
    for writer in served.writers:
        writer.transport.abort()
    for writer in served.writers:
        with suppress(ConnectionError):
            await writer.wait_closed()
    await served.broker.close()


async def greeted(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    """Whether the broker says its first words; if not, it has hung up."""
    reader, writer = stream
    try:
        writer.write(HEADER)
        return bool(await reader.read(1))
    except ConnectionError:
        return False


async def hung_up(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    with suppress(ConnectionError):
        return await stream[0].read() is not None
    return True


async def test_a_flood_from_one_address_is_bounded_and_does_no_harm(served):
    peer = await served.login()
    inbox = Inbox()
    await peer.consume("q", inbox)
    flood = [await served.connect() for _ in range(50)]
    assert [await greeted(one) for one in flood].count(True) == 10
    # Who is inside works on, and another address gets in.
    await peer.publish(Publication("", "q", b"still here"))
    assert [delivery.body for delivery in await inbox.wait_for(1)] == [b"still here"]
    assert await greeted(await served.connect("127.0.0.2"))
    with pytest.raises(BrokerUnreachable):
        await served.login()
    await peer.close()


async def test_a_flood_from_many_addresses_is_bounded(served):
    flood = [await served.connect(f"127.0.0.{number % 100 + 2}") for number in range(100)]
    assert [await greeted(one) for one in flood].count(True) == 20


async def test_who_does_not_log_in_in_time_is_hung_up_on_whatever_it_said(served):
    flood = [await served.connect() for _ in range(8)]
    for (_, writer), said in zip(flood, [b"", HEADER[:3], HEADER, HEADER + b"\x01\x00"] * 2, strict=True):
        writer.write(said)
    while len(served.broker._sockets) < 8:
        await asyncio.sleep(0)
    served.now += 10.0
    assert all([await hung_up(one) for one in flood])
    while served.broker._sockets:
        await asyncio.sleep(0)
    peer = await served.login()
    await peer.close()


async def test_whoever_logs_in_or_goes_makes_room(served):
    for _ in range(15):
        _, writer = await served.connect()
        writer.close()
        await writer.wait_closed()
        while served.broker._sockets:
            await asyncio.sleep(0)
    peers = [await served.login() for _ in range(15)]
    assert len({id(peer) for peer in peers if not peer.closed.done()}) == 15
    for peer in peers:
        await peer.close()


async def test_who_has_a_login_and_goes_no_further_is_still_at_the_door(served):
    login = frame.marshal(commands.Connection.StartOk({}, "PLAIN", "\0me\0pw"), 0)
    for _ in range(10):
        stream = await served.connect()
        assert await greeted(stream)
        stream[1].write(login)
    while not all(one.peer.session for one in served.broker._sockets):
        await asyncio.sleep(0)
    assert not await greeted(await served.connect())
    served.now += 10.0
    while served.broker._sockets:
        await asyncio.sleep(0)
    peer = await served.login()
    await peer.close()


async def test_logins_that_are_being_checked_count_and_none_of_them_is_cut_off(served):
    served.check.clear()
    logins = [asyncio.ensure_future(served.login()) for _ in range(10)]
    while [one.peer.in_handshake for one in served.broker._sockets].count(True) < 10:
        await asyncio.sleep(0)
    assert not await greeted(await served.connect())
    served.now += 60.0
    served.check.set()
    for peer in await asyncio.gather(*logins):
        await peer.close()
