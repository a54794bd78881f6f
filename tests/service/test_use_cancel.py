"""Cancelling: whoever has the task is asked, or it ends here; and no wish is lost."""

from __future__ import annotations

import asyncio

import pytest

from afield.errors import BrokerRefused
from afield.ids import new_id
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits
from afield.wire import codec
from afield.wire.messages import Cancel, ErrorDetails, Result
from afield.wire.rest import Cancelled, CancelRequest

pytestmark = pytest.mark.anyio

DAY = 86_400.0


@pytest.fixture
def limits() -> Limits:
    return Limits(status_tasks=10, retention_s=10 * DAY, waiting_s=10 * DAY)


async def cancel(world, *task_ids: str, running: bool = True, caller=None) -> dict[str, Cancelled]:
    return (await world.uses.cancel(caller or world.ada, CancelRequest(list(task_ids), running))).results


async def status(world, task_id: str, wire: int = 2):
    return await world.uses.watch.task(world.ada, task_id, wire)


async def one_task(world, wire: int = 2):
    """A user endpoint that has one task."""
    core, user, function_id = await world.ready(wire=wire)
    if wire == 2:
        await user.heed()
    accepted = await world.submit(core, function_id)
    assert await user.tasks.get()
    return core, user, accepted.tasks[function_id][0], accepted


async def reborn(world):
    """Another life on the same store; all that was in memory is gone."""
    again = await type(world)(world.store, world.limits).start()
    again.clock.advance(world.clock.now() - again.clock.now())
    await again.uses.refill.everything()
    return again


async def back(world, user):
    """The user endpoint's process finds the new service."""
    user.connection = await world.broker.connect(user.credentials.task_queue_info.connection_url)
    for queue in (user.tasks, user.cancels):
        while not queue.empty():
            queue.get_nowait()
    return await user.heed()


class TestOurs:
    async def test_its_endpoint_is_asked_and_ends_it(self, world):
        _, user, task_id, accepted = await one_task(world)
        watched = await world.watch(accepted)
        assert await cancel(world, task_id) == {task_id: Cancelled("waiting-for-ep")}
        assert await user.cancels.get() == Cancel(task_id, running=True)
        await user.send(world.cancelled(task_id, "stopped on request"))
        shown = await status(world, task_id)
        assert (shown.status, shown.error_code, shown.exception) == ("cancelled", "TaskCancelled", "stopped on request")
        [result] = codec.decode((await watched.get()).body)
        assert result.error.code == "TaskCancelled"
        assert await world.store.cancels() == []

    @pytest.mark.parametrize(
        ("text", "sentence", "seen"),
        [("Traceback", "stopped", "Traceback"), ("", "stopped", "stopped"), ("", "", "TaskCancelled")],
    )
    async def test_published_clients_see_it_failed_with_a_text(self, world, text, sentence, seen):
        _, user, task_id, _ = await one_task(world)
        await user.send(Result(task_id, text.encode(), error=ErrorDetails("TaskCancelled", sentence)))
        shown = await status(world, task_id, wire=1)
        assert (shown.status, shown.exception) == ("failed", seen)

    async def test_a_result_that_was_faster_wins_and_answers_the_wish(self, world):
        _, user, task_id, _ = await one_task(world)
        await cancel(world, task_id)
        await user.send(world.success(task_id))
        assert (await status(world, task_id)).status == "success"
        assert await world.store.cancels() == []

    async def test_a_refusal_answers_the_wish_and_is_passed_on(self, world):
        _, user, task_id, accepted = await one_task(world)
        watched = await world.watch(accepted)
        await user.say(world.seen(task_id))
        assert await watched.get()
        await cancel(world, task_id)
        await user.say(world.seen(task_id, refusal="threads cannot be stopped"))
        [notice] = codec.decode((await watched.get()).body)
        assert (notice.task_id, notice.refusal) == (task_id, "threads cannot be stopped")
        assert (await status(world, task_id)).status == "running"
        assert await world.store.cancels() == []

    async def test_only_what_has_not_begun(self, world):
        core, user, function_id = await world.ready()
        await user.heed()
        accepted = await world.submit(core, function_id, 2)
        begun, waits = accepted.tasks[function_id]
        await user.say(world.seen(begun))
        answers = await cancel(world, begun, waits, running=False)
        assert answers[begun].status == "running"
        assert "has begun" in answers[begun].reason
        assert answers[waits] == Cancelled("waiting-for-ep")
        assert await user.cancels.get() == Cancel(waits, running=False)
        assert user.cancels.empty()

    async def test_whoever_wants_more_later_gets_more(self, world):
        _, user, task_id, _ = await one_task(world)
        await cancel(world, task_id, running=False)
        await cancel(world, task_id, running=True)
        assert [(await user.cancels.get()).running for _ in range(2)] == [False, True]
        [wish] = await world.store.cancels()
        assert wish.running

    async def test_nobody_else_may_read_along(self, world):
        _, user, _, _ = await one_task(world)
        other = await world.broker.connect((await world.uses.watch.result_queue(world.ada)).connection_url)
        with pytest.raises(BrokerRefused):
            await other.consume(user.credentials.control_queue_info.queue, print)


