"""A first submit is one request, and its answer brings all that the next steps need."""

from __future__ import annotations

import concurrent.futures
import uuid

import msgspec
import pytest

from afield import Client, Executor
from afield.sdk.transport.memory import MemoryService
from afield.wire.messages import CallOptions
from afield.wire.rest import ResultQueue

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20


def double(x):
    """Twice as much."""
    return 2 * x


def test_one_request_until_the_first_result_is_there(executor, service):
    assert executor.submit(double, 4).result(WAIT) == 8
    assert service.requests == ["submit"]


def test_the_function_rode_and_is_known_from_then_on(executor, service):
    assert executor.submit(double, 4).result(WAIT) == 8
    assert executor.submit(double, 5).result(WAIT) == 10
    assert executor.submit(len, "abc").result(WAIT) == 3
    assert service.requests == ["submit"] * 3
    assert [len(submit.functions or {}) for submit in service.submits] == [1, 0, 1]
    assert sorted(each.function_name for each in service.functions.values()) == ["double", "len"]
    assert set(service.submits[1].tasks) <= service.functions.keys()


def test_several_functions_and_known_ones_in_one_submit(executor, service, new_gate):
    known = executor.register_function(double)
    service.pause = gate = new_gate("submit")
    blocked = executor.submit(double, 0)
    assert gate.reached.wait(WAIT)
    futures = [executor.submit(double, 1), executor.submit(len, "ab"), executor.submit(pow, 2, 4)]
    futures += [executor.submit(len, "abc"), executor.submit_to_registered_function(known, (9,))]
    service.pause = None
    gate.open()
    assert [future.result(WAIT) for future in [blocked, *futures]] == [0, 2, 2, 16, 3, 18]
    assert [len(submit.functions or {}) for submit in service.submits] == [0, 2]
    assert len(service.functions) == 3


def test_an_answer_that_was_lost_costs_no_second_registration(executor, service):
    from afield.errors import ServiceUnreachable
    from afield.sdk.retry import TryAgain

    service.losses.append(TryAgain(ServiceUnreachable("lost")))
    assert executor.submit(double, 4).result(WAIT) == 8
    assert service.requests == ["submit", "submit"]
    assert len(service.functions) == len(service.tasks_by_id) == 1


def test_two_lanes_with_the_same_new_function(executor, service, new_gate):
    """It may be registered twice; each call runs once."""
    executor.task_group_id = uuid.uuid4()
    service.pause = gate = new_gate("submit")
    one = executor.submit(double, 1)
    executor.endpoint_id = uuid.uuid4()
    two = executor.submit(double, 2)
    assert gate.reached.wait(WAIT)
    gate.open()
    assert (one.result(WAIT), two.result(WAIT)) == (2, 4)
    assert executor.submit(double, 3).result(WAIT) == 6
    assert service.submits[-1].functions is None
    assert len(service.tasks_by_id) == 3


def test_functions_too_large_to_ride_are_registered_before(executor, service):
    source = f"def big():\n    return len({'x' * 1_100_000!r})\n"
    namespace = {"__name__": "__main__"}
    exec(source, namespace)
    assert executor.submit(namespace["big"]).result(WAIT) == 1_100_000
    assert service.requests == ["register_function", "submit"]
    assert service.submits[0].functions is None


def test_credentials_of_the_answer_are_used_once_and_asked_for_afterwards(executor, service, in_loop, pending):
    pending(executor, 1)
    assert "result_queue" not in service.requests
    in_loop(lambda: service.broker.sever("client"))
    queue = f"somebody.{executor.task_group_id}"
    while not in_loop(lambda: service.broker.consumers(queue)):
        pass
    assert service.requests.count("result_queue") == 1


def test_a_service_that_sends_no_credentials_is_asked_for_them(clock):
    class Sparse(MemoryService):
        async def submit(self, endpoint_id, request, key):
            answer = await super().submit(endpoint_id, request, key)
            return msgspec.structs.replace(answer, result_queue=None, min_sdk_version=None)

    sparse = Sparse()
    with Client(transport=sparse, connector=sparse.broker, pace=clock.pace()) as client:
        assert Executor(ENDPOINT, client=client).submit(double, 4).result(WAIT) == 8
    assert sparse.requests == ["submit", "result_queue"]


def test_credentials_that_have_expired_are_no_end(clock):
    class Stale(MemoryService):
        async def submit(self, endpoint_id, request, key):
            answer = await super().submit(endpoint_id, request, key)
            return msgspec.structs.replace(answer, result_queue=ResultQueue("nobody.", "memory://client"))

    stale = Stale()
    with Client(transport=stale, connector=stale.broker, pace=clock.pace()) as client:
        assert Executor(ENDPOINT, client=client).submit(double, 4).result(WAIT) == 8


def test_other_questions_check_the_version_unless_an_answer_told_it(client, executor, service):
    client.get_endpoints()
    assert service.requests == ["version", "endpoints"]
    assert executor.submit(double, 4).result(WAIT) == 8
    service.requests.clear()
    with Client(transport=service, connector=service.broker) as other:
        assert Executor(ENDPOINT, client=other).submit(double, 4).result(WAIT) == 8
        other.get_endpoints()
    assert service.requests == ["submit", "endpoints"]


def test_what_is_asked_for_each_call_is_in_the_request(client, service, pending, in_loop):
    from afield.sdk.calls import Call
    from afield.sdk.coalesce import Group, Lane, Options
    from afield.sdk.functions import Function
    from afield.sdk.future import ComputeFuture

    ex = Executor(ENDPOINT, client=client)
    assert ex.submit(double, 1).result(WAIT) == 2
    assert service.submits[0].options is None
    (function_id,) = service.functions
    asked = CallOptions(timeout_s=3.0, label="red")
    future = ComputeFuture()
    future.origin = ex._origin
    lane = Lane(Group(), ENDPOINT, Options(call=asked))
    client.session().pump.send(Call(future, Function("double", function_id), lane, "6\n11\n[4]5\n11\n{}"))
    assert future.result(WAIT) == 8
    assert service.submits[1].options == asked
    assert future.label == "red"
    assert future.endpoint_id == ENDPOINT


def test_a_future_that_waits_for_its_arguments_is_outstanding(client, service):
    from afield.sdk.future import ComputeFuture

    ex = Executor(ENDPOINT, client=client)
    pump = client.session().pump
    future, cancelled = ComputeFuture(), ComputeFuture()
    for each in (future, cancelled):
        each.origin = ex._origin
        pump.defer(each)
    assert set(client.session().outstanding(ex._origin)) == {future, cancelled}
    assert cancelled.cancel()
    assert client.session().outstanding(ex._origin) == [future]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        leaving = pool.submit(client.session().wait_for, ex._origin)
        future.set_result(3)
        pump.undefer(future)
        leaving.result(WAIT)
    assert client.session().outstanding(ex._origin) == []
    left = ComputeFuture()
    left.origin = ex._origin
    pump.defer(left)
    client.close()
    with pytest.raises(Exception, match="closed before"):
        left.result(WAIT)
