"""Results that nobody takes do not fill the service's memory, and are all there when somebody comes."""

from __future__ import annotations

import asyncio

import pytest

from afield.service.domain.backlog import Backlog
from afield.service.domain.names import group_queue
from afield.service.flows.feed import Feed
from afield.wire import codec

from .conftest import World

pytestmark = pytest.mark.anyio

MOST = 10_000


class TestBacklog:
    def test_so_many_bytes_go_in_and_the_rest_is_remembered_in_order(self):
        backlog = Backlog(10)
        assert backlog.admit("g", [("a", 6), ("b", 6), ("c", 1)]) == 2
        backlog.put("g", 12)
        assert backlog.admit("g", [("d", 0)]) == 0
        assert backlog.next("g", 9) == []
        assert not backlog.taken("g", 6)
        assert backlog.taken("g", 6)
        assert (backlog.next("g", 1), backlog.next("g", 9)) == (["c"], ["d"])
        assert backlog.outside() == []
        assert backlog.admit("g", [("e", 1)]) == 1

    def test_groups_do_not_share(self):
        backlog = Backlog(10)
        backlog.put("g", 99)
        assert backlog.admit("h", [("a", 1)]) == 1

    def test_one_result_goes_in_however_large_it_is(self):
        assert Backlog(10).admit("g", [("a", 10**9), ("b", 1)]) == 1

    def test_a_queue_that_is_seen_to_be_empty_is(self):
        backlog = Backlog(10)
        backlog.put("g", 99)
        backlog.admit("g", [("a", 1)])
        backlog.is_empty("g")
        assert backlog.next("g", 9) == ["a"]

    def test_nothing_is_kept_of_a_group_that_is_forgotten_or_done(self):
        backlog = Backlog(10)
        backlog.put("g", 99)
        backlog.admit("g", [("a", 1)])
        backlog.forget("g")
        backlog.put("h", 5)
        backlog.taken("h", 5)
        assert (backlog._inside, backlog._outside) == ({}, {})


@pytest.fixture(params=[1, 2])
async def finished(world: World, request):
    """400 results of a kilobyte each, and nobody to take them."""
    world.queues.backlog = Backlog(MOST)
    feed = Feed(world.store, world.records, world.queues)
    core, user, function_id = await world.ready(wire=request.param)
    accepted = await world.submit(core, function_id, 400, wire=request.param)
    await user.send(*(world.success(one, b"00\n" + b"x" * 1000) for one in accepted.tasks[function_id]))
    return world, feed, accepted, accepted.tasks[function_id]


async def test_what_nobody_takes_stays_in_the_store(finished):
    world, _, accepted, ids = finished
    queue = group_queue(world.ada.id, accepted.task_group_id)
    waiting = world.broker._core.queues[queue]
    assert MOST <= sum(len(entry.message.body) for entry in waiting.fresh) < 2 * MOST
    assert {view.id for view in await world.store.undelivered(limit=1000)} >= set(ids)


async def test_all_of_it_comes_in_order_as_it_is_taken(finished):
    world, feed, accepted, ids = finished
    queue = group_queue(world.ada.id, accepted.task_group_id)
    world.broker._core.on_settled = lambda name, messages, _: feed.taken(name, messages)
    feeding = asyncio.ensure_future(feed.run())
    where = await world.uses.watch.result_queue(world.ada)
    connection = await world.broker.connect(where.connection_url)
    arrived: asyncio.Queue = asyncio.Queue()
    consumer = await connection.consume(queue, arrived.put_nowait, prefetch=5)
    got: list[str] = []
    while len(got) < 400:
        delivery = await arrived.get()
        got += [one.task_id for one in codec.decode(delivery.body)]
        consumer.ack(delivery.tag)
    assert got == ids
    feeding.cancel()


async def test_who_takes_and_never_acknowledges_gets_no_more(finished):
    """Or memory would hold all of it, by looking around for those who need not acknowledge."""
    world, feed, accepted, _ = finished
    world.queues.gauge = world.broker
    where = await world.uses.watch.result_queue(world.ada)
    connection = await world.broker.connect(where.connection_url)
    arrived: asyncio.Queue = asyncio.Queue()
    queue = group_queue(world.ada.id, accepted.task_group_id)
    taken = await world.broker.depth(queue)
    await connection.consume(queue, arrived.put_nowait)
    for _ in range(taken):
        await arrived.get()
    for _ in range(3):
        await feed.look_around()
    assert await world.broker.depth(queue) == 0
    await connection.close()
    assert await world.broker.depth(queue) == taken
    await world.broker.purge(queue)
    await feed.look_around()
    assert await world.broker.depth(queue) > 0


async def test_who_takes_without_acknowledging_gets_it_all_the_same(finished):
    world, feed, accepted, _ = finished
    queue = group_queue(world.ada.id, accepted.task_group_id)
    assert world.queues.backlog.outside() == [accepted.task_group_id]
    for _ in range(400):
        assert await world.broker.purge(queue) > 0
        await feed.look_around()
        if not world.queues.backlog.outside():
            break
    assert world.queues.backlog.outside() == []
    assert await world.broker.depth(queue) > 0
