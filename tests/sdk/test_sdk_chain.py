"""Futures as arguments: sent when they have values, and not at all when one fails."""

from __future__ import annotations

import collections
import concurrent.futures
import gc
import json
import operator
import subprocess
import sys
import textwrap
import threading
import typing
import weakref

import pytest

from afield import Client, DependencyFailed, Executor, TaskState
from afield.errors import SerializationError
from afield.serialize import AllCodeStrategies, ComputeSerializer, JSONData

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20


class Point(typing.NamedTuple):
    x: typing.Any
    y: int


def double(x):
    return 2 * x


def fail(text):
    raise ValueError(text)


def both(a, b):
    return [a, b]


@pytest.fixture
def accepted(service):
    """How many tasks the service has."""
    return lambda: len(service.tasks_by_id)


# -- values ----------------------------------------------------------------------------------------------------------


def test_a_future_stands_for_its_value(executor):
    one = executor.submit(double, 1)
    assert executor.submit(both, one, b=executor.submit(double, one)).result(WAIT) == [2, 4]


def test_at_any_depth_of_lists_tuples_and_dictionaries(executor):
    def show(*args, **kwargs):
        return repr((args, kwargs))

    f = executor.submit(double, 1)
    ordered = collections.OrderedDict(b=f, a=1)
    found = executor.submit(show, [f, (f, 3)], {"k": [{"deep": f}]}, x=(1, [f]), o=ordered).result(WAIT)
    expected = (([2, (2, 3)], {"k": [{"deep": 2}]}), {"x": (1, [2]), "o": collections.OrderedDict(b=2, a=1)})
    assert found == repr(expected)


def test_named_tuples_stay_what_they_are(executor):
    point = executor.submit(lambda p: (type(p).__name__, p.x + p.y), Point(executor.submit(double, 2), 3))
    assert point.result(WAIT) == ("Point", 7)


def test_what_is_one_object_stays_one_and_circles_end(executor):
    shared = [executor.submit(double, 1)]
    circle = [shared, shared]
    circle.append(circle)

    def same(c):
        return c[0] is c[1] and c[2] is c and c[0]

    assert executor.submit(same, circle).result(WAIT) == [2]


def test_futures_of_another_executor_and_plain_ones(executor, client):
    with Executor(ENDPOINT, client=client) as other, concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert executor.submit(both, other.submit(double, 1), pool.submit(double, 2)).result(WAIT) == [2, 4]
        assert executor.submit(both, a=pool.submit(double, 1), b=3).result(WAIT) == [2, 3]


def test_registered_functions_take_them_too(executor):
    function_id = executor.register_function(both)
    f = executor.submit(double, 1)
    assert executor.submit_to_registered_function(function_id, (f, 3)).result(WAIT) == [2, 3]
    assert executor.submit_to_registered_function(function_id, kwargs={"a": [f], "b": f}).result(WAIT) == [[2], 2]


def test_any_serializer_will_do(client):
    serializer = ComputeSerializer(AllCodeStrategies(), JSONData())
    with Executor(ENDPOINT, client=client, serializer=serializer) as ex:
        assert ex.submit(both, [ex.submit(double, 1)], 3).result(WAIT) == [[2], 3]


# -- when ------------------------------------------------------------------------------------------------------------


def test_the_call_gets_its_future_at_once_and_is_sent_when_all_is_there(executor, pending, finish_all, accepted):
    one, two = pending(executor, 2)
    future = executor.submit(both, one, [two])
    assert future.state is TaskState.UNSENT
    assert not future.running()
    finish_all([one])
    executor.submit(double, 1)
    executor.client.session().run(executor.client.session().pump.flush)
    assert accepted() == 3
    assert not future.done()


def test_all_is_as_it_was_when_it_was_submitted(executor, service):
    hold = concurrent.futures.Future()
    inner = [hold]
    executor.user_endpoint_config = {"then": 1}
    future = executor.options(label="then").submit(both, inner, {"k": hold})
    inner.append("later")
    executor.user_endpoint_config = {"now": 1}
    executor.serializer = ComputeSerializer(AllCodeStrategies(), JSONData())
    hold.set_result(5)
    assert future.result(WAIT) == [[5], {"k": 5}]
    (submit,) = service.submits
    assert submit.user_endpoint_config == {"then": 1}
    assert submit.options.label == "then"
    assert next(iter(service.functions.values())).meta["serde_identifier"] == "01"


