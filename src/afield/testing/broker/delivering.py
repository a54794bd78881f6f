"""What arrives, in which order, and what comes back."""

from __future__ import annotations

import asyncio

from afield.broker.base import Properties, Publication
from afield.testing.broker.under_test import BrokerUnderTest, Inbox, message, raises


class _Delivering:
    async def test_order_of_arrival(self, broker: BrokerUnderTest) -> None:
        """Thousands of messages, published many at a time, come in order and once."""
        count = 2_000 if "unbounded" in broker.lacks else 5_000
        queue, here = await broker.queue("work"), await broker.connect()
        bodies = [b"%d" % n for n in range(count)]
        await asyncio.gather(*(here.publish(message(queue, body)) for body in bodies))
        assert await broker.admin.depth(queue) == count
        inbox = Inbox()
        consumer = await here.consume(queue, inbox)
        last = (await inbox.wait_for(count))[-1]
        assert inbox.bodies == bodies
        tags = [delivery.tag for delivery in inbox.deliveries]
        assert tags == sorted(set(tags))
        consumer.ack(last.tag, multiple=True)

    async def test_delivered_while_consuming(self, broker: BrokerUnderTest) -> None:
        queue, here, there = await broker.queue("work"), await broker.connect(), await broker.connect()
        inbox = Inbox()
        await here.consume(queue, inbox)
        await there.publish(message(queue, b"a"))
        await inbox.wait_for(1)
        await there.publish(message(queue, b"b"))
        assert [d.body for d in await inbox.wait_for(2)] == [b"a", b"b"]
        assert not any(delivery.redelivered for delivery in inbox.deliveries)

    async def test_what_a_lost_consumer_held_comes_back_in_place(self, broker: BrokerUnderTest) -> None:
        queue, here, there = await broker.queue("work"), await broker.connect(), await broker.connect()
        for n in range(4):
            await here.publish(message(queue, b"%d" % n))
        first = Inbox()
        consumer = await there.consume(queue, first, prefetch=3)
        held = await first.wait_for(3)
        consumer.ack(held[1].tag)
        await first.wait_for(4)  # a fourth is allowed now; so the ack has arrived
        await there.close()
        second = Inbox()
        await here.consume(queue, second)
        again = await second.wait_for(3)
        assert [delivery.body for delivery in again] == [b"0", b"2", b"3"]
        assert all(delivery.redelivered for delivery in again)

    async def test_nack_puts_back_in_place(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        for n in range(3):
            await here.publish(message(queue, b"%d" % n))
        inbox = Inbox()
        consumer = await here.consume(queue, inbox, prefetch=1)
        (first,) = await inbox.wait_for(1)
        consumer.nack(first.tag)
        again = (await inbox.wait_for(2))[1]
        assert (again.body, again.redelivered) == (b"0", True)
        consumer.nack(again.tag, requeue=False)
        following = (await inbox.wait_for(3))[2]
        assert (following.body, following.redelivered) == (b"1", False)

    async def test_nack_multiple(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        for n in range(3):
            await here.publish(message(queue, b"%d" % n))
        inbox = Inbox()
        consumer = await here.consume(queue, inbox)
        deliveries = await inbox.wait_for(3)
        consumer.nack(deliveries[1].tag, multiple=True)
        await inbox.wait_for(5)
        assert inbox.bodies[3:] == [b"0", b"1"]

    async def test_acknowledged_is_gone(self, broker: BrokerUnderTest) -> None:
        queue, here, there = await broker.queue("work"), await broker.connect(), await broker.connect()
        for n in range(3):
            await here.publish(message(queue, b"%d" % n))
        inbox = Inbox()
        consumer = await there.consume(queue, inbox)
        deliveries = await inbox.wait_for(3)
        consumer.ack(deliveries[1].tag, multiple=True)
        await there.close()
        rest = Inbox()
        await here.consume(queue, rest)
        await here.publish(message(queue, b"end"))
        await rest.wait_for(2)
        assert rest.bodies == [b"2", b"end"]

    async def test_an_unknown_tag_is_the_callers_error(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        await here.publish(message(queue, b"a"))
        inbox = Inbox()
        consumer = await here.consume(queue, inbox)
        (delivery,) = await inbox.wait_for(1)
        with raises(ValueError):
            consumer.ack(delivery.tag + 7)
        consumer.ack(delivery.tag)
        for again in (consumer.ack, consumer.nack):
            with raises(ValueError):
                again(delivery.tag)
        await here.publish(message(queue, b"b"))
        await inbox.wait_for(2)

    async def test_prefetch_bounds_what_is_out(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        inbox, barrier = Inbox(), Inbox()
        consumer = await here.consume(queue, inbox, prefetch=2)
        other = await broker.queue("barrier")
        await here.consume(other, barrier)
        for n in range(5):
            await here.publish(message(queue, b"%d" % n))
        await inbox.wait_for(2)
        await here.publish(message(other, b""))
        await barrier.wait_for(1)
        assert inbox.bodies == [b"0", b"1"]
        consumer.ack(inbox.deliveries[1].tag, multiple=True)
        await inbox.wait_for(4)
        assert inbox.bodies == [b"0", b"1", b"2", b"3"]

    async def test_consumers_share(self, broker: BrokerUnderTest) -> None:
        queue, here, there = await broker.queue("work"), await broker.connect(), await broker.connect()
        one, two = Inbox(), Inbox()
        await here.consume(queue, one, prefetch=5)
        await there.consume(queue, two, prefetch=5)
        assert await broker.admin.consumers(queue) == 2
        for n in range(10):
            await here.publish(message(queue, b"%d" % n))
        await one.wait_for(5)
        await two.wait_for(5)
        assert sorted(one.bodies + two.bodies) == [b"%d" % n for n in range(10)]

    async def test_bodies_of_all_sizes(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        inbox = Inbox()
        await here.consume(queue, inbox)
        sizes = [0, 1, 131_063, 131_064, 131_065, 262_128, 2_000_000, 10_500_000, 3]
        bodies = [bytes([n]) * size for n, size in enumerate(sizes)]
        for body in bodies:
            await here.publish(message(queue, body))
        await inbox.wait_for(len(bodies))
        assert inbox.bodies == bodies

    async def test_properties_arrive(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        headers = {
            "task_uuid": "0191",
            "result_serializers": ["a", "b"],
            "flag": True,
            "small": -3,
            "large": 2**40,
            "nothing": None,
            "table": {"list": [1, {"deep": "é"}]},
        }
        sent = Properties(headers, "application/json", 1_700_000_000, 2)
        inbox = Inbox()
        await here.consume(queue, inbox)
        await here.publish(Publication("", queue, b"1", sent))
        await here.publish(Publication("", queue, b"2"))
        first, second = await inbox.wait_for(2)
        assert first.properties == sent
        assert second.properties == Properties()
        assert (first.exchange, first.routing_key) == ("", queue)
