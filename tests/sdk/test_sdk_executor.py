"""The Executor as a person uses it, against a service in memory that can break down."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import uuid
import warnings
import weakref

import msgspec
import pytest

from afield import Client, Executor
from afield.errors import (
    ComputeAPIError,
    DeserializationError,
    InvalidId,
    NoEndpoint,
    SerializationError,
    ServiceUnreachable,
    TaskExecutionFailed,
    VersionMismatch,
)
from afield.sdk import portal
from afield.sdk.retry import TryAgain
from afield.sdk.transport.memory import MemoryService, call_here
from afield.serialize import AllCodeStrategies, ComputeSerializer, JSONData
from afield.wire import v1
from afield.wire.messages import ErrorDetails, Result
from afield.wire.rest import EndpointSummary

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20


def double(x):
    """Twice as much."""
    return 2 * x


def fail(text):
    raise ValueError(text)


def unreachable():
    return TryAgain(ServiceUnreachable("nobody answers"))


def in_loop(function):
    """Call a function in the portal's thread, where the service in memory lives."""

    async def run():
        outcome = function()
        return await outcome if asyncio.iscoroutine(outcome) else outcome

    return portal.current().call(run)


def in_turns(holds):
    """Whether something comes true within some turns of the loop."""
    return any(holds() or in_loop(lambda: asyncio.sleep(0)) for _ in range(200))


class Gate:
    """Holds requests of one kind until it is opened."""

    def __init__(self, name):
        self.name, self.event = name, asyncio.Event()
        self.reached = threading.Event()

    async def __call__(self, name=None):
        if name in (self.name, None):
            self.reached.set()
            await self.event.wait()

    def open(self):
        portal.current().post(self.event.set)


# -- the ordinary ----------------------------------------------------------------------------------------------------


def test_a_call_and_its_result(executor):
    future = executor.submit(double, 4)
    assert future.result(WAIT) == 8
    assert uuid.UUID(future.task_id)
    assert executor.task_count_submitted == 1
    assert executor.task_group_id is not None


def test_arguments_of_all_kinds_among_them_ones_named_like_parameters(executor):
    def collect(*args, fn=None, self=None, **kwargs):
        return args, fn, self, kwargs

    assert executor.submit(collect, 1, fn=2, self=3, endpoint_id=4).result(WAIT) == ((1,), 2, 3, {"endpoint_id": 4})


def test_what_is_changed_after_the_submit_does_not_matter(executor):
    data = [1]
    future = executor.submit(len, data)
    data.append(2)
    assert future.result(WAIT) == 1


def test_many_calls_share_requests_and_all_come_back(executor, service):
    futures = [executor.submit(double, x) for x in range(1000)]
    assert [future.result(WAIT) for future in futures] == [2 * x for x in range(1000)]
    assert max(sum(map(len, submit.tasks.values())) for submit in service.submits) <= 128
    assert len(service.submits) < 100


def test_the_function_is_registered_once_and_says_what_it_is(executor, service):
    concurrent.futures.wait([executor.submit(double, x) for x in range(10)], WAIT)
    (registration,) = service.functions.values()
    assert registration.function_name == "double"
    assert registration.description == "Twice as much."
    assert registration.meta["serde_identifier"] == "01"
    assert {"python_version", "sdk_version"} <= registration.meta.keys()


def test_two_executors_of_a_client_register_a_function_once_and_share_a_group(client, service):
    with Executor(ENDPOINT, client=client) as one:
        assert one.submit(double, 1).result(WAIT) == 2
        with Executor(ENDPOINT, client=client, task_group_id=one.task_group_id) as other:
            assert other.submit(double, 2).result(WAIT) == 4
        assert one.submit(double, 3).result(WAIT) == 6
    assert len(service.functions) == 1
    assert service.requests.count("result_queue") == 1


def test_bound_methods_are_sent_as_they_are_at_the_moment(executor, service):
    class Counter:
        value = 1

        def get(self):
            return self.value

    counter = Counter()
    assert executor.submit(counter.get).result(WAIT) == 1
    counter.value = 2
    assert executor.submit(counter.get).result(WAIT) == 2
    assert executor.submit(counter.get).result(WAIT) == 2
    assert len(service.functions) == 2


