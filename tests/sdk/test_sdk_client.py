"""The Client: the published methods, one by one."""

from __future__ import annotations

import uuid
import warnings

import pytest

from afield import Batch, Client, ComputeSerializer, UserRuntime
from afield.errors import (
    ComputeAPIError,
    ConfigurationError,
    InvalidId,
    SerdeError,
    TaskCancelled,
    TaskExecutionFailed,
    TaskPending,
    VersionMismatch,
)
from afield.sdk.pages import PAGE
from afield.sdk.transport.memory import MemoryService, stop_here
from afield.serialize import AllCodeStrategies, JSONData
from afield.wire.messages import ErrorDetails, Result
from afield.wire.rest import EndpointSummary

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
UNKNOWN = "00000000-0000-0000-0000-000000000000"


def double(x=1):
    """Twice as much."""
    return 2 * x


@pytest.fixture
def endpoint(service):
    service.registered[ENDPOINT] = EndpointSummary(ENDPOINT, "ep", "EP", "somebody", "host", "online")
    return ENDPOINT


def test_run_and_get_result(client):
    function_id = client.register_function(double)
    task_id = client.run(4, endpoint_id=ENDPOINT, function_id=function_id)
    assert client.get_result(task_id) == 8
    assert client.get_result(uuid.UUID(task_id)) == 8
    task = client.get_task(task_id)
    assert task == {
        "task_id": task_id, "pending": False, "status": "success", "result": 8, "completion_t": "1700000000.5",
    }  # fmt: skip


def test_a_pending_task(client, service):
    service.work = lambda function, task: None
    task_id = client.run(endpoint_id=ENDPOINT, function_id=client.register_function(double))
    with pytest.raises(TaskPending) as caught:
        client.get_result(task_id)
    assert caught.value.reason == "waiting-for-ep"
    assert client.get_task(task_id) == {"task_id": task_id, "pending": True, "status": "waiting-for-ep"}


def test_a_failed_task(client, service):
    service.work = lambda function, task: Result(task.id, b"Traceback: oh", ErrorDetails("RemoteExecutionError", "oh"))
    task_id = client.run(endpoint_id=ENDPOINT, function_id=client.register_function(double))
    with pytest.raises(TaskExecutionFailed, match="Traceback: oh"):
        client.get_result(task_id)
    state = client.get_batch_result([task_id])[task_id]
    assert not state["pending"]
    assert state["status"] == "failed"
    assert state["reason"] == "Traceback: oh"
    assert isinstance(state["exception"], TaskExecutionFailed)
    assert client.get_task(task_id)["status"] == "failed"


def test_a_result_that_cannot_be_read_does_not_hide_the_others(client, service):
    good = client.run(endpoint_id=ENDPOINT, function_id=client.register_function(double))
    service.work = lambda function, task: Result(task.id, b"00\nnonsense")
    bad = client.run(endpoint_id=ENDPOINT, function_id=client.register_function(double))
    states = client.get_batch_result([good, bad])
    assert states[good]["result"] == 2
    assert "nonsense" in states[bad]["reason"] or "DillDataBase64" in states[bad]["reason"]


def test_a_batch(client, service):
    function_id = client.register_function(double)
    batch = client.create_batch(
        user_endpoint_config={"a": 1}, result_serializers=["globus_compute_sdk.serialize.JSONData", JSONData]
    )
    for x in range(5):
        batch.add(function_id, args=(x,))
    batch.add(uuid.UUID(function_id), kwargs={"x": 9})
    assert len(batch) == 6
    assert "6 calls" in repr(batch)
    answer = client.batch_run(ENDPOINT, batch)
    assert set(answer) == {"tasks", "request_id", "task_group_id", "endpoint_id"}
    ids = answer["tasks"][function_id]
    results = client.get_batch_result(ids)
    assert [results[task_id]["result"] for task_id in ids] == [0, 2, 4, 6, 8, 18]
    client.run(endpoint_id=ENDPOINT, function_id=function_id)
    assert {submit.task_group_id for submit in service.submits} == {client.session_task_group_id}
    assert answer["task_group_id"] == client.session_task_group_id
    assert service.submits[0].user_endpoint_config == {"a": 1}
    assert service.submits[0].result_serializers == ["globus_compute_sdk.serialize.concretes.JSONData"] * 2
    assert service.submits[0].create_queue is False


