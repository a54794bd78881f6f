"""A service, and a broker, that break down in every way we know of."""

from __future__ import annotations

import asyncio
import uuid

import msgspec
import pytest

from afield import Client, Executor
from afield.errors import (
    ComputeAPIError,
    ServiceUnreachable,
    TaskExecutionFailed,
    VersionMismatch,
)
from afield.sdk.retry import TryAgain
from afield.sdk.transport.memory import MemoryService, call_here
from afield.wire import v1
from afield.wire.messages import Result

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20


def double(x):
    """Twice as much."""
    return 2 * x


def unreachable():
    return TryAgain(ServiceUnreachable("nobody answers"))


# -- a service that breaks down --------------------------------------------------------------------------------------


def test_a_lost_answer_does_not_run_tasks_twice(executor, service):
    service.losses.append(unreachable())
    assert executor.submit(double, 4).result(WAIT) == 8
    assert len(service.tasks_by_id) == 1
    assert service.requests.count("submit") == 2


def test_an_outage_is_outlived(executor, service, clock):
    service.troubles["submit"].extend(unreachable() for _ in range(3))
    assert executor.submit(double, 4).result(WAIT) == 8
    assert len(clock.slept) == 3


def test_a_service_that_stays_away_fails_what_waits_and_nothing_after_it(executor, service):
    service.troubles["submit"].extend(unreachable() for _ in range(1000))
    futures = [executor.submit(double, x) for x in range(300)]
    for future in futures:
        with pytest.raises(ServiceUnreachable, match="nobody answers"):
            future.result(WAIT)
    service.troubles.clear()
    assert executor.submit(double, 1).result(WAIT) == 2


def test_a_refused_submit_fails_its_batch_and_the_executor_stays_usable(executor, service):
    service.troubles["submit"].append(ComputeAPIError(422, "SEMANTICALLY_INVALID", "the template is wrong"))
    first = executor.submit(double, 1)
    with pytest.raises(ComputeAPIError, match="the template is wrong") as caught:
        first.result(WAIT)
    assert caught.value.http_status == 422
    assert executor.submit(double, 1).result(WAIT) == 2


def test_of_a_batch_that_is_too_large_only_the_large_one_fails(executor, service):
    class Small(MemoryService):
        async def submit(self, endpoint_id, request, key):
            if sum(len(payload) for payloads in request.tasks.values() for payload in payloads) > 5000:
                raise ComputeAPIError(413, "TASK_PAYLOAD_TOO_LARGE", "too large")
            return await super().submit(endpoint_id, request, key)

    small = Small()
    with Client(transport=small, connector=small.broker) as client, Executor(ENDPOINT, client=client) as ex:
        futures = [ex.submit(len, "x" * (10_000 if n == 7 else 300)) for n in range(40)]
        for number, future in enumerate(futures):
            if number == 7:
                with pytest.raises(ComputeAPIError, match="too large"):
                    future.result(WAIT)
            else:
                assert future.result(WAIT) == 300


def test_what_is_known_to_be_too_large_is_not_sent(service):
    """A service says with its first answer how large arguments may be."""
    small = MemoryService(payload_bytes=5000)
    with Client(transport=small, connector=small.broker) as client, Executor(ENDPOINT, client=client) as ex:
        assert ex.submit(len, "x").result(WAIT) == 1
        sent = len(small.submits)
        with pytest.raises(ComputeAPIError, match="they were not sent") as caught:
            ex.submit(len, "x" * 10_000).result(WAIT)
        assert (caught.value.http_status, caught.value.code) == (413, "TASK_PAYLOAD_TOO_LARGE")
        assert len(small.submits) == sent
        assert ex.submit(len, "x" * 300).result(WAIT) == 300