class TestOursAway:
    async def test_the_task_ends_at_once_and_the_endpoint_is_told_when_it_comes(self, world):
        _, user, task_id, accepted = await one_task(world)
        watched = await world.watch(accepted)
        await user.report(active=False)
        await user.connection.close()
        [answer] = (await cancel(world, task_id)).values()
        assert answer == Cancelled("cancelled")
        [result] = codec.decode((await watched.get()).body)
        assert (result.task_id, result.error.code) == (task_id, "TaskCancelled")
        user.connection = await world.broker.connect(user.credentials.task_queue_info.connection_url)
        await user.heed()
        assert await user.cancels.get() == Cancel(task_id, running=True)
        assert [wish.task_id for wish in await world.store.cancels()] == [task_id]
        await user.send(world.cancelled(task_id))
        assert await world.store.cancels() == []
        assert watched.empty()

    async def test_a_late_result_is_dropped_and_answers_the_wish(self, world):
        _, user, task_id, accepted = await one_task(world)
        watched = await world.watch(accepted)
        await user.say(world.seen(task_id))
        assert await watched.get()
        world.clock.advance(76)
        assert (await cancel(world, task_id))[task_id] == Cancelled("cancelled")
        assert await watched.get()
        assert "dropped" in (await status(world, task_id)).exception
        await user.send(world.success(task_id))
        assert (await status(world, task_id)).status == "cancelled"
        assert await world.store.cancels() == []
        assert watched.empty()

    async def test_what_may_run_there_is_left_if_only_the_others_were_meant(self, world):
        _, user, task_id, _ = await one_task(world)
        await user.say(world.seen(task_id))
        world.clock.advance(76)
        answers = await cancel(world, task_id, running=False)
        assert answers[task_id].status == "running"
        assert answers[task_id].reason
        assert await world.store.cancels() == []


class TestPublished:
    async def test_the_task_ends_at_once_and_nothing_new_is_sent_there(self, world):
        _, user, task_id, _ = await one_task(world, wire=1)
        assert user.credentials.control_queue_info is None
        assert (await cancel(world, task_id))[task_id] == Cancelled("cancelled")
        assert (await status(world, task_id, wire=1)).status == "failed"
        assert await world.store.cancels() == []
        await user.send(world.success(task_id))
        assert (await status(world, task_id)).status == "cancelled"

    async def test_what_it_has_taken_may_run(self, world):
        _, user, task_id, _ = await one_task(world, wire=1)
        world.in_flight.holding.taken(user.id, [task_id], world.clock.now())
        answers = await cancel(world, task_id, running=False)
        assert answers[task_id].status == "waiting-for-ep"
        assert "may have begun" in answers[task_id].reason
        assert (await cancel(world, task_id, running=True))[task_id] == Cancelled("cancelled")
        assert "finishes it" in (await status(world, task_id)).exception


