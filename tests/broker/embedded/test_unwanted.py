"""Messages that nobody wants any more are left out, and taken out, and the others keep their places."""

from __future__ import annotations

import pytest

from afield.broker.base import Binding, Properties, Publication, QueueSpec
from afield.broker.memory import MemoryBroker
from afield.testing.broker.under_test import Inbox

pytestmark = pytest.mark.anyio


async def filled(broker: MemoryBroker, count: int):
    await broker.declare_exchange("work", "direct")
    await broker.declare_queue(QueueSpec("queue"), Binding("queue", "work", "queue"))
    root = await broker.connect("memory://root")
    for number in range(count):
        await root.publish(Publication("work", "queue", b"%d" % number, Properties(headers={"n": number})))


def odd(properties: Properties) -> bool:
    return properties.headers["n"] % 2 == 1


async def test_discarded():
    broker = MemoryBroker()
    await filled(broker, 6)
    before = broker.waiting_bytes("queue")
    assert broker.discard("queue", odd) == 3
    assert broker.discard("queue", odd) == 0
    assert broker.discard("unknown", odd) == 0
    assert (await broker.depth("queue"), broker.waiting_bytes("queue")) == (3, before // 2)
    reader, inbox = await broker.connect("memory://ada"), Inbox()
    await reader.consume("queue", inbox)
    await inbox.wait_for(3)
    assert inbox.bodies == [b"0", b"2", b"4"]
    assert broker.waiting_bytes("queue") == 0


async def test_discarded_of_what_came_back():
    broker = MemoryBroker()
    await filled(broker, 6)
    reader, inbox = await broker.connect("memory://ada"), Inbox()
    await reader.consume("queue", inbox, prefetch=4)
    await inbox.wait_for(4)
    await reader.close()
    assert broker.discard("queue", odd) == 3
    again, inbox = await broker.connect("memory://ada"), Inbox()
    await again.consume("queue", inbox)
    deliveries = await inbox.wait_for(3)
    assert [(one.body, one.redelivered) for one in deliveries] == [(b"0", True), (b"2", True), (b"4", False)]


async def test_whoever_waits_for_room_is_told():
    broker, told = MemoryBroker(), []
    await filled(broker, 2)
    broker.tell_when_low("queue", broker.waiting_bytes("queue") // 2, told.append)
    assert told == []
    broker.discard("queue", odd)
    assert told == ["queue"]


async def test_left_out():
    broker, asked = MemoryBroker(), []

    def unwanted(properties: Properties) -> bool:
        asked.append(properties.headers["n"])
        return odd(properties)

    broker.leave_out(lambda queue: queue == "queue", unwanted)
    await filled(broker, 6)
    assert asked == []
    reader, inbox = await broker.connect("memory://ada"), Inbox()
    consumer = await reader.consume("queue", inbox, prefetch=1)
    for number in range(3):
        delivery = (await inbox.wait_for(number + 1))[number]
        assert delivery.body == b"%d" % (2 * number)
        consumer.ack(delivery.tag)
    assert asked == list(range(6))
    assert await broker.depth("queue") == 0


async def test_not_of_other_queues():
    broker = MemoryBroker()
    broker.leave_out(lambda queue: queue == "another", odd)
    await filled(broker, 2)
    reader, inbox = await broker.connect("memory://ada"), Inbox()
    await reader.consume("queue", inbox)
    await inbox.wait_for(2)


async def test_a_consumer_that_was_cancelled_leaves_nothing_behind():
    broker = MemoryBroker()
    await filled(broker, 2)
    reader = await broker.connect("memory://ada")
    for _ in range(3):
        inbox = Inbox()
        consumer = await reader.consume("queue", inbox)
        first, second = await inbox.wait_for(2)
        await consumer.cancel()
        consumer.nack(first.tag)
        assert len(reader._session.channels) == 1, "one is still to be acknowledged"
        consumer.nack(second.tag)
        assert not reader._session.channels
        assert not reader._consumers
    assert await broker.depth("queue") == 2
