"""The Executor as a person uses it: calls, results, failures of tasks, mistakes of the caller."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import inspect
import uuid
import warnings
import weakref

import pytest

from afield import Executor
from afield.errors import (
    DeserializationError,
    InvalidId,
    NoEndpoint,
    SerializationError,
    TaskExecutionFailed,
)
from afield.serialize import AllCodeStrategies, ComputeSerializer, JSONData
from afield.wire.messages import ErrorDetails, Result
from afield.wire.rest import EndpointSummary

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20


def double(x):
    """Twice as much."""
    return 2 * x


def fail(text):
    raise ValueError(text)


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
    assert "result_queue" not in service.requests  # the first answer says how to reach it


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


@pytest.mark.anyio
async def test_leaving_an_async_block_waits_without_holding_up_the_loop(client, service, in_loop, new_gate):
    gate = new_gate("submit")
    service.pause = gate
    async with Executor(ENDPOINT, client=client) as ex:
        futures = [ex.submit(double, x) for x in range(300)]
        # Nothing is answered until this loop gets its turn while the block is being left.
        asyncio.get_running_loop().call_soon(gate.open)
    assert [future.result(0) for future in futures] == [2 * x for x in range(300)]
    with pytest.raises(RuntimeError, match="after shutdown"):
        ex.submit(double, 1)


@pytest.mark.anyio
async def test_who_is_cancelled_while_leaving_an_async_block_leaves(client, service):
    service.work = lambda function, task: None

    async def wait_for_ever():
        async with Executor(ENDPOINT, client=client) as ex:
            ex.submit(double, 1)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wait_for_ever(), 0.05)


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
    with pytest.raises(TypeError, match="cannot be called"):
        executor.submit(double(1))
    assert executor.submit(double, 1).result(WAIT) == 2


def test_what_belongs_to_this_program_says_so_itself(executor, client):
    for here, says in ((executor, "an Executor"), (client, "a Client")):
        with pytest.raises(SerializationError, match=rf"argument 1 of double.* at \[0\]:.*{says} cannot be sent"):
            executor.submit(double, here)


def test_properties_are_checked_when_they_are_set(client):
    ex = Executor(client=client)
    ex.endpoint_id = ENDPOINT
    assert ex.endpoint_id == uuid.UUID(ENDPOINT)
    ex.task_group_id = uuid.UUID(ENDPOINT)
    assert ex.task_group_id == uuid.UUID(ENDPOINT)
    ex.task_group_id = None
    assert ex.task_group_id is None
    with pytest.warns(DeprecationWarning, match="container_id has no effect"):
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
    with pytest.raises(TypeError, match=r"batch_size.*'many'"):
        ex.batch_size = "many"
    with pytest.raises(TypeError, match=r"amqp_port.*True"):
        ex.amqp_port = True


def test_the_parameters_are_the_published_ones_in_their_order():
    parameters = inspect.signature(Executor).parameters.values()
    assert [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD] == [
        "endpoint_id",
        "container_id",
        "client",
        "task_group_id",
        "user_endpoint_config",
        "label",
        "batch_size",
        "funcx_client",
        "amqp_port",
    ]


@pytest.mark.parametrize(
    ("name", "says"),
    [("batch_interval", "leave it out"), ("batch_enabled", "batch_size=1"), ("api_burst_limit", "leave it out")],
)
def test_old_parameters_warn_and_say_what_to_write_now(client, name, says):
    with pytest.warns(DeprecationWarning, match=f"^{name} has no effect.*{says}") as caught:
        Executor(ENDPOINT, client=client, **{name: 1})
    assert caught[0].filename == __file__


def test_other_names_of_the_client(client):
    with pytest.warns(DeprecationWarning, match=r"funcx_client.*write Executor\(client=") as caught:
        assert Executor(ENDPOINT, funcx_client=client).client is client
    assert caught[0].filename == __file__
    assert Executor(ENDPOINT, client).client is client  # its place in later published versions
    assert Executor(ENDPOINT, None, client).client is client


def test_a_container_is_kept_and_warned_of(client):
    with pytest.warns(DeprecationWarning, match="user_endpoint_config"):
        assert Executor(ENDPOINT, ENDPOINT, client).container_id == uuid.UUID(ENDPOINT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Executor(ENDPOINT, container_id=None, client=client).container_id is None


def test_unknown_parameters_are_refused_and_close_ones_named(client):
    with pytest.raises(TypeError, match=r"'colour'$"):
        Executor(ENDPOINT, client=client, colour="red")
    with pytest.raises(TypeError, match="'endpoint'; did you mean 'endpoint_id'"):
        Executor(endpoint=ENDPOINT, client=client)
    with pytest.raises(TypeError, match="did you mean 'user_endpoint_config'"):
        Executor(ENDPOINT, client=client, user_endpoint_conf={})


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
    assert "11\n[3]" in next(iter(service.submits[0].tasks.values()))[0]


def test_another_serializer_is_used_from_then_on_for_known_functions_too(executor, service):
    assert executor.submit(double, 3).result(WAIT) == 6
    executor.serializer = ComputeSerializer(AllCodeStrategies())
    assert executor.submit(double, 4).result(WAIT) == 8
    assert [each.meta["serde_identifier"] for each in service.functions.values()] == ["01", "12"]


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


def test_arguments_of_a_registered_function_are_checked(executor, client):
    function_id = client.register_function(double)
    with pytest.raises(TypeError, match=r"args should be a tuple.*5"):
        executor.submit_to_registered_function(function_id, 5)
    with pytest.raises(TypeError, match=r"kwargs should be a dictionary.*\{1: 2\}"):
        executor.submit_to_registered_function(function_id, kwargs={1: 2})


def test_source_code(executor):
    function_id = executor.register_source_code("def triple(x):\n    return 3 * x\n", "triple")
    assert executor.submit_to_registered_function(function_id, (5,)).result(WAIT) == 15


def test_hardware_details(executor):
    assert "processors:" in executor.get_worker_hardware_details()


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
