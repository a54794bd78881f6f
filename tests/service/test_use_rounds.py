"""What one of several services does for all, where queues outlive the services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from afield.broker.base import Connection, NotSent, Publication, QueueSpec
from afield.errors import BrokerUnreachable
from afield.service.domain import names
from afield.service.store.memory import MemoryStore
from afield.service.use.rounds import FILLED
from afield.states import TaskState
from afield.wire.rest import CancelRequest
from afield.wire.rest_task_groups import TaskGroupWish

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


class BreaksOff:
    """A connection that carries so many messages with tasks, and then none until it is mended.

    :param loses: the one at which it breaks arrives, and nobody hears that it did
    """

    def __init__(self, connection: Connection, carries: int, *, loses: bool = False) -> None:
        self._connection, self.carries, self.loses = connection, carries, loses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def publish(self, publication: Publication) -> None:
        self.carries -= publication.exchange == names.TASKS
        if self.carries == -1 and self.loses:
            await self._connection.publish(publication)
            raise BrokerUnreachable("the connection broke before the broker said that it has it")
        if self.carries < 0:
            raise NotSent("away")
        await self._connection.publish(publication)


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("later", range(5))
async def test_what_certainly_has_not_left_is_sent_when_the_broker_is_back(world, before, later):
    """Wherever it breaks off, at first and when it is tried again: each comes once."""
    core, user, function_id = await world.ready(wire=1)
    world.queues._connection = broken = BreaksOff(world.connection, before)
    task_ids = (await world.submit(core, function_id, 4, wire=1)).tasks[function_id]
    world.clock.advance(LATE_S)
    await world.uses.rounds()  # whoever is on duty does not send what another knows of
    broken.carries = later
    if later < len(task_ids) - before:
        with pytest.raises(BrokerUnreachable):
            await world.uses.rounds.retry()
    broken.carries = 100
    for _ in range(2):
        await world.uses.rounds.retry()
    assert sorted([(await user.tasks.get()).task_id for _ in task_ids]) == sorted(task_ids)
    assert user.tasks.empty()
    await world.kept.flush()
    assert await world.store.hand_overs(world.clock.now() + 1) == []


@pytest.mark.parametrize("before", range(3))
async def test_what_may_have_left_is_not_sent_again_and_the_rest_does_not_wait_for_it(world, before):
    core, user, function_id = await world.ready(wire=1)
    world.queues._connection = broken = BreaksOff(world.connection, before, loses=True)
    task_ids = (await world.submit(core, function_id, 4, wire=1)).tasks[function_id]
    broken.carries = 100
    for _ in range(2):
        await world.uses.rounds.retry()
    assert sorted([(await user.tasks.get()).task_id for _ in task_ids]) == sorted(task_ids)
    world.clock.advance(150.0)
    await user.report()
    await world.uses.rounds()
    assert user.tasks.empty()
    assert await world.store.hand_overs(world.clock.now() + 1) == []
    # It has them, as far as anybody can know.
    assert [task.id for task in await world.store.taken_tasks()] == task_ids


async def test_a_queue_that_the_broker_lost_meanwhile_is_made_again(world):
    core, user, function_id = await world.ready(wire=1)
    await user.connection.close()
    await world.broker.delete_queue(names.task_queue(user.id))
    await world.submit(core, function_id, 2, wire=1)
    assert await world.broker.depth(names.task_queue(user.id)) == 2


async def test_of_what_nobody_has_read_yet_only_what_is_missing_is_sent(world):
    core, function_id = await world.core(wire=1, online=False), await world.function()
    world.queues._connection = BreaksOff(world.connection, 2, loses=True)
    task_ids = (await world.submit(core, function_id, 4, wire=1)).tasks[function_id]  # and the service is killed
    world.queues._connection = world.connection
    (user_endpoint,) = await world.store.user_endpoints()
    world.uses.rounds._not_sent.clear()
    world.clock.advance(LATE_S)
    await world.uses.rounds()
    assert await world.queues.waiting_tasks(user_endpoint.id) == set(task_ids)
    assert await world.queues.waiting(user_endpoint.id) == len(task_ids)


async def test_what_nobody_has_read_yet_is_sent_when_its_queue_is_gone(world):
    core, function_id = await world.core(wire=1, online=False), await world.function()
    ids = await killed_after_the_commit(world, core, function_id, 3, 1)
    (user_endpoint,) = await world.store.user_endpoints()
    await world.broker.delete_queue(names.task_queue(user_endpoint.id))
    world.clock.advance(LATE_S)
    await world.uses.rounds()
    assert await world.queues.waiting_tasks(user_endpoint.id) == set(ids)
    await world.kept.flush()
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

    async def test_what_failed_for_having_waited_does_not_run_and_the_rest_stays_in_order(self, world):
        core, user, function_id = await world.ready(wire=1)
        await user.connection.close()
        group = await world.uses.retention.make(world.ada, TaskGroupWish(waiting_s=3600.0))
        ids: list[str] = []
        for number in range(6):
            wish = {"task_group_id": group.taskgroup_id} if number % 2 else {}
            ids += (await world.submit(core, function_id, 1, wire=1, **wish)).tasks[function_id]
        world.clock.advance(3601.0)
        await world.uses.expire()
        await core.report()
        await world.uses.rounds()
        again = await (await core.start()).consume()
        assert [(await again.tasks.get()).task_id for _ in range(3)] == ids[::2]
        assert again.tasks.empty()


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
