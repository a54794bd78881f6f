"""The service stops in good order: whoever has something to acknowledge may, and is given nothing new."""

from __future__ import annotations

import asyncio

import pytest

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Permissions, Publication, QueueSpec
from afield.broker.embedded.server import EmbeddedBroker
from afield.errors import BrokerRefused

pytestmark = pytest.mark.anyio


class Served:
    """A broker with one queue, and a peer that reads it."""

    def __init__(self):
        self.settled = []
        self.came = asyncio.Queue()

    async def authenticate(self, login, _password):
        return Permissions(login, ("*",), (("*", "*"),), ("*",))

    def on_settled(self, queue, settled):
        self.settled += [(queue, one.body, one.reader.over) for one in settled]

    async def open(self):
        self.broker = EmbeddedBroker(self.authenticate, on_settled=self.on_settled)
        port = await self.broker.listen("127.0.0.1", 0)
        await self.broker.declare_queue(QueueSpec("q"))
        self.inside = self.broker.connect_local()
        self.peer = await AmqpConnector().connect(f"amqp://one:pw@127.0.0.1:{port}/%2F")
        self.consumer = await self.peer.consume("q", self.came.put_nowait)
        return self

    async def publish(self, body):
        await self.inside.publish(Publication("", "q", body))


async def test_what_was_delivered_may_be_acknowledged_and_nothing_more_is_delivered():
    served = await Served().open()
    await served.publish(b"one")
    first = await served.came.get()
    closing = asyncio.ensure_future(served.broker.close())
    # Until it no longer listens it has not begun.
    while served.broker._servers:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await served.publish(b"two")
    assert not closing.done()
    served.consumer.ack(first.tag)
    await closing
    assert served.settled == [("q", b"one", False)]
    assert served.came.empty()
    assert "shutting down" in await served.peer.closed


async def test_what_is_not_safe_is_refused_so_that_its_sender_keeps_it():
    """Published endpoints forget a result of which they hear nothing more."""
    served = await Served().open()
    await served.broker.declare_queue(QueueSpec("safe", confirm_on_ack=True))
    held = asyncio.Queue()
    await served.inside.consume("safe", held.put_nowait)
    first = asyncio.ensure_future(served.peer.publish(Publication("", "safe", b"one")))
    await held.get()
    closing = asyncio.ensure_future(served.broker.close())
    with pytest.raises(BrokerRefused):
        await first
    await closing


async def test_who_never_acknowledges_is_not_waited_for_long():
    served = await Served().open()
    await served.publish(b"one")
    await served.came.get()
    async with asyncio.timeout(10):
        await served.broker.close()
    assert served.settled == []
    await served.peer.closed


async def test_nobody_is_waited_for_where_nothing_is_owed():
    served = await Served().open()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await served.broker.close()
    assert loop.time() - began < 0.9
    await served.peer.closed
