"""For how long things are kept, as the service, or a task group, says."""

from __future__ import annotations

import asyncio
import math

import pytest

from afield.ids import new_id
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits
from afield.states import TaskState
from afield.wire import codec
from afield.wire.rest_task_groups import TaskGroupWish

pytestmark = pytest.mark.anyio

HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def limits() -> Limits:
    return Limits(longest_retention_s=100 * DAY)


async def wish(world, group_id, **times):
    return await world.uses.retention.change(world.ada, group_id, TaskGroupWish(**times))


async def test_what_a_group_does_not_say_the_service_does(world):
    made = await world.uses.retention.make(world.ada, TaskGroupWish())
    assert (made.retention_s, made.own_retention) == (14 * DAY, False)
    assert (made.waiting_s, made.own_waiting) == (14 * DAY, False)
    changed = await wish(world, made.taskgroup_id, retention_s=HOUR)
    assert (changed.retention_s, changed.waiting_s, changed.own_retention) == (HOUR, 14 * DAY, True)
    assert await world.uses.retention.read(world.ada, made.taskgroup_id) == changed
    assert await wish(world, made.taskgroup_id) == made


@pytest.mark.parametrize("seconds", [0.0, 59.0, 101 * DAY, math.nan])
async def test_a_time_that_makes_no_sense_is_refused(world, seconds):
    with pytest.raises(Refusal, match="retention_s"):
        await world.uses.retention.make(world.ada, TaskGroupWish(retention_s=seconds))


async def test_only_ones_own_group(world):
    made = await world.uses.retention.make(world.ada, TaskGroupWish())
    with pytest.raises(Refusal, match="somebody else"):
        await world.uses.retention.change(world.bob, made.taskgroup_id, TaskGroupWish(retention_s=HOUR))
    with pytest.raises(Refusal, match="no task group"):
        await world.uses.retention.read(world.ada, new_id())


async def ended(world, core, user, function_id, **said):
    accepted = await world.submit(core, function_id, **said)
    [task_id] = accepted.tasks[function_id]
    await user.send(world.success(task_id))
    return task_id, accepted.task_group_id


async def test_a_group_keeps_its_results_for_longer_or_less_long(world):
    core, user, function_id = await world.ready()
    usual, _ = await ended(world, core, user, function_id)
    brief, brief_group = await ended(world, core, user, function_id)
    long, long_group = await ended(world, core, user, function_id)
    await wish(world, brief_group, retention_s=HOUR)
    await wish(world, long_group, retention_s=90 * DAY)
    for days, there in ((HOUR / DAY + 0.01, [usual, long]), (15, [long]), (60, [long]), (31, [])):
        world.clock.advance(days * DAY)
        await world.uses.expire()
        assert sorted(await world.store.tasks([usual, brief, long])) == sorted(there)
    assert await world.store.task_group(long_group) is None


async def test_reading_a_result_neither_deletes_nor_prolongs_it(world):
    core, user, function_id = await world.ready()
    task_id, group_id = await ended(world, core, user, function_id)
    for _ in range(13):
        world.clock.advance(DAY)
        assert (await world.uses.watch.task(world.ada, task_id, 1)).status == "success"
        await world.uses.watch.group(world.ada, group_id, 1)
        await world.uses.expire()
    world.clock.advance(2 * DAY)
    await world.uses.expire()
    with pytest.raises(Refusal, match="retention has ended"):
        await world.uses.watch.task(world.ada, task_id, 1)


