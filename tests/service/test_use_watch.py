"""Asking after tasks."""

from __future__ import annotations

import msgspec
import pytest

from afield.errors import BrokerRefused, InvalidId
from afield.ids import new_id
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits

pytestmark = pytest.mark.anyio


@pytest.fixture
def limits() -> Limits:
    return Limits(status_tasks=10, client_login_s=100)


async def refused(awaitable) -> Refusal:
    with pytest.raises(Refusal) as info:
        await awaitable
    return info.value


async def test_one_task_is_for_its_owner(world):
    core, _, function_id = await world.ready()
    [task_id] = (await world.submit(core, function_id)).tasks[function_id]
    assert (await world.uses.watch.task(world.ada, task_id.upper(), 1)).task_id == task_id
    unknown = await refused(world.uses.watch.task(world.ada, new_id(), 1))
    theirs = await refused(world.uses.watch.task(world.bob, task_id, 1))
    assert (unknown.status, unknown.code) == (theirs.status, theirs.code) == (404, "TASK_NOT_FOUND")
    with pytest.raises(InvalidId):
        await world.uses.watch.task(world.ada, "nonsense", 1)


async def test_many_tasks_come_under_the_ids_that_were_given(world):
    core, _, function_id = await world.ready()
    [task_id] = (await world.submit(core, function_id)).tasks[function_id]
    theirs, nowhere = new_id(), "nonsense"
    results = (await world.uses.watch.tasks(world.ada, [task_id.upper(), theirs, nowhere], 1)).results
    assert results[task_id.upper()].status == "waiting-for-ep"
    for unknown in (theirs, nowhere):
        shown = msgspec.to_builtins(results[unknown])
        assert (shown["status"], shown["reason"]) == ("failed", "Unknown task id")
        assert "exception" not in shown  # published clients would raise it, and drop the entry
    seen_by_bob = (await world.uses.watch.tasks(world.bob, [task_id], 1)).results
    assert seen_by_bob[task_id].reason == "Unknown task id"


async def test_too_many_at_once_is_told(world):
    refusal = await refused(world.uses.watch.tasks(world.ada, [new_id() for _ in range(11)], 1))
    assert refusal.status == 422


async def test_a_group_lists_its_tasks_with_their_times(world):
    core, _, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 2)
    group = await world.uses.watch.group(world.ada, accepted.task_group_id, 1)
    assert group.taskgroup_id == accepted.task_group_id
    assert [task.id for task in group.tasks] == accepted.tasks[function_id]
    assert group.tasks[0].created_at == "2023-11-14T22:13:20+00:00"


async def test_a_group_is_for_its_owner(world):
    core, _, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    refusal = await refused(world.uses.watch.group(world.bob, accepted.task_group_id, 1))
    assert (refusal.status, refusal.code) == (403, "TASK_GROUP_ACCESS_FORBIDDEN")
    refusal = await refused(world.uses.watch.group(world.ada, new_id(), 1))
    assert (refusal.status, refusal.code) == (404, "TASK_GROUP_NOT_FOUND")


async def test_a_group_of_a_client_that_only_asked_can_be_watched_later(world):
    core, user, function_id = await world.ready()
    request = world.request(function_id, 1, create_queue=False)
    accepted = world.answer(await world.uses.submit(world.ada, core.id, request, wire=1))
    with pytest.raises(BrokerRefused):
        await world.watch(accepted)
    await world.uses.watch.group(world.ada, accepted.task_group_id, 1)
    watched = await world.watch(accepted)
    await user.send(world.success(accepted.tasks[function_id][0]))
    assert (await watched.get()).body


async def test_a_client_connects_within_its_time_and_to_its_own(world):
    core, _, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    mine, theirs = [await world.uses.watch.result_queue(caller) for caller in (world.ada, world.bob)]
    assert mine.queue_prefix == f"{world.ada.id}."
    connection = await world.broker.connect(theirs.connection_url)
    with pytest.raises(BrokerRefused):
        await connection.consume(mine.queue_prefix + accepted.task_group_id, print)
    world.clock.advance(101)
    with pytest.raises(BrokerRefused):
        await world.broker.connect(mine.connection_url)