def test_a_function_may_be_forgotten(executor):
    def local():
        return 1

    assert executor.submit(local).result(WAIT) == 1
    gone = weakref.ref(local)
    del local
    gc.collect()
    assert gone() is None


def test_the_published_wire_is_read_too(executor, service):
    service.wire = 1
    assert [executor.submit(double, x).result(WAIT) for x in range(3)] == [0, 2, 4]


def test_as_completed_and_wait(executor):
    futures = [executor.submit(double, x) for x in range(20)]
    assert sorted(f.result() for f in concurrent.futures.as_completed(futures, WAIT)) == [2 * x for x in range(20)]
    assert concurrent.futures.wait(futures, 0).not_done == set()


@pytest.mark.anyio
async def test_futures_can_be_awaited(executor):
    assert await executor.submit(double, 2) == 4
    assert await asyncio.gather(*[asyncio.wrap_future(executor.submit(double, x)) for x in range(5)]) == [0, 2, 4, 6, 8]


def test_leaving_the_block_waits_for_everything(client):
    with Executor(ENDPOINT, client=client) as ex:
        futures = [ex.submit(double, x) for x in range(300)]
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        ex.submit(double, 1)
    ex.shutdown()


def test_the_representation_has_the_label(client):
    assert repr(Executor(ENDPOINT, client=client, label="mine")).startswith(f"Executor('mine', endpoint {ENDPOINT}")


# -- failures of tasks -----------------------------------------------------------------------------------------------


def test_a_task_that_fails_raises_its_own_exception_and_ours(executor):
    future = executor.submit(fail, "oh")
    with pytest.raises(ValueError, match="oh") as caught:
        future.result(WAIT)
    assert isinstance(caught.value, TaskExecutionFailed)


def test_a_published_failure_is_text(executor, service):
    service.wire = 1
    with pytest.raises(TaskExecutionFailed, match="ValueError: oh") as caught:
        executor.submit(fail, "oh").result(WAIT)
    assert caught.value.completion_t == "1700000000"


def test_a_result_that_cannot_be_read_here_is_the_futures_exception(executor, service):
    service.work = lambda function, task: Result(task.id, b"00\nnonsense")
    with pytest.raises(DeserializationError):
        executor.submit(double, 1).result(WAIT)


def test_a_lost_worker_is_told_apart(executor, service):
    service.work = lambda function, task: Result(task.id, b"it died", ErrorDetails("WorkerLost", "it died"))
    with pytest.raises(TaskExecutionFailed) as caught:
        executor.submit(double, 1).result(WAIT)
    assert type(caught.value).__name__ == "WorkerLost"


def test_another_python_at_the_endpoint_is_told_once(executor, service):
    details = {"python_version": "2.7.18", "endpoint_id": str(uuid.uuid4())}
    service.work = lambda function, task: Result(task.id, b"11\n1", details=details)
    with pytest.warns(UserWarning, match=r"run Python 2\.7\.18") as caught:
        assert executor.submit(double, 1).result(WAIT) == 1
    assert caught[0].filename == __file__
    assert executor.submit(double, 1).result(WAIT) == 1


# -- mistakes of the caller ------------------------------------------------------------------------------------------


def test_what_cannot_be_sent_is_named_at_once(executor, service):
    generator = (each for each in "a generator")
    with pytest.raises(SerializationError, match=r"^argument 2 of double cannot be sent"):
        executor.submit(double, 1, generator)
    with pytest.raises(SerializationError, match=r"^argument 'key' of double"):
        executor.submit(double, 1, key=generator)
    with pytest.raises(SerializationError, match=r"^the function <lambda> cannot be sent"):
        executor.submit(lambda: generator)
    with pytest.raises(SerializationError, match="send what its result"):
        executor.submit(double, executor.submit(double, 1))
    with pytest.raises(TypeError, match="cannot be called"):
        executor.submit(double(1))
    assert executor.submit(double, 1).result(WAIT) == 2


