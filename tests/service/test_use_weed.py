"""What ended while a published endpoint was away does not run when it is back: with either kind of broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from afield.broker.base import QueueSpec
from afield.errors import BrokerUnreachable
from afield.service.store.memory import MemoryStore
from afield.service.use.rounds import FILLED
from afield.wire.rest import CancelRequest
from afield.wire.rest_people import GrantWish

pytestmark = pytest.mark.anyio

HOUR, DAY = 3_600.0, 86_400.0


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
    await round_of(world)
    return await (await core.start()).consume()


async def round_of(world) -> None:
    if world.survive is not None:
        await world.kept.flush()  # what was handed over
        await world.uses.rounds()


async def unreachable(*_args, **_said):
    raise BrokerUnreachable("the broker is down")


async def read(user, count: int) -> list[str]:
    ids = [(await user.tasks.get()).task_id for _ in range(count)]
    assert user.tasks.empty()
    return ids


async def test_what_was_cancelled_is_taken_out_and_the_rest_stays_in_order(world):
    core, _, function_id = await gone(world)
    ids = (await world.submit(core, function_id, 5, wire=1)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(ids[1::2]))
    again = await back(world, core)
    assert await read(again, 3) == ids[::2]
    await again.send(*map(world.success, ids[::2]))


async def test_of_one_that_has_never_been_there_too(world):
    core, function_id = await world.core(wire=1, online=False), await world.function()
    ids = (await world.submit(core, function_id, 4, wire=1)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(ids[:3]))
    assert await read(await back(world, core), 1) == ids[3:]


async def test_as_much_as_it_had_taken_before_does_not_hide_it(world):
    core, user, function_id = await world.ready(wire=1)
    taken = (await world.submit(core, function_id, 2, wire=1)).tasks[function_id]
    assert await read(user, 2) == taken
    user.done()
    if world.survive is None:
        world.in_flight.taken(user.id, taken, None)  # as the embedded broker tells
    await user.report(active=False)
    await core.report(heartbeat_period=0)
    await user.connection.close()
    ids = (await world.submit(core, function_id, 3, wire=1)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(ids[:2]))
    assert await read(await back(world, core), 1) == ids[2:]
    if world.survive is not None:
        assert sorted(one.id for one in await world.store.taken_tasks()) == sorted(taken)


async def test_what_was_on_its_way_when_its_connection_broke(world):
    core, user, function_id = await world.ready(wire=1)
    ids = (await world.submit(core, function_id, 4, wire=1)).tasks[function_id]
    assert await read(user, 4) == ids
    await world.uses.cancel(world.ada, CancelRequest(ids[::2]))
    await user.connection.close()
    world.clock.advance(HOUR)  # nothing is heard of it
    assert await read(await back(world, core), 2) == ids[1::2]


async def test_what_has_been_forgotten_since(world):
    core, _, function_id = await gone(world)
    old = (await world.submit(core, function_id, 2, wire=1)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(old))
    await round_of(world)
    world.clock.advance(20 * DAY)
    young = (await world.submit(core, function_id, 2, wire=1)).tasks[function_id]
    await world.store.delete_before(world.clock.now() - DAY, open_too=False)
    assert await world.store.tasks(old) == {}
    assert await read(await back(world, core), 2) == young


async def test_a_process_that_comes_back_by_itself_does_not_get_it_either(world):
    core, user, function_id = await world.ready(wire=1)
    await user.connection.close()
    ids = (await world.submit(core, function_id, 3, wire=1)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(ids[:2]))
    await round_of(world)
    user.connection = await world.broker.connect(user.credentials.task_queue_info.connection_url)
    assert await read(await user.consume(), 1) == ids[2:]


async def test_an_endpoint_of_ours_is_told_when_the_broker_could_not_be_reached(world):
    """Somebody is not let in any more, and then is again: what ended in between does not run."""
    if world.survive is None:
        pytest.skip("its broker is never away")
    core = await world.core()
    await world.uses.sharing.share(world.ada, core.id, GrantWish("run", username="bob"))
    function_id = await world.function(world.bob)
    submitting = asyncio.ensure_future(world.submit(core, function_id, 2, world.bob))
    user = await core.start()
    await user.report()
    ended = (await submitting).tasks[function_id]
    purge, world.broker.purge = world.broker.purge, unreachable
    await world.uses.sharing.unshare(world.ada, core.id, "identity", world.bob.id)
    world.broker.purge = purge
    await world.uses.sharing.share(world.ada, core.id, GrantWish("run", username="bob"))
    submitting = asyncio.ensure_future(world.submit(core, function_id, 1, world.bob))
    again = await core.start()
    await again.report()
    await submitting
    await again.heed()
    assert {(await again.cancels.get()).task_id for _ in ended} == set(ended)


async def test_a_queue_of_which_nothing_has_ended_is_not_read_through(world):
    core, _, function_id = await gone(world)
    ids = (await world.submit(core, function_id, 3, wire=1)).tasks[function_id]
    world.queues.waiting_tasks = unreachable
    assert await read(await back(world, core), 3) == ids


async def test_wishes_are_not_kept_for_ever(world):
    core, user, function_id = await world.ready(wire=1)
    ids = (await world.submit(core, function_id, 2, wire=1)).tasks[function_id]
    assert await read(user, 2) == ids
    user.done()
    await world.uses.cancel(world.ada, CancelRequest(ids))
    await round_of(world)
    if world.survive is not None:
        assert len(await world.store.cancels()) == 2
        world.clock.advance(601)
        await user.report()
        await round_of(world)
    assert await world.store.cancels() == []


async def test_one_of_ours_is_told_instead(world):
    core, _, function_id = await gone(world, wire=2)
    ids = (await world.submit(core, function_id, 2)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest(ids[:1]))
    again = await back(world, core)
    await again.heed()
    assert (await again.cancels.get()).task_id == ids[0]
    assert await read(again, 2) == ids