class TestWho:
    async def test_what_is_not_yours_is_unknown_and_stays(self, world):
        _, user, task_id, _ = await one_task(world)
        nowhere, nonsense = new_id(), "nonsense"
        answers = await cancel(world, task_id, nowhere, nonsense, caller=world.bob)
        assert answers == dict.fromkeys((task_id, nowhere, nonsense), Cancelled("unknown"))
        assert user.cancels.empty()
        assert await world.store.cancels() == []

    async def test_an_id_is_answered_as_it_was_given(self, world):
        _, _, task_id, _ = await one_task(world)
        assert list(await cancel(world, task_id.upper())) == [task_id.upper()]

    async def test_what_has_ended_is_told_and_nobody_is_asked(self, world):
        _, user, task_id, _ = await one_task(world)
        await user.send(world.success(task_id))
        assert await cancel(world, task_id) == {task_id: Cancelled("success")}
        assert await cancel(world, task_id, running=False) == {task_id: Cancelled("success")}
        assert user.cancels.empty()
        assert await world.store.cancels() == []

    async def test_too_many_at_once_is_told(self, world):
        with pytest.raises(Refusal) as info:
            await cancel(world, *(new_id() for _ in range(11)))
        assert info.value.status == 422
        assert "at most 10" in info.value.message


class TestNotLost:
    async def test_a_service_that_is_started_again_asks_again(self, world):
        _, user, task_id, _ = await one_task(world)
        await cancel(world, task_id)
        again = await reborn(world)
        await back(again, user)
        assert await user.cancels.get() == Cancel(task_id, running=True)
        await user.send(world.cancelled(task_id))
        assert (await status(again, task_id)).status == "cancelled"
        assert await again.store.cancels() == []
        await again.stop()

    async def test_another_life_of_the_endpoint_is_asked_again(self, world):
        _, user, task_id, _ = await one_task(world)
        await user.report(start_unix=1)
        await cancel(world, task_id)
        assert await user.cancels.get()
        await user.report(start_unix=1)
        assert user.cancels.empty()
        await user.report(start_unix=2)
        assert await user.cancels.get() == Cancel(task_id, running=True)

    async def test_a_life_that_ends_without_an_answer_ends_the_task(self, world):
        core, user, task_id, _ = await one_task(world)
        await cancel(world, task_id)
        await world.uses.cancel.look_around()
        assert (await status(world, task_id)).status == "waiting-for-ep"
        world.clock.advance(76)
        await core.report()
        await world.uses.cancel.look_around()
        assert (await status(world, task_id)).status == "cancelled"
        await world.uses.cancel.look_around()
        assert [await user.cancels.get() for _ in range(2)] == [Cancel(task_id)] * 2  # asked, and told of the end
        assert user.cancels.empty()

    async def test_a_life_that_ends_takes_nothing_along_that_was_not_meant(self, world):
        """It was asked for what has not begun, and the task had."""
        core, user, task_id, _ = await one_task(world)
        await cancel(world, task_id, running=False)
        await user.say(world.seen(task_id))
        world.clock.advance(76)
        await core.report()
        await world.uses.cancel.look_around()
        assert (await status(world, task_id)).status == "running"

    async def test_a_wish_is_forgotten_with_its_task(self, world):
        core, user, function_id = await world.ready()
        await user.report(active=False)
        await user.connection.close()
        submitting = asyncio.ensure_future(world.submit(core, function_id))
        await core.report(heartbeat_period=0)
        while not submitting.done():
            world.clock.advance(1)
            await asyncio.sleep(0)
        [task_id] = (await submitting).tasks[function_id]
        await cancel(world, task_id)
        assert len(await world.store.cancels()) == 1
        world.clock.advance(11 * DAY)
        await world.uses.expire()
        assert await world.store.cancels() == []
        assert await world.store.tasks([task_id]) == {}

    async def test_the_queue_goes_with_the_endpoint(self, world):
        core, user, task_id, _ = await one_task(world)
        queue = user.credentials.control_queue_info.queue
        await user.connection.close()
        await cancel(world, task_id)
        assert await world.broker.depth(queue) == 1
        await world.uses.endpoints.delete(world.ada, core.id)
        assert await world.broker.depth(queue) == 0
