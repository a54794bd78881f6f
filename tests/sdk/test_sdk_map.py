"""map and starmap: in order or as they come, lazily, and what becomes of the rest."""

from __future__ import annotations

import concurrent.futures
import functools
import gc
import itertools
import math
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import warnings

import pytest

from afield import DependencyFailed, Executor, TaskState
from afield.sdk.mapping import WINDOW
from afield.sdk.transport.memory import call_here
from afield.serialize import (
    AllCodeStrategies,
    ComputeSerializer,
    DillCode,
    DillCodeSource,
    DillCodeTextInspect,
    PureSourceDill,
    PureSourceTextInspect,
)

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20


def double(x):
    return 2 * x


def invert(x):
    return 1 // x


@pytest.fixture
def taken():
    """Counts what was taken of an input."""

    class Counted:
        def __init__(self):
            self.count = 0

        def __call__(self, values):
            for value in values:
                self.count += 1
                yield value

    return Counted()


@pytest.fixture
def silent(service):
    """Endpoints that do nothing."""
    service.work = lambda function, task: None


@pytest.fixture
def flush(executor, in_loop):
    """Returns when all that was submitted is accepted."""

    def wait():
        in_loop(executor.client.session().pump.flush)

    return wait


# -- what comes out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 3, 100])
@pytest.mark.parametrize("buffersize", [None, 1, 2])
@pytest.mark.parametrize("ordered", [True, False])
def test_every_combination_gives_the_same_results(executor, chunksize, buffersize, ordered):
    options = {"chunksize": chunksize, "buffersize": buffersize, "ordered": ordered}
    found = list(executor.map(double, range(10), **options))
    assert (found if ordered else sorted(found)) == [2 * x for x in range(10)]
    found = list(executor.starmap(pow, [(2, 1), (3, 2)], **options))
    assert (found if ordered else sorted(found)) == [2, 9]
    assert list(executor.map(double, [], **options)) == []
    assert list(executor.map(pow, [2, 3, 4], [1, 2], timeout=WAIT, **options)) in ([2, 9], [9, 2])


def test_unordered_results_come_as_they_come(executor, service, silent, flush, finish_all):
    sent = []
    service.work = lambda function, task: sent.append(task)
    results = executor.map(double, range(3), ordered=False)
    flush()
    for place in (2, 0, 1):
        finish = call_here(next(iter(service.functions.values())), sent[place])
        executor.client.session().run(service.finish, finish)
        assert next(results) == 2 * place
    with pytest.raises(StopIteration):
        next(results)


def test_it_raises_what_a_call_raised_and_then_ends(executor):
    results = executor.map(invert, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_one_failure_fails_its_task(executor):
    results = executor.map(invert, [1, 1, 1, 0], chunksize=2)
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("ordered", [True, False])
def test_time_is_out_for_what_is_not_there(executor, silent, ordered):
    results = executor.map(double, [1], timeout=0, ordered=ordered)
    with pytest.raises(TimeoutError):
        next(results)
    assert list(results) == []


def test_what_is_there_comes_after_the_time_too(executor, finish_all):
    results = executor.map(double, range(3), timeout=0.0)
    executor.shutdown()
    assert list(results) == [0, 2, 4]


@pytest.mark.parametrize("chunksize", [1, 2])
def test_futures_in_the_input_stand_for_their_values(executor, chunksize):
    first = executor.map(double, [executor.submit(double, x) for x in range(5)], chunksize=chunksize)
    assert list(first) == [4 * x for x in range(5)]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        plain = [(pool.submit(double, x), 2) for x in range(5)]
        assert list(executor.starmap(pow, plain, chunksize=chunksize)) == [4 * x * x for x in range(5)]
    with pytest.raises(DependencyFailed, match="argument 1"):
        list(executor.map(double, [1, executor.submit(invert, 0)], chunksize=chunksize))


# -- many calls in one task ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "strategy",
    [DillCode, DillCodeSource, DillCodeTextInspect, PureSourceTextInspect, PureSourceDill, AllCodeStrategies],
)
def test_functions_that_go_as_source_do_so_in_chunks_too(client, strategy):
    with Executor(ENDPOINT, client=client, serializer=ComputeSerializer(strategy)) as ex:
        assert list(ex.map(double, range(5), chunksize=2)) == [0, 2, 4, 6, 8]


