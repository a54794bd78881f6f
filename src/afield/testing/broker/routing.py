"""Where a message goes, and who may send or read it."""

from __future__ import annotations

import asyncio

from afield.broker.base import Permissions, Publication
from afield.errors import BrokerRefused, BrokerUnreachable, Unroutable
from afield.testing.broker.under_test import PATIENCE_S, BrokerUnderTest, Inbox, message, raises, turn


class _Routing:
    async def test_direct(self, broker: BrokerUnderTest) -> None:
        exchange = await broker.exchange("direct", "direct")
        await broker.queue("a", (exchange, "key"))
        await broker.queue("b", (exchange, "key"), (exchange, "other"))
        here = await broker.connect()
        await here.publish(Publication(exchange, "key", b""))
        await here.publish(Publication(exchange, "other", b""))
        assert await broker.admin.depth(broker.name("a")) == 1
        assert await broker.admin.depth(broker.name("b")) == 2

    async def test_topic(self, broker: BrokerUnderTest) -> None:
        exchange = await broker.exchange("topic", "topic")
        patterns = {"star": "*.results", "hash": "logs.#", "all": "#", "middle": "a.*.c", "both": "#.z.*"}
        for word, pattern in patterns.items():
            await broker.queue(word, (exchange, pattern))
        here = await broker.connect()
        keys = ["e1.results", "e1.x.results", "logs", "logs.a.b", "a.b.c", "a.c", "z.q", "a.b.z.q", "z"]
        for key in keys:
            await here.publish(Publication(exchange, key, b""))
        depths = {word: await broker.admin.depth(broker.name(word)) for word in patterns}
        assert depths == {"star": 1, "hash": 2, "all": len(keys), "middle": 1, "both": 2}

    async def test_fanout(self, broker: BrokerUnderTest) -> None:
        exchange = await broker.exchange("fanout", "fanout")
        queues = [await broker.queue(word, (exchange, "")) for word in "ab"]
        here = await broker.connect()
        await here.publish(Publication(exchange, "whatever", b""))
        assert [await broker.admin.depth(queue) for queue in queues] == [1, 1]

    async def test_two_matching_bindings_give_one_copy(self, broker: BrokerUnderTest) -> None:
        exchange = await broker.exchange("topic", "topic")
        queue = await broker.queue("work", (exchange, "#"), (exchange, "a.*"), (exchange, "#"))
        here = await broker.connect()
        await here.publish(Publication(exchange, "a.b", b""))
        assert await broker.admin.depth(queue) == 1

    async def test_unroutable(self, broker: BrokerUnderTest) -> None:
        exchange = await broker.exchange("direct")
        here = await broker.connect()
        with raises(Unroutable):
            await here.publish(Publication(exchange, "nobody", b"a"))
        await here.publish(Publication(exchange, "nobody", b"a", mandatory=False))

    async def test_one_unroutable_among_many(self, broker: BrokerUnderTest) -> None:
        exchange = await broker.exchange("direct")
        await broker.queue("work", (exchange, "work"))
        here = await broker.connect()
        keys = ["nobody" if n in (3, 17) else "work" for n in range(20)]
        outcomes = await asyncio.gather(
            *(here.publish(Publication(exchange, key, b"same")) for key in keys), return_exceptions=True
        )
        assert [isinstance(outcome, Unroutable) for outcome in outcomes] == [key == "nobody" for key in keys]
        assert [outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, Unroutable)] == []
        assert await broker.admin.depth(broker.name("work")) == 18