def test_a_batch_says_what_is_wrong(client):
    batch = client.create_batch()
    assert not batch
    with pytest.raises(ValueError, match="empty"):
        client.batch_run(ENDPOINT, batch)
    with pytest.raises(InvalidId, match="function"):
        batch.add("double", (1,))
    with pytest.raises(TypeError, match="args should"):
        batch.add(UNKNOWN, "abc")
    with pytest.raises(TypeError, match="kwargs should"):
        batch.add(UNKNOWN, (), {1: 2})
    with pytest.raises(TypeError, match="create_batch"):
        client.batch_run(ENDPOINT, [UNKNOWN])
    with pytest.raises(TypeError, match="user_endpoint_config should be a dictionary"):
        client.create_batch(user_endpoint_config=["a"])
    with pytest.raises(SerdeError, match="'json' is not a serialization strategy"):
        client.create_batch(result_serializers=["json"])
    with pytest.raises(TypeError, match="resource_specification cannot be written as JSON"):
        client.create_batch(resource_specification={"a": object()})


def test_what_a_batch_sends():
    runtime = UserRuntime("4.0.0", "3.0.0", "3.11", UserRuntime.PythonInfo.here(), UserRuntime.PlatformInfo.here())
    batch = Batch(ENDPOINT, {"num_nodes": 1}, None, True, ComputeSerializer(strategy_data=JSONData()), runtime)
    batch.add(UNKNOWN, (1,), {"a": 2})
    sent = batch.prepare()
    assert sent["tasks"] == {UNKNOWN: ['6\n11\n[1]11\n11\n{"a": 2}']}
    assert sent["create_queue"] is True
    assert sent["task_group_id"] == ENDPOINT
    assert sent["resource_specification"] == {"num_nodes": 1}
    assert set(sent["user_runtime"]) == {
        "globus_compute_sdk_version", "globus_sdk_version", "python_version", "python", "platform",
    }  # fmt: skip
    assert "user_endpoint_config" not in sent
    assert "result_serializers" not in sent


def test_functions(client, service):
    function_id = client.register_function(double, metadata={"a": 1}, public=True)
    found = client.get_function(function_id)
    assert found["function_name"] == "double"
    assert found["description"] == "Twice as much."
    assert found["metadata"]["a"] == 1
    assert found["public"]
    source_id = client.register_source_code("def f():\n    return 3\n", "f", description="three")
    assert client.get_result(client.run(endpoint_id=ENDPOINT, function_id=source_id)) == 3
    assert client.delete_function(function_id) == {"result": 302}
    with pytest.raises(ComputeAPIError, match=function_id) as caught:
        client.get_function(function_id)
    assert caught.value.http_status == 404
    with pytest.raises(ValueError, match="excludes"):
        client.register_function(double, public=True, ha_endpoint_id=ENDPOINT)


def test_the_strategies_of_a_client(service):
    with Client(
        transport=service,
        connector=service.broker,
        code_serialization_strategy=AllCodeStrategies(),
        data_serialization_strategy=JSONData(),
    ) as client:
        function_id = client.register_function(double)
        assert client.get_function(function_id)["metadata"]["serde_identifier"] == "12"
        assert client.get_result(client.run(2, endpoint_id=ENDPOINT, function_id=function_id)) == 4


def test_endpoints(client, service, endpoint):
    assert client.get_endpoints()[0]["uuid"] == endpoint
    assert client.get_endpoint_status(endpoint) == {"status": "online", "details": {}}
    metadata = client.get_endpoint_metadata(endpoint)
    assert metadata["hostname"] == "host"
    assert metadata["multi_user"] is False
    assert client.get_allowed_functions(endpoint) == {"endpoint_id": endpoint, "restricted": False, "functions": []}
    assert client.stop_endpoint(endpoint)["endpoint_id"] == endpoint
    assert client.delete_endpoint(endpoint) == {"result": 302}
    with pytest.raises(ComputeAPIError, match=endpoint):
        client.get_endpoint_status(endpoint)


def test_registering_an_endpoint(client, service):
    answer = client.register_endpoint("mine", None, metadata={"hostname": "here"}, admins=[uuid.UUID(ENDPOINT)])
    assert service.registered[answer["endpoint_id"]].hostname == "here"
    assert answer["command_queue_info"]["queue"]
    again = client.register_endpoint("mine", ENDPOINT)
    assert again["endpoint_id"] == ENDPOINT


def test_hardware_details_are_a_task(client):
    assert "python:" in client.get_result(client.get_worker_hardware_details(ENDPOINT))