def test_all_that_can_be_called_can_be_in_chunks(executor):
    def closure(x):
        return x + bound

    bound = 1
    for function in (closure, lambda x: x + 1, (1).__add__, functools.partial(pow, exp=1), str, math.sqrt):
        assert list(executor.map(function, [1, 4], chunksize=2)) == [function(1), function(4)]


def test_a_script_in_chunks_is_read_by_any_python():
    """Where the endpoint has another Python, such a function has to go as source."""
    program = """
        def calls(x):
            return helper(x)

        def helper(x):
            return 2 * x

        from afield.sdk.chunks import in_chunks
        from afield.serialize import ComputeSerializer
        from afield.serialize.portable import portable

        made = in_chunks(calls)
        text = portable(made)
        del calls, helper, made
        print(text[:3], ComputeSerializer().deserialize(text)([(1,), (2,)]))
    """
    with tempfile.TemporaryDirectory() as directory:
        script = pathlib.Path(directory, "script.py")
        script.write_text(textwrap.dedent(program))
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("st\n [2, 4]\n", "")


# -- how much is taken -----------------------------------------------------------------------------------------------


def test_an_endless_input_works_and_at_most_a_window_is_under_way(executor, service, taken):
    with executor.map(double, taken(itertools.count())) as results:
        assert taken.count == WINDOW
        assert [next(results) for _ in range(10)] == [2 * x for x in range(10)]
        assert taken.count == WINDOW + 9  # the next goes when the next is asked for
    executor.shutdown()
    assert len(service.tasks_by_id) <= WINDOW + 9


def test_the_first_calls_are_sent_before_anybody_asks(executor, service, silent, flush, taken):
    results = executor.map(double, taken(range(10)), buffersize=4)
    flush()
    assert len(service.tasks_by_id) == taken.count == 4
    results.close()


def test_buffersize_counts_tasks_that_were_sent_and_not_handed_out(executor, taken):
    results = executor.map(double, taken(itertools.count()), buffersize=2, chunksize=3)
    assert taken.count == 6
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    assert taken.count == 6
    assert next(results) == 6
    assert taken.count == 9
    results.close()


def test_a_large_chunk_makes_the_window_smaller(executor, taken):
    executor.map(double, taken(itertools.count()), chunksize=1000).close()
    assert WINDOW <= taken.count <= WINDOW + 1000


# -- input that ends badly -------------------------------------------------------------------------------------------


def broken():
    yield 1
    yield 2
    raise OSError("the disk is gone")


@pytest.mark.parametrize("buffersize", [None, 1])
def test_an_input_that_raises_ends_it_there(executor, buffersize):
    results = executor.map(double, broken(), buffersize=buffersize)
    assert [next(results), next(results)] == [2, 4]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)
    assert list(results) == []


def test_with_nothing_before_it_it_is_raised_at_once(executor):
    with pytest.raises(OSError, match="gone"):
        executor.map(double, (x for x in broken() if x > 2))
    with pytest.raises(TypeError, match=r"number 2 is 5 \(an int\)"):
        executor.map(pow, [1], 5)
    with pytest.raises(Exception, match="argument 1 of double cannot be sent"):
        executor.map(double, [(x for x in "a generator")])


def test_starmap_says_which_element_is_none(executor):
    results = executor.starmap(pow, [(2, 2), 3])
    assert next(results) == 4
    with pytest.raises(TypeError, match="element 2 is 3; map takes single arguments"):
        next(results)
    with pytest.raises(TypeError, match="element 1 is 'ab'"):
        executor.starmap(pow, ["ab"])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"chunksize": 0}, ValueError, "chunksize .* from 1"),
        ({"chunksize": 1.5}, TypeError, "chunksize .* is 1.5"),
        ({"buffersize": 0}, ValueError, "buffersize .* from 1"),
        ({"buffersize": True}, TypeError, "buffersize .* True"),
        ({"total": -1}, ValueError, "total .* from 0"),
        ({"timeout": "5"}, TypeError, "timeout should be a number of seconds"),
        ({"timeout": -1}, ValueError, "timeout .* at least 0"),
    ],
)
def test_parameters_are_checked_before_anything_is_sent(executor, service, taken, options, error, says):
    with pytest.raises(error, match=says):
        executor.map(double, taken([1]), **options)
    assert (taken.count, service.requests) == (0, [])


# -- the rest --------------------------------------------------------------------------------------------------------


@pytest.fixture
def cancelled(service, in_turns):
    """Whether so many tasks of the service end as cancelled."""

    def wait(count):
        def ends():
            return sum(1 for task in service.tasks_by_id.values() if task.result is not None and task.result.error)

        return in_turns(lambda: ends() == count)

    return wait