def test_properties_are_checked_when_they_are_set(client):
    ex = Executor(client=client)
    ex.endpoint_id = ENDPOINT
    assert ex.endpoint_id == uuid.UUID(ENDPOINT)
    ex.task_group_id = uuid.UUID(ENDPOINT)
    assert ex.task_group_id == uuid.UUID(ENDPOINT)
    ex.task_group_id = None
    assert ex.task_group_id is None
    ex.container_id = ENDPOINT
    assert ex.container_id == uuid.UUID(ENDPOINT)
    with pytest.raises(InvalidId, match="endpoint"):
        ex.endpoint_id = "somewhere"
    with pytest.raises(TypeError, match="user_endpoint_config"):
        ex.user_endpoint_config = ["a"]
    with pytest.raises(TypeError, match="resource_specification"):
        ex.resource_specification = {"a": object()}
    with pytest.raises(ValueError, match="batch_size"):
        ex.batch_size = 0
    with pytest.raises(ValueError, match="amqp_port"):
        ex.amqp_port = 70000


def test_old_parameters_warn_and_unknown_ones_are_refused(client):
    with pytest.warns(DeprecationWarning, match="batch_interval"):
        Executor(ENDPOINT, client=client, batch_interval=1)
    with pytest.warns(DeprecationWarning, match="api_burst_limit"):
        Executor(ENDPOINT, client=client, api_burst_limit=4)
    with pytest.warns(DeprecationWarning, match="funcx_client"):
        assert Executor(ENDPOINT, funcx_client=client).client is client
    with pytest.raises(TypeError, match="'colour'"):
        Executor(ENDPOINT, client=client, colour="red")


# -- options ---------------------------------------------------------------------------------------------------------


def test_options_travel_with_the_tasks_for_which_they_were_set(client, service):
    with Executor(ENDPOINT, client=client, user_endpoint_config={"nodes": 2}) as ex:
        ex.submit(double, 1).result(WAIT)
        ex.resource_specification = {"num_nodes": 1}
        ex.user_endpoint_config = None
        ex.result_serializers = [JSONData()]
        ex.submit(double, 1).result(WAIT)
    first, second = service.submits
    assert first.user_endpoint_config == {"nodes": 2}
    assert first.resource_specification is None
    assert first.create_queue
    assert first.user_runtime["python"]["implementation"]
    assert second.user_endpoint_config is None
    assert second.resource_specification == {"num_nodes": 1}
    assert second.result_serializers == ["globus_compute_sdk.serialize.concretes.JSONData"]
    assert second.task_group_id == str(ex.task_group_id)


def test_the_serializer_is_used_both_ways(client, service):
    serializer = ComputeSerializer(AllCodeStrategies(), JSONData())
    with Executor(ENDPOINT, client=client, serializer=serializer) as ex:
        assert ex.submit(double, 3).result(WAIT) == 6
    (registration,) = service.functions.values()
    assert registration.meta["serde_identifier"] == "12"
    assert "11\n[3]" in service.submits[0].tasks[next(iter(service.functions))][0]


def test_a_change_of_endpoint_sends_elsewhere_in_the_same_group(client, service):
    other = str(uuid.uuid4())
    with Executor(ENDPOINT, client=client) as ex:
        one = ex.submit(double, 1)
        ex.endpoint_id = other
        two = ex.submit(double, 2)
    assert service.tasks_by_id[one.task_id].endpoint_id == ENDPOINT
    assert service.tasks_by_id[two.task_id].endpoint_id == other
    assert len({task.group_id for task in service.tasks_by_id.values()}) == 1


# -- registered functions --------------------------------------------------------------------------------------------


def test_functions_registered_beforehand(executor, service):
    function_id = executor.register_function(double, description="other words", public=True)
    assert service.functions[function_id].description == "other words"
    assert service.functions[function_id].public
    assert executor.submit(double, 2).result(WAIT) == 4
    assert len(service.functions) == 1
    with pytest.raises(ValueError, match="registered already"):
        executor.register_function(double)
    assert executor.submit_to_registered_function(function_id, (5,)).result(WAIT) == 10
    assert executor.submit_to_registered_function(uuid.UUID(function_id), kwargs={"x": 6}).result(WAIT) == 12