def test_a_diamond_sends_each_call_once(executor, accepted):
    top = executor.submit(double, 1)
    left, right = executor.submit(double, top), executor.submit(operator.neg, top)
    assert executor.submit(both, left, [right, left, top]).result(WAIT) == [4, [-2, 4, 2]]
    assert accepted() == 4


def test_a_deep_chain_needs_no_stack(executor):
    hold = concurrent.futures.Future()
    future = executor.submit(operator.add, hold, 1)
    for _ in range(1000):
        future = executor.submit(operator.add, future, 1)
    hold.set_result(0)
    assert future.result(60) == 1001


def test_many_calls_wait_for_one_future(executor):
    hold = concurrent.futures.Future()
    futures = [executor.submit(operator.add, hold, x) for x in range(10_000)]
    hold.set_result(1)
    assert [future.result(60) for future in futures] == list(range(1, 10_001))


def test_results_are_opened_in_another_thread_than_the_one_that_brings_them(executor, service, pending, finish_all):
    """A result whose reading takes long, or waits for another, holds up nobody else."""
    (one,) = pending(executor, 1)
    future = executor.submit(double, one)
    reading, read = threading.Event(), threading.Event()
    arrived = one.set_sealed

    class Slow:
        failed = False

        def __init__(self, sealed):
            self.sealed = sealed

        def open(self):
            reading.set()
            assert read.wait(WAIT)
            return self.sealed.open()

    one.set_sealed = lambda sealed: arrived(Slow(sealed))
    from afield.sdk.transport.memory import call_here

    service.work = call_here
    finish_all([one])
    assert reading.wait(WAIT)
    assert executor.submit(double, 4).result(WAIT) == 8  # it goes on
    read.set()
    assert future.result(WAIT) == 0


# -- failures --------------------------------------------------------------------------------------------------------


def test_a_failed_argument_is_named_and_is_the_cause(executor):
    bad = executor.submit(fail, "oh")
    future = executor.submit(both, [1, {"k": bad}], 2)
    with pytest.raises(
        DependencyFailed, match=r"^both was not called, because argument 1\[1\]\['k'\] failed: .*oh$"
    ) as e:
        future.result(WAIT)
    assert isinstance(e.value.__cause__, ValueError)
    assert future.state is TaskState.FAILED


def test_a_cancelled_argument_too(executor):
    hold = concurrent.futures.Future()
    future = executor.submit(both, 1, b=hold)
    hold.cancel()
    with pytest.raises(DependencyFailed, match=r"argument 'b' was cancelled$") as caught:
        future.result(WAIT)
    assert isinstance(caught.value.__cause__, concurrent.futures.CancelledError)


def test_it_fails_at_once_and_does_not_wait_for_the_others(executor, accepted):
    never = concurrent.futures.Future()
    future = executor.submit(both, never, executor.submit(fail, "oh"))
    with pytest.raises(DependencyFailed):
        future.result(WAIT)
    never.set_result(1)
    assert executor.submit(double, 1).result(WAIT) == 2
    assert accepted() == 2


def test_at_the_end_of_a_chain_the_first_failure_is_told(executor):
    future = executor.submit(fail, "oh")
    for _ in range(1000):
        future = executor.submit(double, future)
    with pytest.raises(DependencyFailed, match=r"because another failed: .*oh$") as caught:
        future.result(60)
    assert isinstance(caught.value.__cause__, ValueError)


def test_what_cannot_be_sent_is_said_at_once(executor):
    hold = concurrent.futures.Future()
    with pytest.raises(SerializationError, match=r"^argument 2 of both"):
        executor.submit(both, hold, (each for each in "a generator"))
    with pytest.raises(SerializationError, match="send what its result"):
        executor.submit(len, {executor.submit(double, 1)})  # in a set it is not looked for


def test_a_value_that_cannot_be_sent_fails_the_call_that_needs_it(executor):
    hold = concurrent.futures.Future()
    future = executor.submit(both, 1, hold)
    hold.set_result(each for each in "a generator")
    with pytest.raises(SerializationError, match=r"^argument 2 of both cannot be sent"):
        future.result(WAIT)


class LeavesWhenRead:
    """Likewise."""

    def __reduce__(self):
        return sys.exit, ("not my fault",)


