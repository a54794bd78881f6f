"""Notices: where tasks are, as their endpoints say it."""

from __future__ import annotations

import pytest

from afield.states import TaskState
from afield.wire import codec, v2
from afield.wire.messages import Notice

pytestmark = pytest.mark.anyio

AT = 1_700_000_001.5


async def shown(world, task_id: str):
    return await world.uses.watch.task(world.ada, task_id, 2)


async def two_tasks(world, **said):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 2, **said)
    return user, accepted.tasks[function_id], accepted


async def test_where_a_task_is_can_be_asked(world):
    user, (one, two), _ = await two_tasks(world)
    before = await shown(world, one)
    assert (before.status, before.since) == ("waiting-for-ep", world.clock.now())
    await user.say(world.seen(one, "waiting-for-launch", at=AT), world.seen(two, "running", at=AT + 1))
    assert ((await shown(world, one)).status, (await shown(world, one)).since) == ("waiting-for-launch", AT)
    results = (await world.uses.watch.tasks(world.ada, [one, two], 1)).results
    assert [results[task_id].status for task_id in (one, two)] == ["waiting-for-launch", "running"]
    world.clock.advance(5)
    await user.send(world.success(two))
    ended = await shown(world, two)
    assert (ended.status, ended.since) == ("success", world.clock.now())


async def test_who_watches_is_told(world):
    user, (one, two), accepted = await two_tasks(world)
    watched = await world.watch(accepted)
    sent = world.seen(one, "running", at=AT)
    await user.say(sent, world.seen(two, "waiting-for-launch", at=AT))
    delivery = await watched.get()
    assert codec.decode(delivery.body) == [sent, Notice(two, "waiting-for-launch", int(AT * 1e9))]
    assert delivery.properties.delivery_mode == 1


async def test_who_reads_only_the_published_envelope_gets_results_alone(world):
    user, (one, _), accepted = await two_tasks(world, wire=1)
    watched = await world.watch(accepted)
    await user.say(world.seen(one))
    await user.send(world.success(one))
    [result] = codec.decode((await watched.get()).body)
    assert result.task_id == one
    assert watched.empty()


async def test_nothing_is_said_after_the_end(world):
    user, (one, _), accepted = await two_tasks(world)
    watched = await world.watch(accepted)
    await user.send(world.success(one))
    assert await watched.get()
    await user.say(world.seen(one))
    assert (await shown(world, one)).status == "success"
    assert watched.empty()


async def test_an_end_that_comes_while_a_notice_is_kept_is_the_last_word(world):
    """The notice's commit takes a moment; the task ends in it."""
    user, (one, _), accepted = await two_tasks(world)
    watched = await world.watch(accepted)
    move_tasks = world.store.move_tasks

    async def meanwhile(moves):
        moved = await move_tasks(moves)
        await world.uses.finish([(user.id, world.success(one))])
        return moved

    world.store.move_tasks = meanwhile
    await user.say(world.seen(one))
    [result] = codec.decode((await watched.get()).body)
    assert result.task_id == one
    assert watched.empty()


async def test_what_comes_late_or_twice_is_not_passed_on(world):
    user, (one, _), accepted = await two_tasks(world)
    watched = await world.watch(accepted)
    for state in ("running", "running", "waiting-for-nodes"):
        await user.say(world.seen(one, state))
    assert await watched.get()
    assert watched.empty()
    assert (await shown(world, one)).status == "running"


async def test_what_runs_again_waits_again(world):
    user, (one, _), accepted = await two_tasks(world)
    watched = await world.watch(accepted)
    await user.say(world.seen(one, "running"), world.seen(one, "waiting-for-launch", at=AT + 2))
    assert [notice.state for notice in codec.decode((await watched.get()).body)] == ["running", "waiting-for-launch"]
    assert ((await shown(world, one)).status, (await shown(world, one)).since) == ("waiting-for-launch", AT + 2)


@pytest.mark.parametrize("state", ["success", "failed", "cancelled", "received", "unsent", "nonsense", ""])
async def test_what_is_no_news_is_dropped(world, state, caplog):
    user, (one, _), accepted = await two_tasks(world)
    watched = await world.watch(accepted)
    await user.say(world.seen(one, state))
    assert (await shown(world, one)).status == "waiting-for-ep"
    assert watched.empty()
    assert one in caplog.text


async def test_somebody_elses_task_is_none_of_their_business(world, caplog):
    user, (one, _), accepted = await two_tasks(world)
    watched = await world.watch(accepted)
    _, other, _ = await world.ready()
    await other.say(world.seen(one))
    assert (await shown(world, one)).status == "waiting-for-ep"
    assert watched.empty()
    assert other.id in caplog.text
    await user.say(world.seen(one))
    assert (await shown(world, one)).status == "running"


async def test_a_task_that_another_replica_accepted_is_known_by_the_store(world):
    user, (one, _), accepted = await two_tasks(world)
    again = await type(world)(world.store, world.limits).start()
    await again.uses.notice([(user.id, world.seen(one)), (user.id, world.seen("unknown"))])
    view = (await again.store.tasks([one]))[one]
    assert view.state is TaskState.RUNNING
    assert accepted.task_group_id == view.group_id
    await again.stop()


async def test_many_ride_in_one_message(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 600)
    watched = await world.watch(accepted)
    await user.say(*(world.seen(task_id) for task_id in accepted.tasks[function_id]))
    bodies = [(await watched.get()).body for _ in range(2)]
    assert all(body[:1] == v2.VERSION for body in bodies)
    assert [notice.task_id for body in bodies for notice in codec.decode(body)] == accepted.tasks[function_id]
    assert watched.empty()