def test_a_known_id_asks_nothing_of_the_service(executor, client, service):
    function_id = client.register_function(double)
    service.requests.clear()
    assert executor.register_function(double, function_id=function_id) == function_id
    assert service.requests == []
    with pytest.warns(UserWarning, match="registered already"):
        executor.register_function(double, function_id=function_id)
    with pytest.raises(ValueError, match="registered already"):
        executor.register_function(double, function_id=str(uuid.uuid4()))


def test_source_code(executor):
    function_id = executor.register_source_code("def triple(x):\n    return 3 * x\n", "triple")
    assert executor.submit_to_registered_function(function_id, (5,)).result(WAIT) == 15


def test_hardware_details(executor):
    assert "processors:" in executor.get_worker_hardware_details()


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
def test_closing_map_cancels_what_is_not_on_its_way(executor, service, chunksize):
    executor.batch_size = 1
    assert executor.submit(double, 1).result(WAIT) == 2
    gate = Gate("submit")
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


def test_cancelling_works_until_a_call_is_on_its_way(executor, service):
    gate = Gate("submit")
    service.pause = gate
    going = executor.submit(double, 1)
    assert gate.reached.wait(WAIT)
    waiting = executor.submit(double, 2)
    assert going.running()
    assert not going.cancel()
    assert waiting.cancel()
    assert concurrent.futures.wait([waiting], 0).done == {waiting}
    gate.open()
    assert going.result(WAIT) == 2
    executor.shutdown()
    assert len(service.tasks_by_id) == 1


def test_shutdown_cancels_what_is_not_on_its_way_if_asked(client, service):
    gate = Gate("submit")
    service.pause = gate
    ex = Executor(ENDPOINT, client=client)
    going = ex.submit(double, 1)
    assert gate.reached.wait(WAIT)
    waiting = [ex.submit(double, x) for x in range(5)]
    ex.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    gate.open()
    assert going.result(WAIT) == 2


def test_shutdown_that_does_not_wait_loses_nothing(client):
    ex = Executor(ENDPOINT, client=client)
    futures = [ex.submit(double, x) for x in range(500)]
    ex.shutdown(wait=False)
    assert [future.result(WAIT) for future in futures] == [2 * x for x in range(500)]


def test_an_executor_and_a_client_that_nobody_keeps_still_deliver(service):
    def send():
        return Executor(ENDPOINT, client=Client(transport=service, connector=service.broker)).submit(double, 4)

    future = send()
    gc.collect()
    assert future.result(WAIT) == 8
    del future
    gc.collect()
    assert in_turns(lambda: service.closed)


def test_streams_are_closed_when_nobody_needs_them(client, service):
    with Executor(ENDPOINT, client=client) as ex:
        ex.submit(double, 1).result(WAIT)
        queue = f"somebody.{ex.task_group_id}"
        assert in_loop(lambda: service.broker.consumers(queue)) == 1
    assert in_loop(lambda: service.broker.consumers(queue)) == 0


def test_a_stream_outlives_its_executor_until_the_last_result(client, service):
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


def test_closing_the_client_fails_what_is_open(client, service):
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


# -- which endpoint --------------------------------------------------------------------------------------------------


def endpoints(service, *hostnames):
    for number, hostname in enumerate(hostnames):
        endpoint_id = str(uuid.uuid4())
        service.registered[endpoint_id] = EndpointSummary(endpoint_id, f"ep{number}", None, "somebody", hostname)
    return list(service.registered)


def test_without_an_endpoint_the_one_on_this_machine_is_used(client, service):
    import platform

    _, here = endpoints(service, "elsewhere", platform.node())
    with Executor(client=client) as ex:
        future = ex.submit(double, 1)
        assert future.result(WAIT) == 2
        assert str(ex.endpoint_id) == here
    assert service.tasks_by_id[future.task_id].endpoint_id == here