def test_credentials_of_the_stream(client):
    assert set(client.get_result_amqp_url()) == {"queue_prefix", "connection_url"}


@pytest.mark.parametrize(
    ("what", "ask"),
    [
        ("task", lambda c: c.get_task("x")),
        ("task", lambda c: c.get_result("x")),
        ("task", lambda c: c.get_batch_result(["x"])),
        ("function", lambda c: c.get_function("x")),
        ("function", lambda c: c.delete_function("x")),
        ("endpoint", lambda c: c.get_endpoint_status("x")),
        ("endpoint", lambda c: c.get_endpoint_metadata("x")),
        ("endpoint", lambda c: c.get_allowed_functions("x")),
        ("endpoint", lambda c: c.stop_endpoint("x")),
        ("endpoint", lambda c: c.delete_endpoint("x")),
        ("endpoint", lambda c: c.run(endpoint_id="x", function_id=UNKNOWN)),
        ("function", lambda c: c.run(endpoint_id=ENDPOINT, function_id="x")),
    ],
)
def test_what_is_no_id_is_refused_before_anything_is_asked(client, service, what, ask):
    with pytest.raises(InvalidId) as caught:
        ask(client)
    assert caught.value.what == what
    assert service.requests == []


def test_unknown_tasks(client):
    with pytest.raises(ComputeAPIError, match=UNKNOWN) as caught:
        client.get_task(UNKNOWN)
    assert caught.value.http_status == 404
    state = client.get_batch_result([UNKNOWN])[UNKNOWN]
    assert state == {
        "task_id": UNKNOWN, "pending": False, "status": "unknown", "reason": f"unknown task id {UNKNOWN}",
    }  # fmt: skip


def test_version_check(client, service):
    client.version_check()
    client.version_check("4.19.0")
    with pytest.raises(Exception, match=r"endpoints from 4\.0\.0 on"):
        client.version_check("3.9.1")


def test_constructing_asks_nothing(service):
    Client(transport=service, connector=service.broker)
    assert service.requests == []


