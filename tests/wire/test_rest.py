"""The bodies of the REST API: what published clients send is read, and what they index is always there."""

import json
from typing import Any

import msgspec
import pytest

from afield.wire import rest
from afield.wire.commands import ReadQueue, WriteQueue


def said(body: msgspec.Struct) -> Any:
    return json.loads(msgspec.json.encode(body))


def nulls(value: Any, path: str = "") -> list[str]:
    if value is None:
        return [path]
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in nulls(inner, f"{path}.{key}")]
    return [found for inner in value for found in nulls(inner, path)] if isinstance(value, list) else []


# -- tasks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "keys"),
    [
        (rest.TaskDocument("t", "waiting-for-ep"), {"task_id", "status"}),
        (rest.TaskDocument("t", "success", result="", completion_t="1.5"),
         {"task_id", "status", "result", "completion_t"}),
        (rest.TaskDocument("t", "failed", exception="", completion_t="1", reason="", error_code="WorkerLost"),
         {"task_id", "status", "exception", "completion_t", "reason", "error_code"}),
        (rest.TaskDocument("t", "success", details={}), {"task_id", "status", "details"}),
    ],
)  # fmt: skip
def test_a_task_has_the_keys_it_was_given_and_no_null(document: rest.TaskDocument, keys: set[str]) -> None:
    # Published clients test whether a key is there, so an empty result is not an absent one, and a null is a result.
    assert set(said(document)) == keys
    assert nulls(said(document)) == []


def test_no_field_of_a_task_can_hold_null() -> None:
    for name in rest.TaskDocument.__struct_fields__:
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(json.dumps({"task_id": "t", "status": "s", name: None}), type=rest.TaskDocument)


def test_a_batch_of_tasks_is_a_dictionary() -> None:
    batch = rest.BatchStatus({"t": rest.TaskDocument("t", "failed", exception="x", reason="Unknown task id")})
    assert said(batch) == {
        "response": "batch",
        "results": {"t": {"task_id": "t", "status": "failed", "exception": "x", "reason": "Unknown task id"}},
    }


# -- what published clients send -------------------------------------------------------------------------------------


def test_the_smallest_and_the_largest_submit() -> None:
    smallest = msgspec.json.decode(b'{"tasks":{"f":["a","b"]},"create_queue":false}', type=rest.SubmitRequest)
    assert smallest == rest.SubmitRequest(tasks={"f": ["a", "b"]})
    largest = {
        "create_queue": True,
        "tasks": {"f": ["a"]},
        "task_group_id": "g",
        "resource_specification": {"num_nodes": 2},
        "user_endpoint_config": {"x": None},
        "user_runtime": {"python": {"version_info": [3, 11]}},
        "result_serializers": ["globus_compute_sdk.serialize.concretes.JSONData"],
    }
    request = msgspec.json.decode(json.dumps(largest), type=rest.SubmitRequest)
    assert said(request) == largest


def test_a_submit_of_ours_says_only_what_is_set() -> None:
    assert said(rest.SubmitRequest({"f": ["a"]})) == {"tasks": {"f": ["a"]}}


def test_what_is_ours_in_an_answer_is_said_only_where_it_is_set() -> None:
    assert set(said(rest.SubmitResponse("r", "g", "e", {"f": ["t"]}))) == {
        "request_id", "task_group_id", "endpoint_id", "tasks",
    }  # fmt: skip
    ours = rest.SubmitResponse("r", "g", "e", {}, {"n": "f"}, rest.ResultQueue("p.", "amqp://x"), "3.12.1", "4.0.0")
    assert msgspec.json.decode(msgspec.json.encode(ours), type=rest.SubmitResponse) == ours