def test_none_or_several_endpoints_are_an_error_that_says_what_to_do(client, service):
    import platform

    ex = Executor(client=client)
    with pytest.raises(NoEndpoint, match="afield up"):
        ex.submit(double, 1)
    (elsewhere,) = endpoints(service, "elsewhere")
    with pytest.raises(NoEndpoint, match=rf"ep0 \({elsewhere}\)"):
        ex.submit(double, 1)
    endpoints(service, platform.node(), platform.node())
    with pytest.raises(NoEndpoint, match="several"):
        ex.submit(double, 1)
    ex.endpoint_id = ENDPOINT
    assert ex.submit(double, 1).result(WAIT) == 2


# -- a service that breaks down --------------------------------------------------------------------------------------


def test_a_lost_answer_does_not_run_tasks_twice(executor, service):
    service.losses.append(unreachable())
    assert executor.submit(double, 4).result(WAIT) == 8
    assert len(service.tasks_by_id) == 1
    assert service.requests.count("submit") == 2


def test_an_outage_is_outlived(executor, service, clock):
    for name in ("submit", "register_function", "result_queue"):
        service.troubles[name].extend(unreachable() for _ in range(3))
    assert executor.submit(double, 4).result(WAIT) == 8
    assert clock.slept


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


def test_an_unknown_function_costs_only_its_own_calls(executor, service):
    gate = Gate("submit")
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


def test_what_was_accepted_is_kept_when_the_rest_of_a_split_batch_is_not(clock):
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
        gate = Gate("register_function")
        breaking.pause = gate
        first = ex.submit(double, 0)
        assert gate.reached.wait(WAIT)
        breaking.pause = None
        others = [ex.submit(double, x) for x in range(1, 11)]
        gate.open()
        outcomes = [future.exception(WAIT) for future in [first, *others]]
    assert [type(error) for error in outcomes] == [type(None)] * 6 + [ServiceUnreachable] * 5


def test_a_function_that_cannot_be_registered_fails_its_calls_and_may_be_tried_again(executor, service):
    service.troubles["register_function"].append(ComputeAPIError(413, "FUNCTION_TOO_LARGE", "too large"))
    with pytest.raises(ComputeAPIError, match="FUNCTION_TOO_LARGE"):
        executor.submit(double, 1).result(WAIT)
    assert executor.submit(double, 1).result(WAIT) == 2


def test_a_service_for_newer_clients(service):
    service.min_sdk_version = "99.0"
    with Client(transport=service, connector=service.broker) as client:
        ex = Executor(ENDPOINT, client=client)
        with pytest.raises(VersionMismatch, match=r"from 99\.0 on"):
            ex.submit(double, 1).result(WAIT)
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


def test_results_that_come_before_the_answer(executor, service):
    executor.submit(double, 1).result(WAIT)
    gate = Gate(None)
    service.pause_answer = gate
    early = executor.submit(double, 2)
    assert gate.reached.wait(WAIT)
    in_loop(lambda: asyncio.sleep(0))
    assert not early.done()
    gate.open()
    assert early.result(WAIT) == 4


def test_doubles_strangers_and_nonsense_in_the_queue_disturb_nobody(executor, service):
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


def pending(executor, service, count):
    service.work = lambda function, task: None
    futures = [executor.submit(double, x) for x in range(count)]
    in_loop(executor.client.session().pump.flush)
    return futures


def finish_all(service, futures):
    ends = [
        call_here(service.functions[task.function_id], task)
        for f in futures
        if (task := service.tasks_by_id[f.task_id])
    ]
    in_loop(lambda: service.finish(*ends))


def test_a_severed_stream_is_taken_up_again(executor, service):
    futures = pending(executor, service, 10)
    in_loop(lambda: service.broker.sever("client"))
    finish_all(service, futures)
    assert [future.result(WAIT) for future in futures] == [2 * x for x in range(10)]


def test_results_that_a_broker_forgot_are_asked_for(executor, service):
    futures = pending(executor, service, 10)

    def restart():
        service.broker.go_down(forget=True)
        for task in service.tasks_by_id.values():
            task.result = call_here(service.functions[task.function_id], task)
        service.broker.come_up()

    in_loop(restart)
    # Its queue does not exist any more, either: then results are asked for.
    assert [future.result(WAIT) for future in futures] == [2 * x for x in range(10)]
    assert "tasks" in service.requests


