"""Conformance suite for transports: what :class:`afield.sdk.transport.base.Transport` promises, as checks.

Each check is given an open transport to a service that knows nothing yet, and whose endpoints run tasks at once. Run
all of them on each implementation::

    @pytest.mark.parametrize("check", CHECKS)
    async def test_promise(check, transport):
        await check(transport)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from afield.errors import ComputeAPIError
from afield.ids import new_id
from afield.sdk.transport.base import Transport
from afield.wire.messages import CallOptions
from afield.wire.rest import CancelRequest, EndpointRegistration, FunctionRegistration, SubmitRequest

__all__ = ["CHECKS"]

_SOURCE: Final = FunctionRegistration("f", "def f():\n    return 'x'\n", serialized=False, meta={"a": 1})

#: an empty tuple and an empty dictionary, as JSON
_ARGUMENTS: Final = "5\n11\n[]5\n11\n{}"


async def a_submit_says_what_it_made(transport: Transport) -> None:
    """Tasks are accepted in order, and can be asked after in every way."""
    function_id, endpoint_id = await _registered(transport)
    request = SubmitRequest({function_id: [_ARGUMENTS] * 3}, create_queue=True)
    answer = await transport.submit(endpoint_id, request, new_id())
    ids = answer.tasks[function_id]
    assert len(set(ids)) == 3
    document = await transport.task(ids[0])
    assert document.status == "success"
    assert document.completion_t
    assert set((await transport.tasks(ids)).results) == set(ids)
    assert [task.id for task in (await transport.task_group(answer.task_group_id)).tasks] == ids
    queue = await transport.result_queue()
    assert queue.queue_prefix
    assert queue.connection_url


async def the_same_key_has_its_effect_once(transport: Transport) -> None:
    """One after the other, and with another key again."""
    function_id, endpoint_id = await _registered(transport)
    request, key = SubmitRequest({function_id: [_ARGUMENTS]}), new_id()
    first = await transport.submit(endpoint_id, request, key)
    assert await transport.submit(endpoint_id, request, key) == first
    assert (await transport.submit(endpoint_id, request, new_id())).tasks != first.tasks


async def functions_ride_in_a_submit(transport: Transport) -> None:
    """They are registered with it, and the answer brings all that the next steps need."""
    known, endpoint_id = await _registered(transport)
    request = SubmitRequest(
        {"new": [_ARGUMENTS] * 2, known: [_ARGUMENTS]}, create_queue=True, functions={"new": _SOURCE}
    )
    key = new_id()
    answer = await transport.submit(endpoint_id, request, key)
    assert answer.functions.keys() == {"new"}
    assert (await transport.function(answer.functions["new"])).function_name == "f"
    assert {name: len(ids) for name, ids in answer.tasks.items()} == {"new": 2, known: 1}
    assert answer.result_queue is not None
    assert answer.min_sdk_version
    again = await transport.submit(endpoint_id, request, key)
    assert again.functions == answer.functions
    assert again.tasks == answer.tasks
    assert again.result_queue is not None


async def nothing_of_a_refused_submit_happens(transport: Transport) -> None:
    """Not the functions in it either."""
    _, endpoint_id = await _registered(transport)
    before = await transport.list_functions()
    missing = new_id()
    request = SubmitRequest({"new": [_ARGUMENTS], missing: [_ARGUMENTS]}, functions={"new": _SOURCE})
    await _refused(transport.submit(endpoint_id, request, new_id()), "FUNCTION_NOT_FOUND", missing)
    assert await transport.list_functions() == before
    assert (await transport.list_tasks()).tasks == []


async def a_wish_to_cancel_is_answered_for_each_task(transport: Transport) -> None:
    """What has ended stays as it ended; what nobody knows is said to be unknown."""
    function_id, endpoint_id = await _registered(transport)
    answer = await transport.submit(endpoint_id, SubmitRequest({function_id: [_ARGUMENTS]}), new_id())
    (ended,), unknown = answer.tasks[function_id], new_id()
    for running in (True, False):
        told = (await transport.cancel(CancelRequest([ended, unknown], running))).results
        assert {task_id: each.status for task_id, each in told.items()} == {ended: "success", unknown: "unknown"}
    assert (await transport.task(ended)).status == "success"


async def tasks_are_listed_and_found(transport: Transport) -> None:
    """The newest first, page by page, by everything that can be asked for."""
    function_id, endpoint_id = await _registered(transport)
    requests = [
        SubmitRequest({function_id: [_ARGUMENTS]}, options=CallOptions(label=label)) for label in ("red", "green", None)
    ]
    answers = [await transport.submit(endpoint_id, request, new_id()) for request in requests]
    red, green, plain = [answer.tasks[function_id][0] for answer in answers]

    async def ids(**filters: str) -> list[str]:
        return [task.task_id for task in (await transport.list_tasks(**filters)).tasks]  # type: ignore[arg-type]

    assert await ids() == [plain, green, red]
    assert await ids(search="gree") == [green]
    assert await ids(endpoint_id=endpoint_id, function_id=function_id, status="success") == [plain, green, red]
    assert await ids(task_group_id=answers[0].task_group_id) == [red]
    assert await ids(status="pending") == await ids(endpoint_id=new_id()) == await ids(function_id=new_id()) == []
    first = await transport.list_tasks(limit=2)
    assert [task.task_id for task in first.tasks] == [plain, green]
    assert first.tasks[1].label == "green"
    assert first.tasks[1].function_name == "f"
    rest = await transport.list_tasks(limit=2, before=first.next)
    assert [task.task_id for task in rest.tasks] == [red]
    assert rest.next is None


async def functions_are_listed_and_found(transport: Transport) -> None:
    """The newest first, page by page, by name."""
    ids = [
        (await transport.register_function(FunctionRegistration(name, "def f(): ...", serialized=False))).function_uuid
        for name in ("apple", "pear")
    ]
    everything = await transport.list_functions()
    assert [each.function_uuid for each in everything.functions] == ids[::-1]
    assert everything.next is None
    assert [each.function_name for each in (await transport.list_functions(search="ppl")).functions] == ["apple"]
    first = await transport.list_functions(limit=1)
    assert [each.function_name for each in first.functions] == ["pear"]
    rest = await transport.list_functions(limit=1, before=first.next)
    assert [each.function_name for each in rest.functions] == ["apple"]


async def endpoints_are_found_by_name(transport: Transport) -> None:
    """By a part of it."""
    for name in ("laptop", "cluster"):
        await transport.register_endpoint(EndpointRegistration(name), None)
    assert [each.name for each in await transport.endpoints(None, "apt")] == ["laptop"]
    assert await transport.endpoints("any", "nothing like it") == []


async def functions_come_and_go(transport: Transport) -> None:
    """What was registered can be read, until it is removed."""
    function_id, _ = await _registered(transport)
    found = await transport.function(function_id)
    assert found.function_name == "f"
    assert found.metadata == {"a": 1}
    assert await transport.delete_function(function_id) == {"result": 302}
    await _refused(transport.function(function_id), "FUNCTION_NOT_FOUND", function_id)


async def endpoints_come_and_go(transport: Transport) -> None:
    """All that can be asked of an endpoint, and of the list of them."""
    _, endpoint_id = await _registered(transport)
    (found,) = await transport.endpoints("any")
    assert found.uuid == endpoint_id
    assert (await transport.endpoints(None)) == [found]
    assert (await transport.endpoint(endpoint_id)).hostname == "h"
    assert (await transport.endpoint_status(endpoint_id)).status == "offline"
    assert (await transport.allowed_functions(endpoint_id)).restricted is False
    assert (await transport.register_endpoint(EndpointRegistration("ep"), endpoint_id)).endpoint_id == endpoint_id
    assert (await transport.lock_endpoint(endpoint_id)).endpoint_id == endpoint_id
    assert await transport.delete_endpoint(endpoint_id) == {"result": 302}
    await _refused(transport.endpoint(endpoint_id), "ENDPOINT_NOT_FOUND", endpoint_id)


async def the_version_is_told(transport: Transport) -> None:
    """Before anything else."""
    assert (await transport.version()).min_sdk_version


async def a_refusal_names_what_it_is_about(transport: Transport) -> None:
    """Of whatever kind that is."""
    i = new_id()
    await _refused(transport.task(i), "TASK_NOT_FOUND", i)
    await _refused(transport.task_group(i), "TASK_GROUP_NOT_FOUND", i)
    await _refused(transport.function(i), "FUNCTION_NOT_FOUND", i)
    await _refused(transport.endpoint(i), "ENDPOINT_NOT_FOUND", i)
    _, endpoint_id = await _registered(transport)
    await _refused(transport.submit(endpoint_id, SubmitRequest({i: [_ARGUMENTS]}), new_id()), "FUNCTION_NOT_FOUND", i)


async def an_unknown_task_among_several_has_its_reason(transport: Transport) -> None:
    """It does not make the question fail."""
    unknown = new_id()
    document = (await transport.tasks([unknown])).results[unknown]
    assert document.status == "failed"
    assert isinstance(document.reason, str)
    assert unknown in document.reason


async def calls_may_be_under_way_together(transport: Transport) -> None:
    """Each gets its own answer."""
    function_id, endpoint_id = await _registered(transport)
    counts = range(1, 9)
    answers = await asyncio.gather(
        *(transport.submit(endpoint_id, SubmitRequest({function_id: [_ARGUMENTS] * n}), new_id()) for n in counts)
    )
    assert [len(answer.tasks[function_id]) for answer in answers] == list(counts)


async def closing_twice_is_fine(transport: Transport) -> None:
    """Used or not."""
    await transport.version()
    await transport.close()
    await transport.close()


async def _registered(transport: Transport) -> tuple[str, str]:
    function_id = (await transport.register_function(_SOURCE)).function_uuid
    answer = await transport.register_endpoint(EndpointRegistration("ep", {"hostname": "h"}), None)
    return function_id, answer.endpoint_id


async def _refused(asked: Awaitable[object], code: str, what: str) -> None:
    (outcome,) = await asyncio.gather(asked, return_exceptions=True)
    assert isinstance(outcome, ComputeAPIError)
    assert outcome.http_status == 404
    assert outcome.code == code
    assert what in str(outcome)


#: every check, to be run each with a fresh service
CHECKS: Final[tuple[Callable[[Transport], Awaitable[None]], ...]] = (
    a_submit_says_what_it_made,
    the_same_key_has_its_effect_once,
    functions_ride_in_a_submit,
    nothing_of_a_refused_submit_happens,
    a_wish_to_cancel_is_answered_for_each_task,
    tasks_are_listed_and_found,
    functions_are_listed_and_found,
    endpoints_are_found_by_name,
    functions_come_and_go,
    endpoints_come_and_go,
    the_version_is_told,
    a_refusal_names_what_it_is_about,
    an_unknown_task_among_several_has_its_reason,
    calls_may_be_under_way_together,
    closing_twice_is_fine,
)
