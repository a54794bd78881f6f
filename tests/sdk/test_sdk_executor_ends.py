"""Executors on their way out, and what comes in order: map, cancelling, shutdown, reloading, callbacks."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import warnings

import pytest

from afield import Client, Executor
from afield.errors import (
    ComputeAPIError,
    TaskExecutionFailed,
)
from afield.sdk.transport.memory import call_here
from afield.wire.messages import Notice

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20


def double(x):
    """Twice as much."""
    return 2 * x


def fail(text):
    raise ValueError(text)


# -- map -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 3, 100])
def test_map_is_the_standard_librarys(executor, chunksize):
    assert list(executor.map(double, range(10), chunksize=chunksize)) == [2 * x for x in range(10)]
    assert list(executor.map(pow, [2, 3, 4], [1, 2], chunksize=chunksize)) == [2, 9]
    assert list(executor.map(double, [], chunksize=chunksize)) == []


def test_chunks_are_tasks(executor, service):
    list(executor.map(double, range(10), chunksize=4))
    list(executor.map(double, range(10), chunksize=4))
    assert len(service.tasks_by_id) == 6
    assert len(service.functions) == 1


def test_map_raises_where_the_failure_is(executor):
    results = executor.map(lambda x: 1 // x, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_times_out(executor, service):
    service.work = lambda function, task: None
    with pytest.raises(TimeoutError):
        next(executor.map(double, [1], timeout=0.01))
    with pytest.raises(ValueError, match="chunksize"):
        executor.map(double, [1], chunksize=0)


@pytest.mark.parametrize("chunksize", [1, 2])
def test_closing_map_cancels_what_is_not_on_its_way(executor, service, chunksize, new_gate):
    executor.batch_size = 1
    assert executor.submit(double, 1).result(WAIT) == 2
    gate = new_gate("submit")
    service.pause = gate
    blocked = executor.submit(double, 1)
    assert gate.reached.wait(WAIT)
    results = executor.map(double, range(10), timeout=0.01, chunksize=chunksize)
    with pytest.raises(TimeoutError):
        next(results)
    service.pause = None
    gate.open()
    assert blocked.result(WAIT) == 2
    executor.shutdown()
    assert executor.task_count_submitted <= 3


# -- cancelling, shutting down ---------------------------------------------------------------------------------------


def test_shutdown_cancels_what_has_not_begun_if_asked(client, service, new_gate, in_loop):
    service.work = lambda function, task: None
    ex = Executor(ENDPOINT, client=client)
    runs, queued = ex.submit(double, 1), ex.submit(double, 2)
    in_loop(client.session().pump.flush)
    in_loop(lambda: service.notice(Notice(runs.task_id, "running", 1)))
    service.pause = gate = new_gate("submit")
    going = ex.submit(double, 3)
    assert gate.reached.wait(WAIT)
    waiting = [ex.submit(double, x) for x in range(5)]
    ex.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    gate.open()
    assert concurrent.futures.wait([going, queued], WAIT).not_done == set()
    assert going.cancelled()
    assert queued.cancelled()
    assert not runs.done()
    assert len(service.tasks_by_id) == 3
    task = service.tasks_by_id[runs.task_id]
    in_loop(lambda: service.finish(call_here(service.functions[task.function_id], task)))
    assert runs.result(WAIT) == 2


def test_wishes_to_cancel_are_sent_before_the_client_goes(service):
    service.work = lambda function, task: None
    with Client(transport=service, connector=service.broker) as client:
        ex = Executor(ENDPOINT, client=client)
        futures = [ex.submit(double, x) for x in range(3)]
        session = client.session()
        session.run(session.pump.flush)
        ex.shutdown(wait=False, cancel_futures=True)
    assert {task.state for task in service.tasks_by_id.values()} == {"cancelled"}
    assert all(future.done() for future in futures)


def test_shutdown_that_does_not_wait_loses_nothing(client):
    ex = Executor(ENDPOINT, client=client)
    futures = [ex.submit(double, x) for x in range(500)]
    ex.shutdown(wait=False)
    assert [future.result(WAIT) for future in futures] == [2 * x for x in range(500)]


def test_an_executor_and_a_client_that_nobody_keeps_still_deliver(service, in_turns):
    def send():
        return Executor(ENDPOINT, client=Client(transport=service, connector=service.broker)).submit(double, 4)

    future = send()
    gc.collect()
    assert future.result(WAIT) == 8
    del future
    gc.collect()
    assert in_turns(lambda: service.closed)


def test_streams_are_closed_when_nobody_needs_them(client, service, in_loop):
    with Executor(ENDPOINT, client=client) as ex:
        ex.submit(double, 1).result(WAIT)
        queue = f"somebody.{ex.task_group_id}"
        assert in_loop(lambda: service.broker.consumers(queue)) == 1
    assert in_loop(lambda: service.broker.consumers(queue)) == 0


def test_a_stream_outlives_its_executor_until_the_last_result(client, service, in_loop, in_turns):
    service.work = lambda function, task: None
    ex = Executor(ENDPOINT, client=client)
    future = ex.submit(double, 1)
    in_loop(client.session().pump.flush)
    ex.shutdown(wait=False)
    in_loop(
        lambda: service.finish(
            call_here(service.functions[next(iter(service.functions))], service.tasks_by_id[future.task_id])
        )
    )
    assert future.result(WAIT) == 2
    queue = f"somebody.{ex.task_group_id}"
    assert in_turns(lambda: in_loop(lambda: service.broker.consumers(queue)) == 0)


def test_closing_the_client_fails_what_is_open(client, service, in_loop):
    service.work = lambda function, task: None
    future = Executor(ENDPOINT, client=client).submit(double, 1)
    in_loop(client.session().pump.flush)
    client.close()
    with pytest.raises(Exception, match="closed before"):
        future.result(WAIT)
    assert service.closed


def test_an_executor_of_a_closed_client_starts_again(client, service):
    ex = Executor(ENDPOINT, client=client)
    assert ex.submit(double, 1).result(WAIT) == 2
    client.close()
    assert ex.submit(double, 2).result(WAIT) == 4
    assert len({task.group_id for task in service.tasks_by_id.values()}) == 1
    assert ex.task_count_submitted == 2


# -- reloading -------------------------------------------------------------------------------------------------------


def test_tasks_of_an_earlier_program_are_reloaded(service, client, pending, finish_all):
    with Client(transport=service, connector=service.broker) as earlier:
        ex = Executor(ENDPOINT, client=earlier)
        done = ex.submit(double, 1)
        failed = ex.submit(fail, "oh")
        concurrent.futures.wait([done, failed], WAIT)
        open_ = pending(ex, 3)
        group = ex.task_group_id
    with Executor(client=client) as later:
        found = later.reload_tasks(group)
        assert later.task_group_id == group
        assert len(found) == 5
        assert found[0].result(WAIT) == 2
        with pytest.raises(TaskExecutionFailed, match="oh"):
            found[1].result(WAIT)
        assert not any(future.done() for future in found[2:])
        finish_all(open_)
        assert sorted(future.result(WAIT) for future in found[2:]) == [0, 2, 4]


def test_reloading_keeps_the_futures_that_are_open_here(executor, service, pending, finish_all):
    futures = pending(executor, 3)
    assert set(executor.reload_tasks()) == set(futures)
    finish_all(futures)
    assert [future.result(WAIT) for future in futures] == [0, 2, 4]


def test_reloading_without_a_group_or_of_one_that_does_not_exist(executor):
    with pytest.raises(ValueError, match="no task group"):
        executor.reload_tasks()
    with pytest.raises(ComputeAPIError, match=ENDPOINT):
        executor.reload_tasks(ENDPOINT)
    assert executor.task_group_id is None
    first = executor.submit(double, 1)
    assert first.result(WAIT) == 2
    with pytest.raises(ComputeAPIError, match=ENDPOINT):
        executor.reload_tasks(ENDPOINT)
    assert [future.task_id for future in executor.reload_tasks()] == [first.task_id]


# -- the thread ------------------------------------------------------------------------------------------------------


def test_a_callback_that_waits_gets_an_error_and_not_a_deadlock(executor, service, pending, finish_all):
    outcome, called = [], threading.Event()

    def wait(future):
        try:
            executor.submit(double, 1).result(WAIT)
        except RuntimeError as error:
            outcome.append(str(error))
        try:
            executor.client.version_check()
        except RuntimeError as error:
            outcome.append(str(error))
        called.set()

    (future,) = pending(executor, 1)
    future.add_done_callback(wait)
    finish_all([future])
    assert called.wait(WAIT)
    assert len(outcome) == 2
    assert "must not block" in outcome[0]
    service.work = call_here


def test_callbacks_may_submit(executor, service, pending, finish_all):
    chained = concurrent.futures.Future()
    (future,) = pending(executor, 1)
    future.add_done_callback(lambda f: chained.set_result(executor.submit(double, 21)))
    service.work = call_here
    finish_all([future])
    assert chained.result(WAIT).result(WAIT) == 42


def test_many_threads_submit_at_once(executor):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: [executor.submit(double, x).result(WAIT) for x in range(n)], range(20)))
    assert results == [[2 * x for x in range(n)] for n in range(20)]


def test_importing_and_constructing_warns_of_nothing(client):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Executor(ENDPOINT, client=client).shutdown()