def test_a_service_that_has_gone_fails_what_waits_for_it(executor, service, clock):
    futures = pending(executor, service, 10)
    service.troubles["result_queue"].extend(unreachable() for _ in range(10_000))
    in_loop(lambda: service.broker.sever("client"))
    for future in futures:
        with pytest.raises(ServiceUnreachable, match="nobody answers"):
            future.result(WAIT)
    service.troubles.clear()
    service.work = call_here
    assert executor.submit(double, 1).result(WAIT) == 2


def test_a_broker_that_has_gone_fails_what_waits_for_it_and_says_how_to_collect(executor, service):
    futures = pending(executor, service, 2)
    in_loop(service.broker.go_down)
    with pytest.raises(ServiceUnreachable, match=f"reload_tasks.*{executor.task_group_id}"):
        futures[0].result(WAIT)
    in_loop(service.broker.come_up)
    finish_all(service, futures)
    assert [future.result(WAIT) for future in executor.reload_tasks()] == [0, 2]


def test_a_task_that_the_service_forgot_does_not_wait_for_ever(executor, service):
    (future,) = pending(executor, service, 1)
    service.tasks_by_id.clear()
    in_loop(lambda: service.broker.sever("client"))
    with pytest.raises(TaskExecutionFailed, match="unknown task id"):
        future.result(WAIT)


# -- reloading -------------------------------------------------------------------------------------------------------


def test_tasks_of_an_earlier_program_are_reloaded(service, client):
    with Client(transport=service, connector=service.broker) as earlier:
        ex = Executor(ENDPOINT, client=earlier)
        done = ex.submit(double, 1)
        failed = ex.submit(fail, "oh")
        concurrent.futures.wait([done, failed], WAIT)
        open_ = pending(ex, service, 3)
        group = ex.task_group_id
    with Executor(client=client) as later:
        found = later.reload_tasks(group)
        assert later.task_group_id == group
        assert len(found) == 5
        assert found[0].result(WAIT) == 2
        with pytest.raises(TaskExecutionFailed, match="oh"):
            found[1].result(WAIT)
        assert not any(future.done() for future in found[2:])
        finish_all(service, open_)
        assert sorted(future.result(WAIT) for future in found[2:]) == [0, 2, 4]


def test_reloading_keeps_the_futures_that_are_open_here(executor, service):
    futures = pending(executor, service, 3)
    assert set(executor.reload_tasks()) == set(futures)
    finish_all(service, futures)
    assert [future.result(WAIT) for future in futures] == [0, 2, 4]


def test_reloading_without_a_group_or_of_one_that_does_not_exist(executor):
    with pytest.raises(ValueError, match="no task group"):
        executor.reload_tasks()
    with pytest.raises(ComputeAPIError, match=ENDPOINT):
        executor.reload_tasks(ENDPOINT)


# -- the thread ------------------------------------------------------------------------------------------------------


def test_a_callback_that_waits_gets_an_error_and_not_a_deadlock(executor, service):
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

    (future,) = pending(executor, service, 1)
    future.add_done_callback(wait)
    finish_all(service, [future])
    assert called.wait(WAIT)
    assert len(outcome) == 2
    assert "must not block" in outcome[0]
    service.work = call_here


def test_callbacks_may_submit(executor, service):
    chained = concurrent.futures.Future()
    (future,) = pending(executor, service, 1)
    future.add_done_callback(lambda f: chained.set_result(executor.submit(double, 21)))
    service.work = call_here
    finish_all(service, [future])
    assert chained.result(WAIT).result(WAIT) == 42


def test_many_threads_submit_at_once(executor):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: [executor.submit(double, x).result(WAIT) for x in range(n)], range(20)))
    assert results == [[2 * x for x in range(n)] for n in range(20)]


def test_importing_and_constructing_warns_of_nothing(client):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Executor(ENDPOINT, client=client).shutdown()