def close(results):
    results.close()
    return results


def leave(results):
    with results:
        pass
    return results


def fail(results):
    with pytest.raises(TimeoutError):
        next(results)
    return results


@pytest.mark.parametrize("way", [close, leave, fail])
def test_whoever_stops_cancels_the_rest_wherever_it_is(executor, silent, flush, cancelled, way):
    results = executor.map(double, range(8), timeout=0)
    flush()
    assert list(way(results)) == []
    assert cancelled(8)


def test_dropping_it_half_way_cancels_the_rest(executor, service, flush, cancelled):
    service.work = lambda function, task: None if len(service.tasks_by_id) > 1 else call_here(function, task)
    executor.batch_size = 1
    results = executor.map(double, range(8))
    assert next(results) == 0
    flush()
    started = sum(task.result is None for task in service.tasks_by_id.values())
    assert started
    del results
    gc.collect()
    assert cancelled(started)


def test_dropping_one_that_nobody_asked_leaves_its_calls_alone(client, service):
    with Executor(ENDPOINT, client=client) as ex:
        ex.map(double, range(10))
    assert [task.result.error for task in service.tasks_by_id.values()] == [None] * 10


def test_and_has_all_calls_made_where_the_input_is_known_to_end(client, service):
    with Executor(ENDPOINT, client=client) as ex:
        ex.map(double, range(WINDOW + 10))
    assert len(service.tasks_by_id) == WINDOW + 10


def test_and_else_says_that_it_does_not(executor):
    with pytest.warns(RuntimeWarning, match=f"after the first {WINDOW} tasks"):
        executor.map(double, itertools.count())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        executor.map(double, iter(range(10)))
        gc.collect()


def test_results_can_be_read_after_the_executor_is_shut_down(client):
    with Executor(ENDPOINT, client=client) as ex:
        results = ex.map(double, range(WINDOW + 10))
    assert list(results) == [2 * x for x in range(WINDOW + 10)]


def test_a_block_that_an_exception_leaves_sends_no_more(client, taken):
    def leave_half_way():
        with Executor(ENDPOINT, client=client) as ex:
            for _ in ex.map(double, Sized(taken(range(WINDOW + 10)))):
                raise KeyError

    class Sized:
        def __init__(self, values):
            self.values = values

        def __iter__(self):
            return self.values

        def __len__(self):
            return WINDOW + 10

    with pytest.raises(KeyError):
        leave_half_way()
    assert taken.count == WINDOW


def test_of_an_endless_input_those_that_were_sent(client):
    with Executor(ENDPOINT, client=client) as ex:
        results = ex.map(double, itertools.count(), buffersize=3)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(RuntimeError, match="after shutdown"):
        next(results)


def test_shutdown_that_cancels_sends_no_rest(client, service, silent):
    ex = Executor(ENDPOINT, client=client)
    results = ex.map(double, range(WINDOW + 10))
    ex.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(concurrent.futures.CancelledError):
        next(results)
    assert len(service.tasks_by_id) <= WINDOW


def test_all_calls_go_as_the_first(executor, service):
    results = executor.options(label="mine").map(double, range(6), buffersize=2)
    assert next(results) == 0
    executor.user_endpoint_config = {"another": 1}
    executor.endpoint_id = "00000000-0000-4000-8000-000000000000"
    assert list(results) == [2, 4, 6, 8, 10]
    assert {submit.options.label for submit in service.submits} == {"mine"}
    assert [submit.user_endpoint_config for submit in service.submits] == [None] * len(service.submits)
    assert {task.endpoint_id for task in service.tasks_by_id.values()} == {ENDPOINT}


def test_results_are_not_kept(executor):
    """A map over much does not grow with what was handed out."""
    results = executor.map(double, range(100), buffersize=10)
    for _ in results:
        assert len(results._flying) <= 10
    assert not results._flying


def test_a_callback_that_waits_gets_an_error_and_not_a_deadlock(executor, service, pending, finish_all):
    told = concurrent.futures.Future()

    def wait(_):
        try:
            next(executor.map(double, [1], ordered=False))
        except RuntimeError as error:
            told.set_result(str(error))

    (future,) = pending(executor, 1)
    future.add_done_callback(wait)
    finish_all([future])
    assert "must not block" in told.result(WAIT)
    assert future.state is TaskState.SUCCESS