def test_the_registration_of_a_published_endpoint() -> None:
    body = {
        "endpoint_name": "laptop",
        "metadata": {"endpoint_version": "4.19.0", "hostname": "h", "user_config_schema": None},
        "public": False,
        "high_assurance": False,
    }
    read = msgspec.json.decode(json.dumps(body), type=rest.EndpointRegistration)
    assert (read.endpoint_name, read.metadata, read.multi_user) == ("laptop", body["metadata"], False)
    assert read.allowed_functions is None
    more = body | {"multi_user": True, "display_name": "My", "allowed_functions": ["f"], "admins": ["i"], "new": 1}
    read = msgspec.json.decode(json.dumps(more), type=rest.EndpointRegistration)
    assert (read.multi_user, read.display_name, read.allowed_functions, read.admins) == (True, "My", ["f"], ["i"])


def test_the_registration_of_a_published_function() -> None:
    body = b'{"function_name":"f","function_code":"5\\n01\\nab","serialized":true,"meta":{"serde_identifier":"01"}}'
    read = msgspec.json.decode(body, type=rest.FunctionRegistration)
    assert (read.function_name, read.function_code, read.serialized) == ("f", "5\n01\nab", True)
    source = msgspec.json.decode(body.replace(b"true", b"false"), type=rest.FunctionRegistration)
    assert source.serialized is False
    # Nobody sends "serialized" when it is what the default says, and the default is a packed buffer.
    assert "serialized" not in said(read)
    assert said(source)["serialized"] is False


# -- what published clients index ------------------------------------------------------------------------------------

READ = ReadQueue("amqp://a:b@h/%2F", "commands", "c.commands")
WRITE = WriteQueue("amqp://a:b@h/%2F", "heartbeats", "heartbeats", {"exchange": "heartbeats"})


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (rest.VersionInfo("2", "4.0.0", "4.0.0", "4.0.0"), {"min_sdk_version", "min_ep_version"}),
        (rest.SubmitResponse("r", "g", "e", {"f": ["t"]}), {"request_id", "task_group_id", "endpoint_id", "tasks"}),
        (rest.EndpointRegistered("e", READ, WRITE, WRITE),
         {"endpoint_id", "command_queue_info", "heartbeat_queue_info", "result_queue_info", "warnings"}),
        (rest.FunctionRegistered("f"), {"function_uuid"}),
        (rest.FunctionDocument("f", "name", "code"),
         {"function_uuid", "function_name", "function_code", "description", "metadata"}),
        (rest.EndpointDocument("e", "n", "o"),
         {"uuid", "name", "display_name", "multi_user", "high_assurance", "public", "endpoint_config",
          "user_config_template", "user_config_schema", "description", "hostname", "local_user", "ip_address",
          "endpoint_version", "sdk_version", "python_version", "subscription_uuid"}),
        (rest.EndpointSummary("e", "n", None, "o"), {"uuid", "name", "display_name", "owner"}),
        (rest.EndpointStatus("online", {}), {"status", "details"}),
        (rest.AllowedFunctions("e", restricted=False, functions=[]), {"endpoint_id", "restricted", "functions"}),
        (rest.LockResponse("e", 1.0), {"endpoint_id", "lock_expiration_timestamp"}),
        (rest.ResultQueue("p.", "amqp://a:b@h/%2F"), {"queue_prefix", "connection_url"}),
        (rest.TaskGroupDocument("g", [rest.GroupTask("t", "2026-01-01")]), {"taskgroup_id", "tasks"}),
        (rest.ErrorBody("TASK_NOT_FOUND", 404, "d", "d"),
         {"status", "code", "error_args", "http_status_code", "detail", "reason"}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_the_keys_that_clients_index_are_there(body: msgspec.Struct, keys: set[str]) -> None:
    assert keys <= set(said(body))


def test_a_queue_is_described_as_published() -> None:
    registered = said(rest.EndpointRegistered("e", READ, WRITE, WRITE))
    assert set(registered["command_queue_info"]) == {"connection_url", "exchange", "queue"}
    assert set(registered["heartbeat_queue_info"]) == {"connection_url", "exchange", "queue", "queue_publish_kwargs"}


def test_the_list_of_public_names_is_true() -> None:
    here = [value for value in vars(rest).values() if getattr(value, "__module__", "") == rest.__name__]
    assert rest.__all__ == sorted(value.__name__ for value in here if issubclass(value, msgspec.Struct))
