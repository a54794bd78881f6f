"""What every way to reach a service promises: the one in memory, and HTTP over a real socket."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from afield.errors import ComputeAPIError
from afield.ids import new_id
from afield.sdk.transport.http import HttpTransport
from afield.sdk.transport.memory import MemoryService
from afield.wire.rest import EndpointRegistration, FunctionRegistration, SubmitRequest

pytestmark = pytest.mark.anyio

SOURCE = FunctionRegistration("f", "def f():\n    return 'x'\n", serialized=False, meta={"a": 1})


@asynccontextmanager
async def in_memory(_served):
    service = MemoryService()
    yield service
    await service.close()
    await service.close()


@asynccontextmanager
async def over_http(served):
    async def token():
        return "Bearer t"

    async with served(MemoryService()) as url:
        transport = HttpTransport(url, token, "a test")
        yield transport
        await transport.close()
        await transport.close()


@pytest.fixture(params=[in_memory, over_http])
async def transport(request, served):
    async with request.param(served) as made:
        yield made


async def registered(transport):
    function_id = (await transport.register_function(SOURCE)).function_uuid
    endpoint_id = (await transport.register_endpoint(EndpointRegistration("ep", {"hostname": "h"}), None)).endpoint_id
    return function_id, endpoint_id


#: an empty tuple and an empty dictionary, as JSON
ARGUMENTS = "5\n11\n[]5\n11\n{}"


async def test_a_submit_and_what_became_of_it(transport):
    function_id, endpoint_id = await registered(transport)
    answer = await transport.submit(
        endpoint_id, SubmitRequest({function_id: [ARGUMENTS] * 3}, create_queue=True), new_id()
    )
    ids = answer.tasks[function_id]
    assert len(set(ids)) == 3
    document = await transport.task(ids[0])
    assert document.status == "success"
    assert document.completion_t
    status = await transport.tasks(ids)
    assert set(status.results) == set(ids)
    group = await transport.task_group(answer.task_group_id)
    assert [task.id for task in group.tasks] == ids
    queue = await transport.result_queue()
    assert queue.queue_prefix
    assert queue.connection_url


async def test_the_same_key_has_its_effect_once(transport):
    function_id, endpoint_id = await registered(transport)
    request, key = SubmitRequest({function_id: [ARGUMENTS]}), new_id()
    first = await transport.submit(endpoint_id, request, key)
    assert await transport.submit(endpoint_id, request, key) == first
    other = await transport.submit(endpoint_id, request, new_id())
    assert other.tasks != first.tasks


async def test_functions(transport):
    function_id, _ = await registered(transport)
    found = await transport.function(function_id)
    assert found.function_name == "f"
    assert found.metadata == {"a": 1}
    assert await transport.delete_function(function_id) == {"result": 302}


async def test_endpoints(transport):
    _, endpoint_id = await registered(transport)
    (found,) = await transport.endpoints("any")
    assert found.uuid == endpoint_id
    assert (await transport.endpoints(None)) == [found]
    assert (await transport.endpoint(endpoint_id)).hostname == "h"
    assert (await transport.endpoint_status(endpoint_id)).status == "offline"
    assert (await transport.allowed_functions(endpoint_id)).restricted is False
    assert (await transport.register_endpoint(EndpointRegistration("ep"), endpoint_id)).endpoint_id == endpoint_id
    assert (await transport.lock_endpoint(endpoint_id)).endpoint_id == endpoint_id
    assert await transport.delete_endpoint(endpoint_id) == {"result": 302}


async def test_the_version(transport):
    assert (await transport.version()).min_sdk_version


@pytest.mark.parametrize(
    ("code", "ask"),
    [
        ("TASK_NOT_FOUND", lambda t, i: t.task(i)),
        ("TASK_GROUP_NOT_FOUND", lambda t, i: t.task_group(i)),
        ("FUNCTION_NOT_FOUND", lambda t, i: t.function(i)),
        ("ENDPOINT_NOT_FOUND", lambda t, i: t.endpoint(i)),
        ("FUNCTION_NOT_FOUND", lambda t, i: t.submit(i, SubmitRequest({i: [""]}), "key")),
    ],
)
async def test_a_refusal_names_what_it_is_about(transport, code, ask):
    unknown = new_id()
    with pytest.raises(ComputeAPIError, match=unknown) as caught:
        await ask(transport, unknown)
    assert caught.value.http_status == 404
    assert caught.value.code == code


async def test_an_unknown_task_among_several_is_told_with_its_reason(transport):
    unknown = new_id()
    document = (await transport.tasks([unknown])).results[unknown]
    assert document.status == "failed"
    assert unknown in document.reason
