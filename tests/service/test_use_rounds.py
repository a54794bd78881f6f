"""What one of several services does for all, where queues outlive the services."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from afield.broker.base import NotSent, QueueSpec
from afield.errors import BrokerUnreachable
from afield.service.domain import names
from afield.service.store.memory import MemoryStore
from afield.service.use.rounds import FILLED
from afield.states import TaskState
from afield.wire.rest import CancelRequest

pytestmark = pytest.mark.anyio

LATE_S = 16.0


@pytest.fixture
async def world(world, limits) -> AsyncIterator:
    """Its queues survive, and were filled before."""
    made = type(world)(MemoryStore(), limits)
    made.survive = 1000.0
    await made.start()
    await made.broker.declare_queue(FILLED)
    yield made
    failed = made.supervisor.failed
    await made.stop()
    assert not failed.done() or failed.cancelled(), failed.result()


async def killed_after_the_commit(world, core, function_id: str, count: int, wire: int) -> list[str]:
    """Submit tasks to a service that is killed before it hands them over."""

    async def killed(*_):
        raise BrokerUnreachable("killed")

    send, world.queues.send_tasks = world.queues.send_tasks, killed
    accepted = await world.submit(core, function_id, count, wire=wire)
    world.queues.send_tasks = send
    return accepted.tasks[function_id]


async def test_what_was_handed_over_is_noted(world):
    core, function_id = await world.core(online=False), await world.function()
    await world.submit(core, function_id, 3)
    assert await world.store.hand_overs(world.clock.now() + 1)
    await world.kept.flush()
    assert await world.store.hand_overs(world.clock.now() + 1) == []


async def test_a_round_hands_over_what_was_left(world):
    core, function_id = await world.core(online=False), await world.function()
    ids = await killed_after_the_commit(world, core, function_id, 3, 2)
    await world.uses.rounds()  # whoever accepted them may be at it
    (user_endpoint,) = await world.store.user_endpoints()
    queue = names.task_queue(user_endpoint.id)
    assert await world.broker.depth(queue) == 0
    world.clock.advance(LATE_S)
    await world.uses.rounds()
    await world.uses.rounds()
    assert await world.broker.depth(queue) == 1
    await core.report()
    await world.uses.rounds()
    user = await (await core.start()).consume()
    assert [(await user.tasks.get()).task_id for _ in ids] == ids


async def test_a_cancel_believes_that_a_published_one_may_have_begun(world):
    """What it has taken out of such a queue nobody here knows."""
    core, _user, function_id = await world.ready(wire=1)
    (one, other) = (await world.submit(core, function_id, 2)).tasks[function_id]
    gently = (await world.uses.cancel(world.ada, CancelRequest([one], running=False))).results[one]
    assert (gently.status, "may have begun" in gently.reason) == ("waiting-for-ep", True)
    await world.uses.cancel(world.ada, CancelRequest([other]))
    ended = (await world.store.tasks([other]))[other].finished
    assert b"before its endpoint ran it" not in ended.data


async def test_what_a_published_one_may_have_taken_is_not_sent_again(world):
    core, user, function_id = await world.ready(wire=1)
    ids = await killed_after_the_commit(world, core, function_id, 2, 1)
    world.clock.advance(LATE_S)
    await world.uses.rounds()
    assert await world.store.taken_tasks() == []
    world.clock.advance(120.0)
    await user.report()
    await world.uses.rounds()
    assert await world.broker.depth(names.task_queue(user.id)) == 0
    assert [task.id for task in await world.store.taken_tasks()] == ids
    # It lives, and may have them. When it ends, they are settled.
    await user.report(active=False)
    await user.connection.close()
    await world.uses.rounds()
    world.clock.advance(world.limits.grace_s)
    await world.uses.rounds()
    views = await world.store.tasks(ids)
    assert [view.finished.error.code for view in views.values()] == ["EndpointLost"] * 2


async def test_what_is_known_not_to_have_left_is_sent_when_the_broker_is_back(world):
    core, user, function_id = await world.ready(wire=1)

    async def away(*_):
        raise NotSent("away")

    send, world.queues.send_tasks = world.queues.send_tasks, away
    accepted = await world.submit(core, function_id, 2, wire=1)
    world.clock.advance(LATE_S)
    await world.uses.rounds()
    world.queues.send_tasks = send
    for _ in range(2):
        await world.uses.rounds.retry()
    assert [(await user.tasks.get()).task_id for _ in range(2)] == accepted.tasks[function_id]
    assert user.tasks.empty()
    assert await world.store.hand_overs(world.clock.now() + 1) == []


async def test_results_that_were_left_are_sent(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    watcher = await world.watch(accepted)
    (task_id,) = accepted.tasks[function_id]

    async def killed(*_):
        raise BrokerUnreachable("killed")

    send, world.queues.send_results = world.queues.send_results, killed
    await user.send(world.success(task_id))
    world.queues.send_results = send
    assert (await world.store.tasks([task_id]))[task_id].state is TaskState.SUCCESS
    await world.uses.rounds()
    assert watcher.empty()
    world.clock.advance(LATE_S)
    await world.uses.rounds()
    assert (await watcher.get()).body
    await world.kept.flush()
    world.clock.advance(LATE_S)
    await world.uses.rounds()
    assert watcher.empty()


class TestLives:
    """Of published user endpoints, which acknowledge what they have taken."""

    async def taken_and_waiting(self, world, core, user, function_id):
        """Two tasks that a life has taken, and two that wait when it is gone."""
        taken = (await world.submit(core, function_id, 2, wire=1)).tasks[function_id]
        for _ in taken:
            await user.tasks.get()
        user.done()
        await user.connection.close()
        await world.kept.flush()
        waiting = (await world.submit(core, function_id, 2, wire=1)).tasks[function_id]
        return taken, waiting

    async def test_what_it_took_fails_and_what_waits_runs_in_the_next(self, world):
        core, user, function_id = await world.ready(wire=1)
        await user.report(start_unix=1.0)
        taken, waiting = await self.taken_and_waiting(world, core, user, function_id)
        await world.kept.flush()
        again = await (await core.start()).consume()
        await again.report(start_unix=2.0)
        assert [(await again.tasks.get()).task_id for _ in waiting] == waiting
        again.done()
        await world.uses.rounds()
        world.clock.advance(world.limits.grace_s)
        await again.report(start_unix=2.0)
        await world.uses.rounds()
        views = await world.store.tasks(taken + waiting)
        assert [views[one].state for one in taken] == [TaskState.FAILED] * 2
        assert [views[one].finished for one in waiting] == [None, None]
        await again.send(*map(world.success, waiting))
        assert {view.state for view in (await world.store.tasks(waiting)).values()} == {TaskState.SUCCESS}

    async def test_a_result_within_the_grace_counts(self, world):
        core, user, function_id = await world.ready(wire=1)
        await user.report(start_unix=1.0)
        (task_id,) = (await world.submit(core, function_id, wire=1)).tasks[function_id]
        await user.tasks.get()
        user.done()
        await user.report(start_unix=1.0, active=False)
        await user.consumer.cancel()
        await world.uses.rounds()
        await user.send(world.success(task_id))
        world.clock.advance(world.limits.grace_s)
        await world.uses.rounds()
        assert (await world.store.tasks([task_id]))[task_id].state is TaskState.SUCCESS

    async def test_looking_at_a_queue_leaves_it_as_it_was(self, world):
        core, user, function_id = await world.ready(wire=1)
        await user.connection.close()
        ids = (await world.submit(core, function_id, 5, wire=1)).tasks[function_id]
        for _ in range(2):
            assert await world.queues.waiting_tasks(user.id) == set(ids)
        again = await (await core.start()).consume()
        assert [(await again.tasks.get()).task_id for _ in ids] == ids
        assert await world.queues.waiting_tasks(user.id) is None


async def test_a_broker_that_has_lost_everything_is_filled_again(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 3)
    await world.kept.flush()
    for queue in (FILLED.name, names.task_queue(user.id)):
        await world.broker.delete_queue(queue)
    await world.queues.prepare()
    await world.uses.rounds()
    await world.uses.rounds()
    # Its reader was cancelled with the queue, and subscribes anew.
    user.tasks._queue.clear()
    await user.consume()
    assert [(await user.tasks.get()).task_id for _ in range(3)] == accepted.tasks[function_id]
    assert user.tasks.empty()


async def test_a_new_broker_has_one_mark(world):
    await world.broker.delete_queue(FILLED.name)
    await world.uses.rounds()
    assert await world.queues.exists(FILLED.name)
    assert isinstance(FILLED, QueueSpec)


async def test_a_user_endpoint_that_is_needed_is_started(world):
    core, function_id = await world.core(online=False), await world.function()
    await world.submit(core, function_id)
    await core.report()
    assert core.commands.empty()
    await world.uses.rounds()
    assert await core.commands.get()
