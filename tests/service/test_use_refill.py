"""A service that was killed: its queues were in memory, and everything comes back from the store."""

from __future__ import annotations

import msgspec
import pytest

from afield.errors import BrokerRefused
from afield.ids import new_id
from afield.service.domain.records import TaskRecord
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits
from afield.wire import codec, v1, v2
from afield.wire.messages import CallOptions

pytestmark = pytest.mark.anyio

DAY = 86_400.0


@pytest.fixture
def limits() -> Limits:
    return Limits(retention_s=10 * DAY, waiting_s=10 * DAY)


async def reborn(world):
    """Another life on the same store; all that was in memory is gone."""
    again = await type(world)(world.store, world.limits).start()
    await again.uses.refill.everything()
    return again


async def reattach(world, user):
    """A user endpoint that lived on finds the new service with the credentials it has."""
    connection = await world.broker.connect(user.credentials.task_queue_info.connection_url)
    return await type(user)(user.credentials, connection, user.wire).consume()


@pytest.mark.parametrize("wire", [1, 2])
async def test_tasks_that_wait_are_queued_again_in_order(world, wire):
    core, user, function_id = await world.ready(wire=wire)
    accepted = await world.submit(core, function_id, 600)
    again = await reborn(world)
    user = await reattach(again, user)
    tasks = [await user.tasks.get() for _ in range(600)]
    assert [task.task_id for task in tasks] == accepted.tasks[function_id]
    assert len(user.tags) == (600 if wire == 1 else 3)
    assert tasks[0].code.endswith(b"def f(): 1")
    await user.send(world.success(tasks[0].task_id))
    assert (await again.uses.watch.task(world.ada, tasks[0].task_id, 2)).status == "success"
    await again.stop()


async def test_tasks_of_a_deleted_function_still_run(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    await world.uses.functions.delete(world.ada, function_id)
    again = await reborn(world)
    user = await reattach(again, user)
    assert (await user.tasks.get()).task_id == accepted.tasks[function_id][0]
    await again.stop()


@pytest.mark.parametrize("wire", [1, 2])
async def test_results_that_nobody_took_are_queued_again(world, wire):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 2, wire=wire)
    taken, left = accepted.tasks[function_id]
    await user.send(world.success(taken), world.success(left))
    await world.store.mark_delivered([taken])
    again = await reborn(world)
    watched = await again.watch(accepted)
    delivery = await watched.get()
    assert delivery.body[:1] == (v1.VERSION if wire == 1 else v2.VERSION)
    assert [one.task_id for one in codec.decode(delivery.body)] == [left]
    assert watched.empty()
    await again.stop()


async def test_a_group_whose_tasks_still_wait_can_be_watched(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    again = await reborn(world)
    watched = await again.watch(accepted)
    user = await reattach(again, user)
    await user.send(world.success((await user.tasks.get()).task_id))
    assert (await watched.get()).body
    await again.stop()


async def test_a_group_whose_tasks_have_all_ended_can_be_watched_by_who_asks_for_its_queue(world):
    """An Executor that has nothing under way keeps listening, through restarts of the service too."""
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    [task_id] = accepted.tasks[function_id]
    await user.send(world.success(task_id))
    await world.store.mark_delivered([task_id])
    again = await reborn(world)
    with pytest.raises(BrokerRefused):
        await again.watch(accepted)
    await again.uses.watch.ready_queue(world.ada, accepted.task_group_id, 2)
    assert (await again.watch(accepted)).empty()
    with pytest.raises(Refusal) as info:
        await again.uses.watch.ready_queue(world.bob, accepted.task_group_id, 2)
    assert info.value.code == "TASK_GROUP_ACCESS_FORBIDDEN"
    await again.stop()


async def test_what_was_asked_for_each_call_comes_back_too(world):
    core, user, function_id = await world.ready()
    options = CallOptions(timeout_s=3, priority=2, label="mine")
    await world.submit(core, function_id, options=options, resource_specification={"num_nodes": 2})
    again = await reborn(world)
    user = await reattach(again, user)
    task = await user.tasks.get()
    assert (task.options, task.resource_specification) == (options, {"num_nodes": 2})
    await again.stop()


async def test_a_core_endpoint_that_lived_on_is_let_in_and_told_to_start_what_tasks_wait_for(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    await user.report(active=False)
    core.commands.get_nowait()
    again = await reborn(world)
    core.connection = await again.broker.connect(core.registered.command_queue_info.connection_url)
    core.connector = again.broker
    await core.connection.consume(core.registered.command_queue_info.queue, core.arrived)
    await core.report()
    user = await (await core.start()).consume()
    assert (await user.tasks.get()).task_id == accepted.tasks[function_id][0]
    await again.stop()


async def test_nothing_to_do_is_fine(world):
    again = await reborn(world)
    await again.stop()


class TestExpired:
    async def test_what_waited_too_long_fails_saying_so(self, world):
        core, function_id = await world.core(online=False), await world.function()
        old = await world.submit(core, function_id, 250)
        watched = await world.watch(old)
        world.clock.advance(9 * DAY)
        young = await world.submit(core, function_id)
        world.clock.advance(2 * DAY)
        await world.uses.expire()
        got: list[str] = []
        while len(got) < 250:
            results = codec.decode((await watched.get()).body)
            assert {result.error.code for result in results} == {"TaskExpired"}
            assert "10 days" in results[0].error.user_message
            got += [result.task_id for result in results]
        assert got == old.tasks[function_id]
        [waiting] = young.tasks[function_id]
        assert (await world.uses.watch.task(world.ada, waiting, 1)).status == "waiting-for-ep"

    async def test_what_ended_long_ago_is_forgotten_with_its_queue(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id)
        [task_id] = accepted.tasks[function_id]
        await user.send(world.success(task_id))
        queue = f"{world.ada.id}.{accepted.task_group_id}"
        world.clock.advance(9 * DAY)
        await world.uses.expire()
        assert (await world.uses.watch.task(world.ada, task_id, 1)).status == "success"
        assert await world.broker.depth(queue) == 1
        world.clock.advance(2 * DAY)
        await world.uses.expire()
        assert await world.store.tasks([task_id]) == {}
        assert await world.broker.depth(queue) == 0

    async def test_a_queue_that_somebody_reads_stays(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id)
        watched = await world.watch(accepted)
        await user.send(world.success(accepted.tasks[function_id][0]))
        await watched.get()
        world.clock.advance(11 * DAY)
        await world.uses.expire()
        assert await world.broker.consumers(f"{world.ada.id}.{accepted.task_group_id}") == 1


async def test_a_task_without_its_function_is_told_in_the_log(world, caplog):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    [record] = await world.store.waiting_tasks(user.id)
    orphan: TaskRecord = msgspec.structs.replace(record, id=new_id(), function_id=new_id())
    await world.store.add_tasks([orphan])
    again = await reborn(world)
    assert orphan.id in caplog.text
    user = await reattach(again, user)
    assert (await user.tasks.get()).task_id == accepted.tasks[function_id][0]
    await again.stop()
