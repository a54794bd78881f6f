"""Cancelling, wherever the task is, and hearing where it is."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import warnings

import pytest

from afield import Client, Executor
from afield.errors import ComputeAPIError, ServiceUnreachable, TaskCancelled
from afield.sdk.outcome import Arrived
from afield.sdk.retry import TryAgain
from afield.sdk.transport.memory import stop_here
from afield.serialize import ComputeSerializer
from afield.states import TaskState
from afield.wire.messages import ErrorDetails, Notice, Result
from afield.wire.rest import TaskDocument

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20


def double(x):
    """Twice as much."""
    return 2 * x


def cancelled(futures):
    return [future.cancelled() for future in futures]


# -- where it is -----------------------------------------------------------------------------------------------------


def test_states_are_pushed(executor, service, pending, in_loop, in_turns, finish_all):
    (future,) = pending(executor, 1)
    assert future.state is TaskState.WAITING_FOR_ENDPOINT
    service.requests.clear()
    for state, at, attempt in (("waiting-for-launch", 5, 1), ("running", 6, 1), ("waiting-for-launch", 7, 2)):
        in_loop(lambda: service.notice(Notice(future.task_id, state, at * 10**9, attempt)))  # noqa: B023
        assert in_turns(lambda: (future.state, future.since, future.attempt) == (state, at, attempt))  # noqa: B023
    finish_all([future])
    assert future.result(WAIT) == 0
    assert future.state is TaskState.SUCCESS
    assert service.requests == []


def test_the_last_of_quick_attempts_is_known_by_the_end_itself(executor, service, pending, in_loop):
    well, badly = pending(executor, 2)
    tries = {"attempts": [{"error": "lost"}, {"error": "lost"}]}
    lost = ErrorDetails("WorkerLost", "gone")
    in_loop(
        lambda: service.finish(
            Result(well.task_id, ComputeSerializer().serialize(3).encode(), details=tries),
            Result(badly.task_id, b"gone", lost, details=tries),
        )
    )
    assert well.result(WAIT) == 3
    assert badly.exception(WAIT) is not None
    assert (well.attempt, badly.attempt) == (3, 3)
    assert repr(well).endswith(", attempt 3>")


def test_a_notice_that_comes_before_the_answer(executor, service, new_gate, in_turns):
    assert executor.submit(double, 1).result(WAIT) == 2
    told = threading.Event()

    async def notice_and_wait():
        *_, task = service.tasks_by_id.values()
        await service.notice(Notice(task.id, "running", 5))
        told.set()
        await gate.event.wait()

    gate = new_gate()
    service.work = lambda function, task: None
    service.pause_answer = notice_and_wait
    future = executor.submit(double, 2)
    assert told.wait(WAIT)
    assert future.state is TaskState.UNSENT
    gate.open()
    assert in_turns(lambda: future.state is TaskState.RUNNING)


def test_strange_notices_disturb_nobody(executor, service, pending, in_loop, in_turns, finish_all):
    (future,) = pending(executor, 1)
    for state in ("on the moon", "success", "unsent"):
        in_loop(lambda: service.publish(str(executor.task_group_id), encoded(Notice(future.task_id, state, 5))))  # noqa: B023
    in_loop(lambda: service.publish(str(executor.task_group_id), encoded(Notice("nobody's", "running", 5))))
    in_loop(lambda: service.notice(Notice(future.task_id, "running", 6)))
    assert in_turns(lambda: future.state is TaskState.RUNNING)
    finish_all([future])
    assert future.result(WAIT) == 0


def encoded(*notices):
    from afield.wire import v2

    return v2.encode_notices(notices)


def test_a_reloaded_task_knows_where_it_is(service, executor, pending, in_loop):
    (future,) = pending(executor, 1)
    in_loop(lambda: service.notice(Notice(future.task_id, "running", 7 * 10**9)))
    with Client(transport=service, connector=service.broker) as other:
        (again,) = Executor(client=other).reload_tasks(executor.task_group_id)
        assert (again.state, again.since, again.endpoint_id) == (TaskState.RUNNING, 7.0, None)
        assert again.cancel(WAIT)
    assert concurrent.futures.wait([future], WAIT).done
    assert future.cancelled()


# -- cancelling ------------------------------------------------------------------------------------------------------


def test_what_was_not_sent_is_cancelled_at_once(executor, service, new_gate):
    service.pause = gate = new_gate("submit")
    going = executor.submit(double, 1)
    assert gate.reached.wait(WAIT)
    waiting = executor.submit(double, 2)
    assert waiting.cancel()
    assert waiting.state is TaskState.CANCELLED
    assert concurrent.futures.wait([waiting], 0).done == {waiting}
    gate.open()
    assert going.result(WAIT) == 2
    executor.shutdown()
    assert len(service.tasks_by_id) == 1
    assert service.cancels == []


def test_what_is_being_sent_is_cancelled_as_soon_as_it_has_a_name(executor, service, new_gate, in_turns):
    service.work = lambda function, task: None
    service.pause = gate = new_gate("submit")
    future = executor.submit(double, 1)
    assert gate.reached.wait(WAIT)
    assert future.running()
    assert not future.cancel(timeout=0)
    gate.open()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(WAIT)
    assert future.cancelled()
    assert [request.task_ids for request in service.cancels] == [[future.task_id]]


def test_a_wish_for_a_submit_that_is_refused_asks_nothing(executor, service, new_gate):
    service.pause = gate = new_gate("submit")
    service.troubles["submit"].append(ComputeAPIError(422, "SEMANTICALLY_INVALID", "the template is wrong"))
    future = executor.submit(double, 1)
    assert gate.reached.wait(WAIT)
    assert not future.cancel(timeout=0)
    gate.open()
    with pytest.raises(ComputeAPIError):
        future.result(WAIT)
    assert executor.submit(double, 1).result(WAIT) == 2
    assert "cancel" not in service.requests


def test_what_the_service_has_is_cancelled_and_confirmed(executor, service, pending):
    first, second = pending(executor, 2)
    assert first.cancel(WAIT)
    assert cancelled([first, second]) == [True, False]
    assert service.tasks_by_id[first.task_id].state == "cancelled"
    with pytest.raises(concurrent.futures.CancelledError):
        first.result()
    assert first.cancel()
    assert len(service.cancels) == 1


def test_an_endpoint_that_takes_its_time_is_waited_for(executor, service, pending, in_loop):
    (future,) = pending(executor, 1)
    asked = threading.Event()

    def later(task, running):
        asked.set()

    service.stop = later
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(future.cancel, WAIT)
        assert asked.wait(WAIT)
        assert not future.cancelled()
        in_loop(lambda: service.finish(stop_here(service.tasks_by_id[future.task_id], True)))
        assert waiting.result(WAIT)


def test_who_has_waited_long_enough_may_hear_of_it_later(executor, service, pending, in_loop):
    (future,) = pending(executor, 1)
    service.stop = lambda task, running: None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not future.cancel(timeout=0.001)
    in_loop(client_flush(executor))
    assert not future.done()
    in_loop(lambda: service.finish(stop_here(service.tasks_by_id[future.task_id], True)))
    assert concurrent.futures.wait([future], WAIT).done
    assert future.cancelled()


def client_flush(executor):
    return executor.client.session().pump.flush


def test_a_refusal_says_why_and_the_task_goes_on(executor, service, pending, finish_all):
    (future,) = pending(executor, 1)
    service.stop = lambda task, running: Notice(task.id, "running", 5, refusal="threads cannot be stopped")
    with pytest.warns(UserWarning, match=f"{future.task_id}.*cannot be cancelled: threads cannot be stopped") as caught:
        assert not future.cancel(WAIT)
    assert caught[0].filename == __file__
    assert future.refusal == "threads cannot be stopped"
    assert future.state is TaskState.RUNNING
    finish_all([future])
    assert future.result(WAIT) == 0


def test_a_task_that_the_service_forgot_cannot_be_cancelled(executor, service, pending):
    (future,) = pending(executor, 1)
    service.tasks_by_id.clear()
    with pytest.warns(UserWarning, match="does not know the task"):
        assert not future.cancel(WAIT)


def test_what_has_ended_meanwhile_keeps_its_end(executor, service, pending):
    from afield.sdk.transport.memory import call_here

    (future,) = pending(executor, 1)
    service.stop = lambda task, running: call_here(service.functions[task.function_id], task)
    assert not future.cancel(WAIT)
    assert future.result(WAIT) == 0


def test_a_service_that_is_away_loses_no_wish(executor, service, pending, clock):
    (future,) = pending(executor, 1)
    service.troubles["cancel"].extend(TryAgain(ServiceUnreachable("nobody answers")) for _ in range(5))
    assert future.cancel(WAIT)
    assert len(clock.slept) >= 5


def test_a_service_that_stays_away_is_told(executor, service, pending):
    (future,) = pending(executor, 1)
    service.troubles["cancel"].extend(TryAgain(ServiceUnreachable("nobody answers")) for _ in range(1000))
    with pytest.warns(UserWarning, match="nobody answers"):
        assert not future.cancel(WAIT)
    service.troubles.clear()
    assert future.cancel(WAIT)
    assert future.refusal == ""


def test_a_request_that_breaks_in_a_way_that_nobody_foresaw_is_told_too(executor, service, pending):
    futures = pending(executor, 2)
    service.troubles["cancel"].append(RuntimeError("never seen before"))
    with pytest.warns(UserWarning, match="RuntimeError: never seen before"):
        assert not futures[0].cancel(WAIT)
    assert futures[1].cancel(WAIT)


def test_many_wishes_share_requests(executor, service, pending, new_gate, in_turns):
    futures = pending(executor, 500)
    service.pause = gate = new_gate("cancel")
    assert not any(future.cancel(timeout=0) for future in futures)
    assert gate.reached.wait(WAIT)
    gate.open()
    concurrent.futures.wait(futures, WAIT)
    assert all(cancelled(futures))
    assert sum(len(request.task_ids) for request in service.cancels) == 500
    assert len(service.cancels) < 10


def test_what_another_program_cancels_is_cancelled_here(executor, service, pending, in_loop):
    one, other = pending(executor, 2)
    in_loop(lambda: service.finish(stop_here(service.tasks_by_id[one.task_id], True)))
    assert concurrent.futures.wait([one], WAIT).done
    assert cancelled([one, other]) == [True, False]
    service.tasks_by_id[other.task_id].end(stop_here(service.tasks_by_id[other.task_id], True))
    in_loop(lambda: service.broker.sever("client"))  # so that it is asked for
    assert concurrent.futures.wait([other], WAIT).done
    assert other.cancelled()


def test_a_cancelled_task_that_somebody_asks_for():
    arrived = Arrived.from_document(TaskDocument("t", "cancelled", exception="somebody wanted it", completion_t="1.5"))
    assert arrived is not None
    assert arrived.cancelled
    value, error = arrived.open()
    assert value is None
    assert isinstance(error, TaskCancelled)
    assert "somebody wanted it" in str(error)


def test_a_callback_may_ask_and_does_not_wait(executor, service, pending, finish_all):
    first, second = pending(executor, 2)
    answers = []
    first.add_done_callback(lambda _: answers.append(second.cancel()))
    finish_all([first])
    assert concurrent.futures.wait([second], WAIT).done
    assert second.cancelled()
    assert answers == [False]


def test_nothing_waits_for_a_stream_because_of_what_was_cancelled(client, service, pending, in_loop, in_turns):
    class Silent(type(service)):
        async def finish(self, *results):
            for result in results:
                self.tasks_by_id[result.task_id].end(result)

    silent = Silent(work=lambda function, task: None)
    with Client(transport=silent, connector=silent.broker) as quiet:
        ex = Executor(ENDPOINT, client=quiet)
        future = ex.submit(double, 1)
        in_loop(quiet.session().pump.flush)
        assert future.cancel(WAIT)
        ex.shutdown()
        queue = f"somebody.{ex.task_group_id}"
        assert in_turns(lambda: in_loop(lambda: silent.broker.consumers(queue)) == 0)


# -- asyncio, and concurrent.futures ---------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_awaiting_in_every_way(executor, service):
    assert await executor.submit(double, 1) == 2
    assert await asyncio.wrap_future(executor.submit(double, 2)) == 4
    assert await asyncio.gather(*[executor.submit(double, x) for x in range(5)]) == [0, 2, 4, 6, 8]
    assert await asyncio.wait_for(executor.submit(double, 3), WAIT) == 6
    async with asyncio.timeout(WAIT):
        assert await executor.submit(double, 4) == 8
    with pytest.raises(ZeroDivisionError):
        await executor.submit(divmod, 1, 0)


@pytest.mark.anyio
async def test_who_stops_awaiting_asks_for_the_end_of_the_task(executor, service):
    service.work = lambda function, task: None
    future = executor.submit(double, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await future
    await asyncio.to_thread(concurrent.futures.wait, [future], WAIT)
    assert future.cancelled()

    second = executor.submit(double, 1)

    async def wait():
        return await second

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(concurrent.futures.wait, [second], WAIT)
    assert second.cancelled()
    assert {task.state for task in service.tasks_by_id.values()} <= {"cancelled"}


@pytest.mark.anyio
async def test_cancelling_in_a_loop_asks_and_does_not_wait(executor, service, pending):
    (future,) = await asyncio.to_thread(pending, executor, 1)
    service.stop = lambda task, running: None
    assert future.cancel(timeout=None) is False
    assert not future.done()


@pytest.mark.anyio
async def test_who_awaits_what_another_program_cancels_is_told(executor, service, pending, in_loop):
    (future,) = await asyncio.to_thread(pending, executor, 1)
    waiting = asyncio.wrap_future(future)
    task = service.tasks_by_id[future.task_id]
    await asyncio.to_thread(in_loop, lambda: service.finish(stop_here(task, True)))
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_concurrent_futures_sees_cancelled_ones_end(executor, service, pending, finish_all):
    futures = pending(executor, 6)
    assert all(future.cancel(WAIT) for future in futures[:3])
    finish_all(futures[3:])
    assert set(concurrent.futures.as_completed(futures, WAIT)) == set(futures)
    assert concurrent.futures.wait(futures, WAIT).not_done == set()
    assert cancelled(futures) == [True] * 3 + [False] * 3