def exec_exit_when_read():
    return LeavesWhenRead()


class Leaves:
    """Ends the thread that pickles or reads it, if it can."""

    def __reduce__(self):
        raise SystemExit("not my fault")


def test_nothing_that_a_value_does_stops_the_calls_of_others(executor):
    hold = concurrent.futures.Future()
    future, read = executor.submit(double, hold), executor.submit(double, executor.submit(exec_exit_when_read))
    hold.set_result(Leaves())
    assert isinstance(future.exception(WAIT), SystemExit)
    assert isinstance(read.exception(WAIT).__cause__, SystemExit)
    assert executor.submit(double, executor.submit(double, 1)).result(WAIT) == 4


# -- ends ------------------------------------------------------------------------------------------------------------


def test_cancelling_is_local_and_leaves_the_arguments_alone(executor, accepted):
    hold = concurrent.futures.Future()
    future = executor.submit(double, hold)
    assert future.cancel()
    assert future.state is TaskState.CANCELLED
    assert not hold.cancelled()
    hold.set_result(1)
    assert executor.submit(double, 1).result(WAIT) == 2
    assert accepted() == 1
    executor.shutdown()


def test_a_cancelled_call_lets_go_of_its_arguments(executor):
    class Big(list):
        pass

    big = Big()
    gone = weakref.ref(big)
    hold = concurrent.futures.Future()
    future = executor.submit(both, hold, big)
    assert future.cancel()
    del big
    gc.collect()
    assert gone() is None


def test_shutdown_waits_for_calls_that_wait(client):
    hold = concurrent.futures.Future()

    class Late(Executor):
        def _stop(self, **options):
            super()._stop(**options)
            if not hold.done():
                hold.set_result(1)

    with Late(ENDPOINT, client=client) as ex:
        future = ex.submit(double, ex.submit(double, hold))
    assert future.result(0) == 4


def test_shutdown_can_cancel_them(client, accepted):
    hold = concurrent.futures.Future()
    ex = Executor(ENDPOINT, client=client)
    future = ex.submit(double, ex.submit(double, hold))
    ex.shutdown(cancel_futures=True)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(0)
    assert accepted() == 0


def test_shutdown_that_does_not_wait_loses_none(client):
    hold = concurrent.futures.Future()
    ex = Executor(ENDPOINT, client=client)
    future = ex.submit(double, ex.submit(double, hold))
    ex.shutdown(wait=False)
    hold.set_result(1)
    assert future.result(WAIT) == 4


def test_closing_the_client_ends_them(service):
    hold = concurrent.futures.Future()
    client = Client(transport=service, connector=service.broker)
    future = Executor(ENDPOINT, client=client).submit(double, hold)
    client.close()
    with pytest.raises(Exception, match="client was closed"):
        future.result(WAIT)
    hold.set_result(1)


def test_the_end_of_the_program_waits_for_them():
    program = """
        import concurrent.futures, threading
        from afield import Client, Executor
        from afield.sdk.transport.memory import MemoryService

        service = MemoryService()
        ex = Executor({endpoint!r}, client=Client(transport=service, connector=service.broker))
        hold = concurrent.futures.Future()
        leaving = threading.Event()
        future = ex.submit(pow, ex.submit(pow, hold, 2), 2)
        future.add_done_callback(lambda f: print(f.result(), flush=True))

        def late():
            leaving.wait()
            hold.set_result(3)

        threading._register_atexit(leaving.set)  # the last to come is called first, before anything of ours
        threading.Thread(target=late, daemon=True).start()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program).format(endpoint=ENDPOINT)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("81\n", "")


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="forks")
def test_a_forked_child_has_a_helper_of_its_own():
    program = """
        import concurrent.futures, json, os, sys, warnings
        from afield import Client, Executor
        from afield.sdk.transport.memory import MemoryService

        warnings.simplefilter("ignore")

        def run():
            service = MemoryService()
            with Executor({endpoint!r}, client=Client(transport=service, connector=service.broker)) as ex:
                return ex.submit(pow, ex.submit(pow, 3, 2), 2).result(20)

        found = [run()]
        readable, writable = os.pipe()
        if not os.fork():
            os.write(writable, str(run()).encode())
            os._exit(0)
        os.wait()
        print([*found, int(os.read(readable, 100))])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program).format(endpoint=ENDPOINT)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout) == [81, 81], done.stderr
