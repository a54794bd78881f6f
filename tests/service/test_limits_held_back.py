"""Tasks for an endpoint that is away do not fill the service's memory, and all reach it, once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from afield.broker.base import Publication, QueueSpec
from afield.broker.memory import MemoryBroker
from afield.service.domain.documents import cancelled_task
from afield.service.domain.held_back import HeldBack
from afield.service.domain.names import task_queue
from afield.service.flows.feed import FeedTasks
from afield.service.settings import Limits
from afield.service.store.memory import MemoryStore
from afield.wire import codec

from .conftest import World

pytestmark = pytest.mark.anyio

MOST = 20_000
PAYLOAD = "2\nar1000\n" + "k" * 1000


class TestHeldBack:
    def test_so_many_bytes_go_in_and_the_rest_is_remembered_in_order(self):
        held = HeldBack(10)
        assert held.admit("u", 0, [("a", 6), ("b", 6), ("c", 1)]) == 2
        assert held.admit("u", 0, [("d", 0)]) == 0  # whatever there is room for: behind the others
        assert held.first("u", 6) == []
        assert held.first("u", 5) == held.first("u", 5) == ["c", "d"]  # until they are there, they are the next ones
        held.release("u", 1)
        assert held.first("u", 0) == ["d"]
        held.release("u", 1)
        assert (held.is_any("u"), held.everybody()) == (False, [])
        assert held.admit("u", 0, [("e", 1)]) == 1

    def test_user_endpoints_do_not_share(self):
        held = HeldBack(10)
        held.admit("u", 10, [("a", 1)])
        assert held.admit("v", 0, [("b", 1)]) == 1
        assert held.everybody() == ["u"]

    def test_one_task_goes_in_however_large_it_is(self):
        assert HeldBack(10).admit("u", 0, [("a", 10**9), ("b", 1)]) == 1

    def test_what_is_put_there_at_once_is_little_but_never_nothing(self):
        held = HeldBack(10**7)
        held.admit("u", 10**7, [("a", 1), ("b", 600_000), ("c", 600_000), ("d", 10**8), ("e", 1)])
        seen = []
        while ids := held.first("u", 0):
            seen.append(ids)
            held.release("u", len(ids))
        assert seen == [["a", "b"], ["c"], ["d"], ["e"]]

    def test_who_reads_meanwhile_sees_that_all_was_filled_anew(self):
        held = HeldBack(10)
        held.admit("u", 10, [("a", 1), ("b", 1)])
        ids = held.first("u", 0)
        assert held.are_first("u", ids)
        held.forget("u")
        assert not held.are_first("u", ids)
        held.admit("u", 10, [("b", 1)])
        assert not held.are_first("u", ids)


class TestGauge:
    """What a broker in this process says of its queues."""

    @pytest.fixture
    async def broker(self) -> MemoryBroker:
        broker = MemoryBroker()
        await broker.declare_queue(QueueSpec("q"))
        self.connection = await broker.connect("memory://service")
        self.told: list[str] = []
        return broker

    async def put(self, *sizes: int) -> None:
        for size in sizes:
            await self.connection.publish(Publication("", "q", b"x" * size))

    async def test_what_waits_counts_and_what_was_delivered_does_not(self, broker):
        empty = broker.waiting_bytes("q")
        await self.put(1_000, 1_000, 1_000)
        assert empty == 0
        assert 3_000 <= broker.waiting_bytes("q") < 4_000
        arrived: asyncio.Queue = asyncio.Queue()
        reader = await broker.connect("memory://reader")
        await reader.consume("q", arrived.put_nowait, prefetch=2)
        await arrived.get()
        assert 1_000 <= broker.waiting_bytes("q") < 2_000
        await reader.close()  # what was not acknowledged waits again
        assert 3_000 <= broker.waiting_bytes("q") < 4_000
        await broker.purge("q")
        assert (broker.waiting_bytes("q"), broker.waiting_bytes("nowhere")) == (0, 0)

    async def test_who_wants_to_know_is_told_once(self, broker):
        await self.put(*[1_000] * 5)
        broker.tell_when_low("q", 2_500, self.told.append)
        assert self.told == []
        arrived: asyncio.Queue = asyncio.Queue()
        consumer = await self.connection.consume("q", arrived.put_nowait, prefetch=1)
        seen = []
        for _ in range(5):
            consumer.ack((await arrived.get()).tag)
            seen.append(list(self.told))
        assert seen[0] == []
        assert seen[2:] == [["q"]] * 3

    async def test_at_once_where_little_waits(self, broker):
        broker.tell_when_low("q", 0, self.told.append)
        broker.tell_when_low("nowhere", 0, self.told.append)
        assert self.told == ["q"]


def watch(world: World) -> World:
    world.queues.held_back, world.queues.gauge = HeldBack(MOST), world.broker
    return world


@asynccontextmanager
async def fed(world: World) -> AsyncIterator[None]:
    feed = asyncio.ensure_future(FeedTasks(world.queues, world.uses.refill).run())
    try:
        yield
    finally:
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)


async def waiting(world: World, wire: int, count: int = 300):
    """A core endpoint that is away, and tasks for it."""
    core, function_id = await world.core(wire=wire, online=False), await world.function()
    accepted = await world.submit(core, function_id, tasks={function_id: [PAYLOAD] * count})
    (user_endpoint,) = await world.store.user_endpoints(core.id)
    return core, user_endpoint.id, function_id, accepted.tasks[function_id]


async def read(world: World, user_endpoint_id: str, count: int, *, acks: bool = True, prefetch: int = 5) -> list[str]:
    """What a user endpoint gets of its queue until it has so many tasks; then it goes."""
    connection = await world.broker.connect("memory://service")
    arrived: asyncio.Queue = asyncio.Queue()
    consumer = await connection.consume(task_queue(user_endpoint_id), arrived.put_nowait, prefetch=prefetch)
    got: list[str] = []
    async with asyncio.timeout(30):
        while len(got) < count:
            delivery = await arrived.get()
            assert in_memory(world, user_endpoint_id) < 3 * MOST
            got += [task.task_id for task in codec.decode(delivery.body, delivery.properties.headers)]
            if acks:
                consumer.ack(delivery.tag)
    await connection.close()
    return got


async def nothing_left(world: World, user_endpoint_id: str) -> bool:
    return not (await world.broker.depth(task_queue(user_endpoint_id)) or world.queues.held_back.everybody())


def in_memory(world: World, user_endpoint_id: str) -> int:
    return world.broker.waiting_bytes(task_queue(user_endpoint_id))


@pytest.fixture(params=[1, 2])
def wire(request) -> int:
    return request.param


async def test_what_waits_stays_in_the_store(world, wire):
    _, user_endpoint_id, _, ids = await waiting(watch(world), wire)
    assert MOST / 2 <= in_memory(world, user_endpoint_id) < 2 * MOST
    assert [task.id for task in await world.store.waiting_tasks(user_endpoint_id)] == ids
    assert world.in_flight.waiting(user_endpoint_id) == 300


async def test_all_come_in_order_and_memory_stays_small(world, wire):
    _, user_endpoint_id, _, ids = await waiting(watch(world), wire)
    async with fed(world):
        assert await read(world, user_endpoint_id, 300, prefetch=1) == ids
    assert await nothing_left(world, user_endpoint_id)
    assert in_memory(world, user_endpoint_id) == 0


async def test_who_goes_in_between_finds_the_rest(world):
    _, user_endpoint_id, _, ids = await waiting(watch(world), 1)
    async with fed(world):
        got = [one for _ in range(10) for one in await read(world, user_endpoint_id, 30)]
    assert got == ids
    assert await nothing_left(world, user_endpoint_id)


async def test_what_comes_meanwhile_goes_behind(world, wire):
    core, user_endpoint_id, function_id, ids = await waiting(watch(world), wire)
    async with fed(world):
        reading = asyncio.ensure_future(read(world, user_endpoint_id, 340))
        for _ in range(40):
            ids += (await world.submit(core, function_id)).tasks[function_id]
        assert await reading == ids


async def test_an_endpoint_that_holds_more_than_that_gets_on(world, wire):
    _, user_endpoint_id, _, ids = await waiting(watch(world), wire)
    async with fed(world):
        assert await read(world, user_endpoint_id, 300, acks=False, prefetch=0) == ids


async def test_what_was_cancelled_meanwhile_is_not_sent(world):
    _, user_endpoint_id, _, ids = await waiting(watch(world), 1)
    await world.uses.finish.end([cancelled_task(one, "not wanted any more", 1.0) for one in ids[100:200]])
    async with fed(world):
        assert await read(world, user_endpoint_id, 200) == ids[:100] + ids[200:]
    assert await nothing_left(world, user_endpoint_id)


async def test_a_service_that_starts_again_reads_no_more_into_memory_and_loses_nothing(world, wire):
    _, user_endpoint_id, _, ids = await waiting(watch(world), wire)
    again = watch(await World(world.store, Limits()).start())
    await again.uses.refill.everything()
    assert in_memory(again, user_endpoint_id) < 3 * MOST
    async with fed(again):
        assert await read(again, user_endpoint_id, 300) == ids
    assert await nothing_left(again, user_endpoint_id)
    await again.stop()


class SlowStore(MemoryStore):
    """Reads waiting tasks when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def waiting_tasks(self, *args, **said):
        found = await super().waiting_tasks(*args, **said)
        self.asked.set()
        await self.gate.wait()
        return found


async def test_a_queue_that_is_filled_anew_while_it_is_being_fed_holds_nothing_twice():
    store = SlowStore()
    world = watch(await World(store, Limits()).start())
    _, user_endpoint_id, _, ids = await waiting(world, 1)
    async with fed(world):
        store.gate.clear()
        store.asked.clear()
        first = await read(world, user_endpoint_id, 15)  # little is left: the rest is being read
        await store.asked.wait()
        await world.queues.forget_tasks(user_endpoint_id)
        anew = asyncio.ensure_future(world.uses.refill.again(user_endpoint_id, set(ids[15:])))
        store.gate.set()
        await anew
        assert first + await read(world, user_endpoint_id, 285) == ids
    assert await nothing_left(world, user_endpoint_id)
    await world.stop()