class _Refusing:
    async def test_missing_exchange(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        inbox = Inbox()
        await here.consume(queue, inbox)
        with raises(BrokerRefused):
            await here.publish(Publication(broker.name("missing"), "key", b""))
        await here.publish(message(queue, b"still here"))
        await inbox.wait_for(1)
        assert not here.closed.done()

    async def test_one_refused_among_many(self, broker: BrokerUnderTest) -> None:
        """The guilty publish is refused; what others published arrives, at least once."""
        queue, here = await broker.queue("work"), await broker.connect()
        publications = [message(queue, b"%d" % n) for n in range(10)]
        publications[4] = Publication(broker.name("missing"), "key", b"")
        outcomes = await asyncio.gather(*(here.publish(p) for p in publications), return_exceptions=True)
        assert [n for n, outcome in enumerate(outcomes) if outcome is not None] == [4]
        assert isinstance(outcomes[4], BrokerRefused)
        arrived = await broker.admin.depth(queue)
        inbox = Inbox()
        await here.consume(queue, inbox)
        await inbox.wait_for(arrived)
        assert {b"%d" % n for n in range(10)} - set(inbox.bodies) == {b"4"}

    async def test_missing_queue(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        inbox = Inbox()
        await here.consume(queue, inbox)
        with raises(BrokerRefused):
            await here.consume(broker.name("missing"), Inbox())
        await here.publish(message(queue, b"still here"))
        await inbox.wait_for(1)

    async def test_exclusive(self, broker: BrokerUnderTest) -> None:
        broker.needs("exclusive")
        queue, here, there = await broker.queue("work"), await broker.connect(), await broker.connect()
        consumer = await here.consume(queue, Inbox(), exclusive=True)
        for exclusive in (True, False):
            with raises(BrokerRefused):
                await there.consume(queue, Inbox(), exclusive=exclusive)
        await consumer.cancel()
        await there.consume(queue, Inbox())
        with raises(BrokerRefused):
            await here.consume(queue, Inbox(), exclusive=True)

    async def test_an_exclusive_consumer_that_is_lost_makes_room(self, broker: BrokerUnderTest) -> None:
        queue, here, there = await broker.queue("work"), await broker.connect(), await broker.connect()
        await here.consume(queue, Inbox(), exclusive=True)
        await here.close()
        inbox = Inbox()
        await there.consume(queue, inbox, exclusive=True)
        await there.publish(message(queue, b"a"))
        await inbox.wait_for(1)

    async def test_check(self, broker: BrokerUnderTest) -> None:
        exchange, queue = await broker.exchange("topic", "topic"), await broker.queue("work")
        here = await broker.connect()
        await here.check(exchange=exchange, queue=queue)
        await here.check(queue=queue)
        for missing in ({"exchange": broker.name("missing")}, {"queue": broker.name("missing")}):
            with raises(BrokerRefused):
                await here.check(**missing)
        await here.check(exchange=exchange)

    async def test_how_many_wait(self, broker: BrokerUnderTest) -> None:
        queue, here, there = await broker.queue("work"), await broker.connect(), await broker.connect()
        assert await here.waiting(queue) == 0
        for n in range(5):
            await there.publish(message(queue, b"%d" % n))
        assert await here.waiting(queue) == 5
        inbox = Inbox()
        consumer = await here.consume(queue, inbox, exclusive=True, prefetch=2)
        await inbox.wait_for(2)
        assert await here.waiting(queue) == 3, "what is delivered does not wait"
        consumer.ack(inbox.deliveries[0].tag)
        await inbox.wait_for(3)
        assert await there.waiting(queue) == 2, "also where somebody else reads it"
        await here.close()
        # The broker takes note of a connection's end in its own time.
        async with asyncio.timeout(PATIENCE_S):
            while await there.waiting(queue) != 4:
                await turn()

    async def test_how_many_wait_in_no_queue(self, broker: BrokerUnderTest) -> None:
        queue, here = await broker.queue("work"), await broker.connect()
        with raises(BrokerRefused):
            await here.waiting(broker.name("missing"))
        await here.publish(message(queue, b""))
        assert await here.waiting(queue) == 1, "the refusal has cost it nothing"
        await here.close()
        with raises(BrokerUnreachable):
            await here.waiting(queue)

    async def test_rights(self, broker: BrokerUnderTest) -> None:
        broker.needs("permissions")
        exchange = await broker.exchange("results", "topic")
        results = await broker.queue("results", (exchange, "*.results"))
        mine, theirs = await broker.queue("me.tasks"), await broker.queue("them.tasks")
        rights = Permissions("me", consume=(mine,), publish=((exchange, "me.results"),), inspect=(results,))
        me, root = await broker.connect(rights), await broker.connect()
        inbox = Inbox()
        await me.consume(mine, inbox)
        await me.check(exchange=exchange, queue=results)
        await me.check(queue=mine)
        await me.publish(Publication(exchange, "me.results", b""))
        for refused in (
            Publication(exchange, "them.results", b""),
            Publication("", mine, b""),
            Publication("", theirs, b""),
            Publication(broker.name("missing"), "me.results", b""),
        ):
            with raises(BrokerRefused):
                await me.publish(refused)
        for queue in (theirs, results, broker.name("missing")):
            with raises(BrokerRefused):
                await me.consume(queue, Inbox())
        if "inspect" not in broker.lacks:
            with raises(BrokerRefused):
                await me.check(queue=theirs)
            with raises(BrokerRefused):
                await me.waiting(theirs)
        assert await me.waiting(mine) == 0
        # None of this has cost it anything.
        await root.publish(message(mine, b"task"))
        await inbox.wait_for(1)
        await me.publish(Publication(exchange, "me.results", b""))
        assert await broker.admin.depth(results) == 2
        assert await broker.admin.depth(theirs) == 0

    async def test_rights_by_prefix(self, broker: BrokerUnderTest) -> None:
        broker.needs("permissions")
        queue = await broker.queue("user.group1")
        await broker.queue("user2.group1")
        me = await broker.connect(Permissions("me", consume=(broker.name("user.*"),)))
        await me.consume(queue, Inbox())
        with raises(BrokerRefused):
            await me.consume(broker.name("user2.group1"), Inbox())