def test_an_unknown_function_costs_only_its_own_calls(executor, service, new_gate):
    gate = new_gate("submit")
    executor.submit(double, 1).result(WAIT)
    service.pause = gate
    blocked = executor.submit(double, 1)
    assert gate.reached.wait(WAIT)
    good = executor.submit(double, 2)
    bad = executor.submit_to_registered_function(str(uuid.uuid4()), (1,))
    service.pause = None
    gate.open()
    assert blocked.result(WAIT) == 2
    assert good.result(WAIT) == 4
    with pytest.raises(ComputeAPIError, match="FUNCTION_NOT_FOUND"):
        bad.result(WAIT)


def test_what_was_accepted_is_kept_when_the_rest_of_a_split_batch_is_not(clock, new_gate):
    class Breaking(MemoryService):
        async def submit(self, endpoint_id, request, key):
            if len(self.submits) == 2:
                raise unreachable()
            if sum(map(len, request.tasks.values())) > 5:
                raise ComputeAPIError(413, "BATCH_RUN_TOO_LARGE", "too large")
            return await super().submit(endpoint_id, request, key)

    breaking = Breaking()
    with Client(transport=breaking, connector=breaking.broker, pace=clock.pace()) as client:
        ex = Executor(ENDPOINT, client=client)
        gate = new_gate("submit")
        breaking.pause = gate
        first = ex.submit(double, 0)
        assert gate.reached.wait(WAIT)
        breaking.pause = None
        others = [ex.submit(double, x) for x in range(1, 11)]
        gate.open()
        assert first.result(WAIT) == 0
        outcomes = [future.exception(WAIT) for future in others]
    assert [type(error) for error in outcomes] == [type(None)] * 5 + [ServiceUnreachable] * 5


def test_a_function_that_cannot_be_registered_fails_its_calls_and_may_be_tried_again(executor, service):
    service.troubles["submit"].append(ComputeAPIError(413, "FUNCTION_TOO_LARGE", "too large"))
    with pytest.raises(ComputeAPIError, match="FUNCTION_TOO_LARGE"):
        executor.submit(double, 1).result(WAIT)
    assert executor.submit(double, 1).result(WAIT) == 2


def test_a_function_that_is_refused_costs_only_its_own_calls(clock, new_gate):
    class Picky(MemoryService):
        async def submit(self, endpoint_id, request, key):
            if any(each.function_name == "len" for each in (request.functions or {}).values()):
                raise ComputeAPIError(422, "FUNCTION_REFUSED", "not that one")
            return await super().submit(endpoint_id, request, key)

    picky = Picky()
    with Client(transport=picky, connector=picky.broker, pace=clock.pace()) as client:
        ex = Executor(ENDPOINT, client=client)
        picky.pause = gate = new_gate("submit")
        first = ex.submit(double, 0)
        assert gate.reached.wait(WAIT)
        picky.pause = None
        good, bad, other = ex.submit(double, 1), ex.submit(len, "x"), ex.submit(pow, 2, 3)
        gate.open()
        assert (first.result(WAIT), good.result(WAIT), other.result(WAIT)) == (0, 2, 8)
        with pytest.raises(ComputeAPIError, match="not that one"):
            bad.result(WAIT)


def test_a_service_for_newer_clients(service):
    service.min_sdk_version = "99.0"
    with Client(transport=service, connector=service.broker) as client:
        ex = Executor(ENDPOINT, client=client)
        with pytest.raises(VersionMismatch, match=r"from 99\.0 on"):
            ex.submit(double, 1).result(WAIT)
        with pytest.raises(VersionMismatch):
            ex.submit(double, 1).result(WAIT)
        assert service.requests == ["submit"]
    unchecked = Client(do_version_check=False, transport=service, connector=service.broker)
    with unchecked, Executor(ENDPOINT, client=unchecked) as ex:
        assert ex.submit(double, 1).result(WAIT) == 2