class TestWaiting:
    async def test_what_waited_for_as_long_as_its_group_says_fails_and_reaches_its_future(self, world):
        core, function_id = await world.core(online=False), await world.function()
        group = await world.uses.retention.make(world.ada, TaskGroupWish(waiting_s=2 * HOUR))
        accepted = await world.submit(core, function_id, 3, task_group_id=group.taskgroup_id)
        usual = await world.submit(core, function_id)
        watched = await world.watch(accepted)
        world.clock.advance(2 * HOUR - 1)
        await world.uses.expire()
        assert len(await world.store.waiting_counts()) == 1
        world.clock.advance(2)
        await world.uses.expire()
        results = []
        while len(results) < 3:
            results += codec.decode((await watched.get()).body)
        assert [one.task_id for one in results] == accepted.tasks[function_id]
        assert {one.error.code for one in results} == {"TaskExpired"}
        assert "2 hours" in results[0].error.user_message
        [still] = usual.tasks[function_id]
        assert (await world.uses.watch.task(world.ada, still, 1)).status == "waiting-for-ep"
        # It failed a moment ago, so it is kept from now on.
        world.clock.advance(13 * DAY)
        await world.uses.expire()
        document = await world.uses.watch.task(world.ada, results[0].task_id, 1)
        assert (document.status, "waited 2 hours" in document.exception) == ("failed", True)

    async def test_a_group_may_wait_for_longer_than_the_service_does(self, world):
        core, function_id = await world.core(online=False), await world.function()
        group = await world.uses.retention.make(world.ada, TaskGroupWish(waiting_s=90 * DAY))
        accepted = await world.submit(core, function_id, task_group_id=group.taskgroup_id)
        world.clock.advance(80 * DAY)
        await world.uses.expire()
        [task_id] = accepted.tasks[function_id]
        assert (await world.uses.watch.task(world.ada, task_id, 1)).status == "waiting-for-ep"

    async def test_what_was_seen_to_run_is_not_failed_for_having_waited(self, world):
        core, user, function_id = await world.ready()
        group = await world.uses.retention.make(world.ada, TaskGroupWish(waiting_s=HOUR))
        accepted = await world.submit(core, function_id, task_group_id=group.taskgroup_id)
        [task_id] = accepted.tasks[function_id]
        await user.say(world.seen(task_id, at=world.clock.now()))
        while (await world.store.tasks([task_id]))[task_id].state is not TaskState.RUNNING:
            await asyncio.sleep(0)
        world.clock.advance(5 * HOUR)
        await world.uses.expire()
        assert (await world.store.tasks([task_id]))[task_id].state is TaskState.RUNNING

    async def test_an_endpoint_of_ours_is_told_not_to_run_it_after_all(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id)
        world.clock.advance(15 * DAY)
        await world.uses.expire()
        await user.heed()
        cancel = await user.cancels.get()
        assert ([cancel.task_id], cancel.running) == (accepted.tasks[function_id], False)

    async def test_a_published_endpoint_finds_only_what_still_waits(self, world):
        core, function_id = await world.core(wire=1, online=False), await world.function()
        await world.submit(core, function_id, 3)
        world.clock.advance(10 * DAY)
        young = await world.submit(core, function_id, 2)
        world.clock.advance(5 * DAY)
        await world.uses.expire()
        [user_endpoint] = await world.store.user_endpoints()
        assert await world.connection.waiting(f"{user_endpoint.id}.tasks") == 2
        assert [t.id for t in await world.store.waiting_tasks(user_endpoint.id)] == young.tasks[function_id]


async def test_answers_to_submits_are_kept_for_as_long_as_somebody_may_ask_again(world):
    core, function_id = await world.core(online=False), await world.function()
    first = await world.submit(core, function_id, key="k")
    world.clock.advance(world.limits.repeat_s - 1)
    await world.uses.expire()
    assert (await world.submit(core, function_id, key="k")).tasks == first.tasks
    world.clock.advance(2)
    await world.uses.expire()
    assert (await world.submit(core, function_id, key="k")).tasks != first.tasks


class TestStoppedForGood:
    """A user endpoint that died again and again is not started any more."""

    async def test_tasks_that_wait_for_it_fail_with_the_reason_and_do_not_run_later(self, world):
        core, user, function_id = await world.ready()
        await user.report(active=False)
        await core.report(heartbeat_period=0)  # so that the submit does not wait for it
        await world.uses.beat(core.id, {"heartbeat_period": 0})
        accepted = await world.submit(core, function_id, 3)
        [user_endpoint] = await world.store.user_endpoints(core.id)
        plain = {"error": "no module named x", "heartbeat_period": 3}
        await world.uses.beat(user_endpoint.id, plain)
        assert len(await world.store.waiting_tasks(user_endpoint.id, limit=10)) == 3, "it may come yet"
        watched = await world.watch(accepted)
        await world.uses.beat(user_endpoint.id, {**plain, "error": "it died 3 times", "afield_stopped": True})
        results = []
        while len(results) < 3:
            results += codec.decode((await watched.get()).body)
        assert {one.error.code for one in results} == {"NoWorkers"}
        assert {one.error.user_message for one in results} == {"it died 3 times"}
        assert await world.store.waiting_tasks(user_endpoint.id, limit=10) == []
