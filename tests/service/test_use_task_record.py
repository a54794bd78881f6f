"""What is told of one task: where it was, since when, who said so, how often it was tried."""

from __future__ import annotations

import msgspec
import pytest

from afield.ids import new_id
from afield.service.domain.refusals import Refusal
from afield.wire.messages import Notice, Result, Transition
from afield.wire.rest import CancelRequest

pytestmark = pytest.mark.anyio

NS = 1_000_000_000


def told(history):
    return [(one.state, one.actor, one.attempt) for one in history.states]


async def test_the_whole_life_of_a_task(world):
    core, user, function_id = await world.ready()
    [task_id] = (await world.submit(core, function_id)).tasks[function_id]
    at = int(world.clock.now()) + 1
    await user.say(Notice(task_id, "waiting-for-launch", at * NS), Notice(task_id, "running", (at + 1) * NS))
    await user.say(
        Notice(task_id, "waiting-for-launch", (at + 2) * NS, 2), Notice(task_id, "running", (at + 3) * NS, 2)
    )
    world.clock.advance(10)
    attempts = [{"began": at * NS, "ended": (at + 2) * NS, "error": "WorkerLost"}]
    steps = (Transition((at + 3) * NS + 5, "execution-start", "worker"),)
    await user.send(Result(task_id, b"00\nx\n", details={"attempts": attempts}, statuses=steps))
    history = await world.uses.task_record(world.ada, task_id)
    assert told(history) == [
        ("received", "web-service", 1),
        ("waiting-for-ep", "web-service", 1),
        ("waiting-for-launch", "endpoint", 1),
        ("running", "endpoint", 1),
        ("waiting-for-launch", "endpoint", 2),
        ("running", "endpoint", 2),
        ("execution-start", "worker", 2),
        ("success", "endpoint", 2),
    ]
    assert [one.at for one in history.states] == sorted(one.at for one in history.states)
    assert (history.status, history.since, history.attempts) == ("success", world.clock.now(), 2)
    assert history.failed_attempts == attempts
    assert (history.hostname, history.endpoint_name, history.endpoint_id) == ("lab", "mine", core.id)


async def test_what_the_service_itself_ended_says_so(world):
    core, function_id = await world.core(online=False), await world.function()
    [task_id] = (await world.submit(core, function_id)).tasks[function_id]
    await world.uses.cancel(world.ada, CancelRequest([task_id]))
    history = await world.uses.task_record(world.ada, task_id)
    assert told(history)[-1] == ("cancelled", "web-service", 1)
    assert (history.attempts, history.error_code) == (0, "TaskCancelled")


async def test_a_task_that_waits_has_not_been_tried(world):
    core, function_id = await world.core(online=False), await world.function()
    [task_id] = (await world.submit(core, function_id)).tasks[function_id]
    history = await world.uses.task_record(world.ada, task_id)
    assert (history.status, history.attempts) == ("waiting-for-ep", 0)
    assert "error_code" not in msgspec.to_builtins(history)


async def test_it_is_told_to_its_owner_only(world):
    core, function_id = await world.core(online=False), await world.function()
    [task_id] = (await world.submit(core, function_id)).tasks[function_id]
    for caller, asked in ((world.bob, task_id), (world.ada, new_id())):
        with pytest.raises(Refusal) as info:
            await world.uses.task_record(caller, asked)
        assert (info.value.status, info.value.code) == (404, "TASK_NOT_FOUND")