def test_a_service_that_accepts_another_number_of_tasks(executor, service):
    class Miscounting(MemoryService):
        async def submit(self, endpoint_id, request, key):
            answer = await super().submit(endpoint_id, request, key)
            return msgspec.structs.replace(answer, tasks={name: ids[1:] for name, ids in answer.tasks.items()})

    wrong = Miscounting()
    with Client(transport=wrong, connector=wrong.broker) as client:
        ex = Executor(ENDPOINT, client=client)
        with pytest.raises(Exception, match="mistake of the service"):
            ex.submit(double, 1).result(WAIT)


# -- the stream ------------------------------------------------------------------------------------------------------


def test_results_that_come_before_the_answer(executor, service, in_loop, new_gate):
    executor.submit(double, 1).result(WAIT)
    gate = new_gate(None)
    service.pause_answer = gate
    early = executor.submit(double, 2)
    assert gate.reached.wait(WAIT)
    in_loop(lambda: asyncio.sleep(0))
    assert not early.done()
    gate.open()
    assert early.result(WAIT) == 4


def test_doubles_strangers_and_nonsense_in_the_queue_disturb_nobody(executor, service, in_loop):
    first = executor.submit(double, 1)
    assert first.result(WAIT) == 2
    group = str(executor.task_group_id)
    double_ = v1.encode_result(Result(first.task_id, b"00\nother"))
    stranger = v1.encode_result(Result(str(uuid.uuid4()), b"00\nother"))
    for body in (double_, stranger, b"", b"\x07what", b"\x01{"):
        in_loop(lambda body=body: service.publish(group, body))
    assert executor.submit(double, 2).result(WAIT) == 4
    assert first.result() == 2
    assert in_loop(lambda: service.broker.depth(f"somebody.{group}")) == 0


def test_a_severed_stream_is_taken_up_again(executor, service, in_loop, pending, finish_all):
    futures = pending(executor, 10)
    in_loop(lambda: service.broker.sever("client"))
    finish_all(futures)
    assert [future.result(WAIT) for future in futures] == [2 * x for x in range(10)]


def test_results_that_a_broker_forgot_are_asked_for(executor, service, in_loop, pending):
    futures = pending(executor, 10)

    def restart():
        service.broker.go_down(forget=True)
        for task in service.tasks_by_id.values():
            task.end(call_here(service.functions[task.function_id], task))
        service.broker.come_up()

    in_loop(restart)
    # Its queue does not exist any more, either: then results are asked for.
    assert [future.result(WAIT) for future in futures] == [2 * x for x in range(10)]
    assert "tasks" in service.requests


def test_a_service_that_has_gone_fails_what_waits_for_it(executor, service, clock, in_loop, pending):
    futures = pending(executor, 10)
    service.troubles["result_queue"].extend(unreachable() for _ in range(10_000))
    in_loop(lambda: service.broker.sever("client"))
    for future in futures:
        with pytest.raises(ServiceUnreachable, match=f"nobody answers.*reload_tasks.*{executor.task_group_id}"):
            future.result(WAIT)
    service.troubles.clear()
    service.work = call_here
    assert executor.submit(double, 1).result(WAIT) == 2


def test_a_broker_that_has_gone_fails_what_waits_for_it_and_says_how_to_collect(
    executor, service, in_loop, pending, finish_all
):
    futures = pending(executor, 2)
    in_loop(service.broker.go_down)
    with pytest.raises(ServiceUnreachable, match=f"reload_tasks.*{executor.task_group_id}"):
        futures[0].result(WAIT)
    in_loop(service.broker.come_up)
    finish_all(futures)
    assert [future.result(WAIT) for future in executor.reload_tasks()] == [0, 2]


def test_a_task_that_the_service_forgot_does_not_wait_for_ever(executor, service, in_loop, pending):
    (future,) = pending(executor, 1)
    service.tasks_by_id.clear()
    in_loop(lambda: service.broker.sever("client"))
    with pytest.raises(TaskExecutionFailed, match="unknown task id"):
        future.result(WAIT)