def test_parameters_that_exclude_each_other_or_are_unknown():
    with pytest.raises(ValueError, match="app and authorizer exclude"):
        Client(app=object(), authorizer=object(), service_url="http://127.0.0.1:1")
    with pytest.raises(ValueError, match="authorizer and token exclude"):
        Client(authorizer=object(), token="t", service_url="http://127.0.0.1:1")
    with pytest.raises(TypeError, match="get_authorization_header"):
        Client(authorizer=object(), service_url="http://127.0.0.1:1")
    with pytest.raises(TypeError, match=r"get_authorizer\(\)"):
        Client(app=object(), service_url="http://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="'production'"):
        Client(environment="production")
    with pytest.warns(UserWarning, match="does not know 'flavour'"):
        Client(service_url="http://127.0.0.1:1", flavour="sweet")
    assert Client(local_compute_services=True).service_url == "http://127.0.0.1:5000"


def test_logging_out_of_credentials_of_the_program_only_warns():
    with pytest.warns(UserWarning, match="nothing to forget"):
        Client(service_url="http://127.0.0.1:1", token="t").logout()


# -- lists and cancelling ---------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(client, service):
    """Ids of three tasks that no endpoint has taken yet, in the order in which they were sent."""
    service.work = lambda function, task: None
    function_id = client.register_function(double)
    return [client.run(x, endpoint_id=ENDPOINT, function_id=function_id) for x in range(3)]


def test_tasks_are_listed_the_newest_first(client, waiting):
    listed = list(client.list_tasks())
    assert [task["task_id"] for task in listed] == waiting[::-1]
    assert listed[0].keys() >= {"status", "since", "created_at", "endpoint_id", "function_name", "label"}
    assert [task["task_id"] for task in client.list_tasks(limit=2)] == waiting[:0:-1]


def test_tasks_are_found_by_what_they_are(client, service, waiting, in_loop):
    in_loop(lambda: service.finish(Result(waiting[1], b"13\n1")))
    assert [task["task_id"] for task in client.list_tasks("success")] == [waiting[1]]
    assert len(list(client.list_tasks("pending", endpoint_id=ENDPOINT, search="doub"))) == 2
    function_id = uuid.UUID(service.tasks_by_id[waiting[0]].function_id)
    assert len(list(client.list_tasks(function_id=function_id, task_group_id=client.session_task_group_id))) == 3
    assert list(client.list_tasks(function_id=UNKNOWN)) == []
    assert list(client.list_tasks(search="nothing of that name")) == []


def test_a_long_list_is_asked_for_as_far_as_somebody_reads(client, service):
    names = [f"f{number}" for number in range(PAGE * 2 + 1)]
    for name in names:
        client.register_source_code(f"def {name}(): pass", name)
    service.requests.clear()
    functions = client.list_functions()
    assert service.requests == []
    assert next(functions)["function_name"] == names[-1]
    assert service.requests == ["list_functions"]
    assert [function["function_name"] for function in functions] == names[-2::-1]
    assert service.requests == ["list_functions"] * 3
    assert len(list(client.list_functions(limit=PAGE + 1))) == PAGE + 1


def test_functions_are_found_by_a_part_of_their_name(client):
    client.register_function(double)
    client.register_source_code("def other(): pass", "other", description="Another one.")
    assert [function["function_name"] for function in client.list_functions("oubl")] == ["double"]
    assert [function["description"] for function in client.list_functions(search="Anoth")] == ["Another one."]


def test_endpoints_are_found_by_a_part_of_their_name(client, endpoint):
    assert [found["uuid"] for found in client.get_endpoints("any", search="E")] == [endpoint]
    assert client.get_endpoints(search="else") == []


@pytest.mark.parametrize(
    ("wrong", "ask"),
    [
        ("status should be one of", lambda c: c.list_tasks("finished")),
        ("status should be one of", lambda c: c.list_tasks("unsent")),
        ("limit is how many", lambda c: c.list_tasks(limit=0)),
        ("limit is how many", lambda c: c.list_functions(limit=-1)),
        ("not a task group id", lambda c: c.list_tasks(task_group_id="x")),
        ("role should be", lambda c: c.get_endpoints("admin")),
        ("name should be", lambda c: c.register_endpoint("", None)),
        ("function_name should be", lambda c: c.register_source_code("def f(): pass", "not a name")),
        ("not a group id", lambda c: c.register_function(double, group="my group")),
    ],
)
def test_bad_values_are_refused_at_the_call(client, service, wrong, ask):
    with pytest.raises(ValueError, match=wrong):
        ask(client)
    assert service.requests == []


def test_tasks_are_cancelled(client, service, waiting):
    service.stop = lambda task, running: None if task.id == waiting[2] else stop_here(task, running)
    answer = client.cancel_tasks([*waiting[1:], uuid.UUID(UNKNOWN)])
    assert answer == {
        waiting[1]: {"status": "cancelled"},
        waiting[2]: {"status": "waiting-for-ep"},
        UNKNOWN: {"status": "unknown"},
    }
    assert client.get_task(waiting[1])["status"] == "cancelled"
    with pytest.raises(TaskCancelled):
        client.get_result(waiting[1])
    client.cancel_tasks(waiting, running=False)
    assert [wish.running for wish in service.cancels] == [True, False]
    assert client.cancel_tasks([]) == {}


@pytest.mark.parametrize("ask", [Client.cancel_tasks, Client.get_batch_result])
def test_task_ids_come_in_a_list_or_in_an_answer(client, service, ask):
    with pytest.raises(TypeError, match=r"write \[task_id\]"):
        ask(client, UNKNOWN)
    with pytest.raises(TypeError, match="answer of batch_run"):
        ask(client, {"a": 1})
    assert service.requests == []
    batch = client.create_batch()
    batch.add(client.register_function(double))
    answer = client.batch_run(ENDPOINT, batch)
    [task_id] = next(iter(answer["tasks"].values()))
    assert ask(client, answer).keys() == ask(client, (task_id,)).keys() == {task_id}


def test_functions_for_another_python_are_refused_with_a_way_out(client, service):
    service.pythons[ENDPOINT] = "3.1.4"
    function_id = client.register_function(double)
    with pytest.raises(VersionMismatch, match=r"3\.1\.4.*register_source_code"):
        client.run(endpoint_id=ENDPOINT, function_id=function_id)
    source_id = client.register_source_code("def f():\n    return 3\n", "f")
    assert client.get_result(client.run(endpoint_id=ENDPOINT, function_id=source_id)) == 3


def test_a_client_can_be_closed_twice_and_used_again():
    service = MemoryService()
    client = Client(transport=service, connector=service.broker)
    client.close()
    client.version_check()
    client.close()
    client.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.version_check()
    client.close()
