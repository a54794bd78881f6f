"""What ended while a published endpoint was away does not run when it is back: with either kind of broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from afield.broker.base import QueueSpec
from afield.service.store.memory import MemoryStore
from afield.service.use.rounds import FILLED
from afield.wire.rest import CancelRequest

pytestmark = pytest.mark.anyio

DAY = 86_400.0


@pytest.fixture(params=[None, 1000.0], ids=["in memory", "surviving"])
async def world(request, world, limits) -> AsyncIterator:
    """Its queues live in its memory, or survive it."""
    made = type(world)(MemoryStore(), limits)
    made.survive = request.param
    await made.start()
    await made.broker.declare_queue(FILLED if request.param else QueueSpec("unused"))
    yield made
    failed = made.supervisor.failed
    await made.stop()
    assert not failed.done() or failed.cancelled(), failed.result()


async def gone(world, wire: int = 1):
    """An endpoint of which nothing is there any more."""
    core, user, function_id = await world.ready(wire=wire)
    await user.report(active=False)
    await core.report(heartbeat_period=0)
    await user.connection.close()
    return core, user, function_id


async def back(world, core):
    """Its next life, which reads its queue."""
    await core.report()
    if world.survive is not None:
        await world.uses.rounds()
    return await (await core.start()).consume()


async def read(user, count: int) -> list[str]:
    ids = [(await user.tasks.get()).task_id for _ in range(count)]
    assert user.tasks.empty()
    return ids


async def test_what_was_cancelled_is_taken_out_and_the_rest_stays_in_order(world):
    core, user, function_id = await gone(world)
    ids = (await world.submit(core, function_id, 5, wire=1)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(ids[1::2]))
    assert await world.queues.waiting(user.id) == 5
    again = await back(world, core)
    assert await read(again, 3) == ids[::2]
    await again.send(*map(world.success, ids[::2]))


async def test_of_one_that_has_never_been_there_too(world):
    core, function_id = await world.core(wire=1, online=False), await world.function()
    ids = (await world.submit(core, function_id, 4, wire=1)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(ids[:3]))
    assert await read(await back(world, core), 1) == ids[3:]


async def test_what_it_had_taken_before_is_not_counted_as_waiting(world):
    core, user, function_id = await world.ready(wire=1)
    taken = (await world.submit(core, function_id, 2, wire=1)).tasks[function_id]
    assert await read(user, 2) == taken
    user.done()
    if world.survive is None:
        world.in_flight.taken(user.id, taken, None)  # as the embedded broker tells
    else:
        await world.kept.flush()  # what was handed over
    await user.report(active=False)
    await core.report(heartbeat_period=0)
    await user.connection.close()
    ids = (await world.submit(core, function_id, 2, wire=1)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(ids[:1]))
    assert await read(await back(world, core), 1) == ids[1:]


async def test_what_has_been_forgotten_since(world):
    core, _, function_id = await gone(world)
    old = (await world.submit(core, function_id, 2, wire=1)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(old))
    world.clock.advance(20 * DAY)
    young = (await world.submit(core, function_id, 2, wire=1)).tasks[function_id]
    await world.store.delete_before(world.clock.now() - DAY, open_too=False)
    assert await world.store.tasks(old) == {}
    assert await read(await back(world, core), 2) == young


async def test_a_queue_of_which_nothing_has_ended_is_not_read_through(world):
    core, _, function_id = await gone(world)
    ids = (await world.submit(core, function_id, 3, wire=1)).tasks[function_id]

    async def look(*_args, **_said):
        raise AssertionError("it was read through")

    world.queues.waiting_tasks = look
    assert await read(await back(world, core), 3) == ids


async def test_one_of_ours_is_told_instead(world):
    core, _, function_id = await gone(world, wire=2)
    ids = (await world.submit(core, function_id, 2)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(ids[:1]))
    again = await back(world, core)
    await again.heed()
    assert (await again.cancels.get()).task_id == ids[0]
    assert await read(again, 2) == ids
