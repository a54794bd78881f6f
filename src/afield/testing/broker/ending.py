"""How subscriptions, queues, connections and late confirms end."""

from __future__ import annotations

import asyncio

from afield.broker.base import Permissions, Publication
from afield.errors import BrokerRefused, BrokerUnreachable, Unroutable
from afield.testing.broker.under_test import BrokerUnderTest, Inbox, done, message, raises, turn


class _Ending:
    async def test_cancel(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        first, second = Inbox(), Inbox()
        consumer = await here.consume(queue, first)
        await here.publish(message(queue, b"a"))
        (delivery,) = await first.wait_for(1)
        await consumer.cancel()
        assert consumer.cancelled.done()
        await here.publish(message(queue, b"b"))
        await here.consume(queue, second)
        await second.wait_for(1)
        assert first.bodies == [b"a"]
        assert second.bodies == [b"b"]  # "a" is still held
        consumer.ack(delivery.tag)
        await consumer.cancel()

    async def test_cancel_at_once(self, broker: BrokerUnderTest) -> None:
        """What was on its way goes to others, as if it had never left."""
        queue, here = await broker.queue("work"), await broker.connect()
        for n in range(3):
            await here.publish(message(queue, b"%d" % n))
        first, second = Inbox(), Inbox()
        consumer = await here.consume(queue, first)
        await consumer.cancel()
        await here.consume(queue, second)
        await second.wait_for(3)
        assert first.bodies == []
        assert sorted(second.bodies) == [b"0", b"1", b"2"]

    async def test_the_queue_is_deleted_under_a_consumer(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        consumer = await here.consume(queue, Inbox())
        await broker.admin.delete_queue(queue)
        await done(consumer.cancelled)
        await broker.admin.delete_queue(queue)
        assert await broker.admin.depth(queue) == 0
        assert await broker.admin.consumers(queue) == 0
        with raises(Unroutable):
            await here.publish(message(queue, b""))

    async def test_close(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        inbox = Inbox()
        consumer = await here.consume(queue, inbox)
        await here.publish(message(queue, b"a"))
        (delivery,) = await inbox.wait_for(1)
        await here.close()
        await here.close()
        assert here.closed.done()
        await done(consumer.cancelled)
        consumer.ack(delivery.tag)  # too late, and no error
        for attempt in (here.publish(message(queue, b"")), here.consume(queue, Inbox()), here.check(queue=queue)):
            with raises(BrokerUnreachable):
                await attempt
        there = await broker.connect()
        again = Inbox()
        await there.consume(queue, again)
        assert (await again.wait_for(1))[0].redelivered
        assert inbox.bodies == [b"a"]

    async def test_nothing_is_called_back_after_close(self, broker: BrokerUnderTest) -> None:
        queue, here, there = await broker.queue("work"), await broker.connect(), await broker.connect()
        inbox = Inbox()
        await there.consume(queue, inbox)
        await asyncio.gather(*(here.publish(message(queue, b"%d" % n)) for n in range(500)))
        await there.close()
        seen = len(inbox.deliveries)
        await here.publish(message(queue, b"later"))
        rest = Inbox()
        await here.consume(queue, rest)
        await rest.wait_for(501)
        assert len(inbox.deliveries) == seen

    async def test_drop(self, broker: BrokerUnderTest) -> None:
        broker.needs("drop")
        queue = await broker.queue("work")
        root = await broker.connect()
        rights = Permissions("revoked", consume=(queue,), publish=(("", queue),))
        victims = [await broker.connect(rights) for _ in range(2)]
        inbox = Inbox()
        await victims[0].consume(queue, inbox)
        await root.publish(message(queue, b"a"))
        await inbox.wait_for(1)
        assert await broker.admin.logins("revo") == ["revoked"]
        assert await broker.admin.logins("revoked.") == []
        assert await broker.admin.drop("revoked") == 2
        for victim in victims:
            assert await done(victim.closed)
            with raises(BrokerUnreachable):
                await victim.publish(message(queue, b""))
        again = Inbox()
        await root.consume(queue, again)
        assert (await again.wait_for(1))[0].redelivered
        assert not root.closed.done()
        assert await broker.admin.logins("revo") == []
        assert await broker.admin.drop("revoked") == 0

    async def test_several_drop_one_login_at_once(self, broker: BrokerUnderTest) -> None:
        """As when somebody revokes it while whoever is on duty finds that it lets nobody in any more."""
        broker.needs("drop")
        queue = await broker.queue("work")
        for number in range(8):
            rights = Permissions(f"revoked.{number}", consume=(queue,))
            victim = await broker.connect(rights)
            await asyncio.gather(*(broker.admin.drop(rights.name) for _ in range(4)))
            assert await done(victim.closed)
            assert await broker.admin.logins(rights.name) == []

    async def test_purge(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        inbox = Inbox()
        await here.consume(queue, inbox, prefetch=1)
        for n in range(4):
            await here.publish(message(queue, b"%d" % n))
        await inbox.wait_for(1)
        assert await broker.admin.purge(queue) == 3
        assert await broker.admin.depth(queue) == 0
        assert await broker.admin.purge(broker.name("missing")) == 0

    async def test_declaring_again_changes_nothing(self, broker: BrokerUnderTest) -> None:
        exchange = await broker.exchange("direct")
        queue, here = await broker.queue("work", (exchange, "a")), await broker.connect()
        await here.publish(Publication(exchange, "a", b""))
        await broker.exchange("direct")
        await broker.queue("work", (exchange, "b"))
        await here.publish(Publication(exchange, "a", b""))
        await here.publish(Publication(exchange, "b", b""))
        assert await broker.admin.depth(queue) == 3


class _ConfirmingOnAck:
    async def test_a_confirm_waits_for_the_consumer(self, broker: BrokerUnderTest) -> None:
        broker.needs("confirm_on_ack")
        queue = await broker.queue("results", confirm_on_ack=True)
        here, there = await broker.connect(), await broker.connect()
        sent = [asyncio.ensure_future(here.publish(message(queue, b"%d" % n))) for n in range(4)]
        inbox = Inbox()
        consumer = await there.consume(queue, inbox)
        deliveries = await inbox.wait_for(4)
        await turn()
        assert not any(future.done() for future in sent)
        consumer.ack(deliveries[2].tag)
        await done(sent[2])
        assert [future.done() for future in sent] == [False, False, True, False]
        consumer.ack(deliveries[3].tag, multiple=True)
        await asyncio.gather(*sent)

    async def test_a_dropped_message_is_not_confirmed(self, broker: BrokerUnderTest) -> None:
        broker.needs("confirm_on_ack")
        queue, here = await broker.queue("results", confirm_on_ack=True), await broker.connect()
        sent = [asyncio.ensure_future(here.publish(message(queue, b"%d" % n))) for n in range(3)]
        inbox = Inbox()
        consumer = await here.consume(queue, inbox, prefetch=1)
        (delivery,) = await inbox.wait_for(1)
        consumer.nack(delivery.tag, requeue=False)
        with raises(BrokerRefused):
            await done(sent[0])
        (_, held) = await inbox.wait_for(2)
        await broker.admin.purge(queue)
        with raises(BrokerRefused):
            await done(sent[2])
        consumer.ack(held.tag)
        await done(sent[1])

    async def test_a_lost_consumer_delays_the_confirm(self, broker: BrokerUnderTest) -> None:
        broker.needs("confirm_on_ack")
        queue = await broker.queue("results", confirm_on_ack=True)
        here, there = await broker.connect(), await broker.connect()
        sent = asyncio.ensure_future(here.publish(message(queue, b"a")))
        lost, inbox = Inbox(), Inbox()
        await there.consume(queue, lost)
        await lost.wait_for(1)
        await there.close()
        assert not sent.done()
        consumer = await here.consume(queue, inbox)
        (delivery,) = await inbox.wait_for(1)
        assert delivery.redelivered
        assert not sent.done()
        consumer.ack(delivery.tag)
        await done(sent)

    async def test_a_publisher_that_closes_hears_so(self, broker: BrokerUnderTest) -> None:
        broker.needs("confirm_on_ack")
        queue = await broker.queue("results", confirm_on_ack=True)
        here, there = await broker.connect(), await broker.connect()
        inbox = Inbox()
        await there.consume(queue, inbox)
        sent = asyncio.ensure_future(here.publish(message(queue, b"a")))
        (delivery,) = await inbox.wait_for(1)
        await here.close()
        with raises(BrokerUnreachable):
            await done(sent)
        assert delivery.body == b"a"  # it arrived all the same
