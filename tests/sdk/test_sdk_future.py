"""The future that makes its Condition late: what concurrent.futures promises, under every interleaving we can force."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import re
import sys
import threading
import time
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, InvalidStateError

import pytest

from afield.errors import DeserializationError
from afield.sdk.coalesce import Group, Lane, Options
from afield.sdk.future import ComputeFuture
from afield.sdk.notebook import drawn
from afield.states import TaskState
from afield.wire.messages import CallOptions


class Letter:
    """A sealed outcome that counts how often it was opened."""

    def __init__(self, value=None, error=None, failed=False):
        self.value, self.error, self.failed, self.opened = value, error, failed, 0

    def open(self):
        self.opened += 1
        return self.value, self.error


@pytest.fixture(autouse=True)
def switching():
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_thread(function, *args):
    outcome = []

    def run():
        try:
            outcome.append((function(*args), None))
        except BaseException as error:  # noqa: BLE001 - raised again by who joins
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()

    def join():
        thread.join(20)
        assert not thread.is_alive(), "it hangs"
        value, error = outcome[0]
        if error is not None:
            raise error
        return value

    return join


def test_a_future_that_nobody_waits_for_makes_no_condition():
    future = ComputeFuture()
    assert not future.done()
    assert future.set_running_or_notify_cancel()
    assert future.running()
    future.set_result(7)
    assert future.result() == 7
    assert future._lazy is None


def test_it_is_a_concurrent_future():
    future = ComputeFuture("an id")
    assert isinstance(future, concurrent.futures.Future)
    assert future.task_id == "an id"


def at(text):
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


def test_it_says_where_it_is_and_since_when():
    future = ComputeFuture()
    assert future.state is TaskState.UNSENT
    assert (future.attempt, future.endpoint_id, future.label) == (1, None, None)
    assert re.fullmatch(r"<ComputeFuture without a task yet: unsent since \d{4}-\d\d-\d\d [\d:]{8}>", repr(future))
    future.lane = Lane(Group("g"), "e1", Options(call=CallOptions(label="red & <green>")))
    future.set_running_or_notify_cancel()
    future.accepted("t1", at("2025-01-02 03:04:05"))
    assert (future.endpoint_id, future.label) == ("e1", "red & <green>")
    future.told(TaskState.RUNNING, at("2025-01-02 03:05:00"), (2, 7))
    said = "<ComputeFuture t1 'red & <green>': running on endpoint e1 since 2025-01-02 03:05:00, attempt 2>"
    assert repr(future) == said
    shown = future._repr_mimebundle_()
    assert shown["text/plain"] == said
    assert "red &amp; &lt;green&gt;" in shown["text/html"]
    drawn_then = drawn(future, future.since + 7300)
    assert "2025-01-02 03:05:00 (2 h ago)" in drawn_then
    assert "<td style='text-align:left'>running</td>" in drawn_then
    before = time.time()
    future.set_result(1)
    assert future.state is TaskState.SUCCESS
    assert before <= future.since <= time.time()


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda f: f.set_result(1), TaskState.SUCCESS),
        (lambda f: f.set_exception(OSError()), TaskState.FAILED),
        (lambda f: f.set_sealed(Letter(1)), TaskState.SUCCESS),
        (lambda f: f.set_sealed(Letter(failed=True)), TaskState.FAILED),
        (lambda f: f.cancel(), TaskState.CANCELLED),
        (lambda f: f.set_cancelled(), TaskState.CANCELLED),
    ],
)
def test_its_end_is_its_last_state(end, state):
    future = ComputeFuture()
    end(future)
    assert future.state is state
    future.told(TaskState.RUNNING, 1.0, (5, 5))
    assert (future.state, future.attempt) == (state, 1)


def test_what_is_late_changes_nothing():
    future = ComputeFuture()
    future.set_running_or_notify_cancel()
    future.accepted("t", 1.0)
    future.told(TaskState.RUNNING, 3.0, (1, 30))
    future.told(TaskState.WAITING_FOR_LAUNCH, 2.0, (1, 20))  # was overtaken
    assert (future.state, future.since) == (TaskState.RUNNING, 3.0)
    future.told(TaskState.WAITING_FOR_LAUNCH, 4.0, (2, 40))  # it runs again
    assert (future.state, future.since, future.attempt) == (TaskState.WAITING_FOR_LAUNCH, 4.0, 2)
    future.told(TaskState.RUNNING, 3.0, (1, 30))
    assert (future.state, future.attempt) == (TaskState.WAITING_FOR_LAUNCH, 2)
    future.told(TaskState.RECEIVED, 5.0)  # the table has no such move
    assert (future.state, future.since) == (TaskState.WAITING_FOR_LAUNCH, 4.0)


def test_a_refusal_wakes_who_waits_for_a_result_no_further_than_to_look():
    future = ComputeFuture()
    waiting = in_thread(future.result, 20)
    while future._lazy is None:  # until it waits, or is about to
        pass
    future.refused("threads cannot be stopped")
    future.set_result(1)
    assert waiting() == 1
    assert future.refusal == "threads cannot be stopped"


def test_waiting_times_out():
    with pytest.raises(TimeoutError):
        ComputeFuture().result(timeout=0)
    with pytest.raises(TimeoutError):
        ComputeFuture().exception(timeout=0.001)


def test_an_exception_is_raised_and_returned():
    future = ComputeFuture()
    future.set_exception(KeyError("x"))
    assert isinstance(future.exception(), KeyError)
    with pytest.raises(KeyError):
        future.result()


def test_it_ends_once():
    for end in (lambda f: f.set_result(1), lambda f: f.set_exception(OSError()), lambda f: f.set_sealed(Letter(1))):
        for again in (
            lambda f: f.set_result(2),
            lambda f: f.set_exception(OSError()),
            lambda f: f.set_sealed(Letter()),
        ):
            for waited in (False, True):
                future = ComputeFuture()
                if waited:
                    assert future._condition is future._condition
                end(future)
                with pytest.raises(InvalidStateError):
                    again(future)
                assert future.cancel() is False


def test_cancelling_before_and_after_it_is_on_its_way():
    future = ComputeFuture()
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert future.done()
    assert not future.set_running_or_notify_cancel()
    with pytest.raises(CancelledError):
        future.result()
    with pytest.raises(CancelledError):
        future.exception()
    future = ComputeFuture()
    future.set_running_or_notify_cancel()
    assert not future.cancel()
    assert not future.cancelled()


def test_a_cancelled_future_counts_as_done_for_those_who_wait():
    future = ComputeFuture()
    waiting = in_thread(concurrent.futures.wait, [future], 20)
    future.cancel()
    done, not_done = waiting()
    assert done == {future}
    assert not not_done


def test_a_sealed_result_is_opened_once_by_who_asks():
    letter = Letter("inside")
    future = ComputeFuture()
    future.set_sealed(letter)
    assert future.done()
    assert letter.opened == 0
    assert future.result() == "inside"
    assert future.result() == "inside"
    assert future.exception() is None
    assert letter.opened == 1


def test_a_sealed_failure():
    future = ComputeFuture()
    future.set_sealed(Letter(error=DeserializationError("no")))
    with pytest.raises(DeserializationError):
        future.result()


def test_who_opens_at_the_same_time_gets_the_same_object():
    for _ in range(200):
        future = ComputeFuture()

        class Fresh(Letter):
            def open(self):
                return object(), None

        future.set_sealed(Fresh())
        start = threading.Barrier(3)

        def look(future=future, start=start):
            start.wait(20)
            return future.result()

        joins = [in_thread(look) for _ in range(3)]
        assert len({id(join()) for join in joins} | {id(future.result())}) == 1


@pytest.mark.parametrize("count", [1, 8])
def test_race_of_one_who_ends_it_and_those_who_wait(count):
    for round_ in range(300):
        future = ComputeFuture()
        start = threading.Barrier(count + 1)
        called = []

        def wait(future=future, start=start, called=called):
            start.wait(20)
            future.add_done_callback(called.append)
            return future.result(20)

        joins = [in_thread(wait) for _ in range(count)]
        start.wait(20)
        future.set_result(round_)
        assert [join() for join in joins] == [round_] * count
        assert called == [future] * count


def test_race_of_cancelling_and_sending():
    for _ in range(500):
        future = ComputeFuture()
        start = threading.Barrier(2)

        def send(future=future, start=start):
            start.wait(20)
            return future.set_running_or_notify_cancel()

        join = in_thread(send)
        start.wait(20)
        cancelled = future.cancel()
        assert join() is not cancelled
        assert future.cancelled() is cancelled


@pytest.mark.parametrize("how", [ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION])
def test_race_of_ending_many_and_waiting_for_them(how):
    for _ in range(50):
        futures = [ComputeFuture() for _ in range(20)]
        start = threading.Barrier(3)

        def end(some, start=start):
            start.wait(20)
            for future in some:
                future.set_result(None)

        joins = [in_thread(end, futures[:10]), in_thread(end, futures[10:])]
        start.wait(20)
        done, not_done = concurrent.futures.wait(futures, timeout=20, return_when=how)
        for join in joins:
            join()
        assert done
        if how != FIRST_COMPLETED:
            assert len(done) == 20
        assert done | not_done == set(futures)


def test_race_of_ending_many_and_taking_them_as_they_are_completed():
    for _ in range(50):
        futures = [ComputeFuture(str(i)) for i in range(20)]
        start = threading.Barrier(2)

        def end(futures=futures, start=start):
            start.wait(20)
            for future in futures:
                future.set_sealed(Letter(future.task_id))

        join = in_thread(end)
        start.wait(20)
        seen = [future.result() for future in concurrent.futures.as_completed(futures, timeout=20)]
        join()
        assert sorted(seen) == sorted(str(i) for i in range(20))


def test_who_stops_at_the_first_exception_hears_of_a_sealed_one():
    bad, never = ComputeFuture(), ComputeFuture()
    waiting = in_thread(lambda: concurrent.futures.wait([bad, never], 20, FIRST_EXCEPTION))
    while not bad._waiters:  # until it waits
        pass
    bad.set_sealed(Letter(error=DeserializationError("unreadable")))  # not known to be a failure before it is opened
    done, not_done = waiting()
    assert done == {bad}
    assert not_done == {never}
    never.cancel()


def test_callbacks_are_called_once_also_late_and_in_order():
    future, calls = ComputeFuture(), []
    future.add_done_callback(lambda f: calls.append((1, f)))
    future.add_done_callback(lambda f: calls.append((2, f)))
    future.set_result(None)
    future.add_done_callback(lambda f: calls.append((3, f)))
    assert calls == [(1, future), (2, future), (3, future)]


def test_a_callback_that_raises_is_logged_and_disturbs_nobody(caplog):
    future, calls = ComputeFuture(), []
    future.add_done_callback(lambda f: 1 / 0)
    future.add_done_callback(calls.append)
    future.set_result(None)
    assert calls == [future]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.anyio
async def test_it_can_be_awaited():
    future = ComputeFuture()
    threading.Timer(0, future.set_sealed, [Letter("x")]).start()
    assert await future == "x"
    failed = ComputeFuture()
    failed.set_exception(KeyError())
    with pytest.raises(KeyError):
        await failed
    assert await asyncio.wrap_future(future) == "x"


@pytest.mark.anyio
async def test_cancelling_who_awaits_cancels_what_was_not_sent():
    future = ComputeFuture()
    waiting = asyncio.wrap_future(future)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)  # its callbacks are called in the next turn of the loop
    assert future.cancelled()


def test_what_newer_pythons_look_at():
    future = ComputeFuture()
    assert future._get_snapshot() == (False, False, None, None)
    future.set_sealed(Letter(3))
    assert future._get_snapshot() == (True, False, 3, None)


def test_a_future_does_not_travel():
    with pytest.raises(TypeError, match="send what its result"):
        pickle.dumps(ComputeFuture())
