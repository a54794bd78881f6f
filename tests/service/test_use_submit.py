"""Submitting: what is refused, what is accepted, and what is never done twice."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from afield.errors import InvalidId
from afield.ids import new_id
from afield.service.domain.records import FunctionRecord, SubmitRecord, TaskRecord
from afield.service.domain.refusals import Refusal
from afield.service.domain.repeats import Repeated, Unclear
from afield.service.settings import Limits
from afield.service.store.memory import MemoryStore
from afield.states import TaskState
from afield.wire import codec
from afield.wire.rest import SubmitRequest

pytestmark = pytest.mark.anyio


@pytest.fixture
def limits() -> Limits:
    return Limits(payload_bytes=100, submit_tasks=5)


async def refused(awaitable) -> Refusal:
    with pytest.raises(Refusal) as info:
        await awaitable
    return info.value


async def test_a_task_goes_there_and_its_result_comes_back(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 3)
    task_ids = accepted.tasks[function_id]
    watched = await world.watch(accepted)
    tasks = [await user.tasks.get() for _ in range(3)]
    assert [task.task_id for task in tasks] == task_ids
    assert {task.function_id for task in tasks} == {function_id}
    assert tasks[0].code == b"15\nst\nf:def f(): 1"
    assert tasks[0].payload == world.payload.encode()

    await user.send(world.success(task_ids[0]), world.failure(task_ids[1]))
    delivery = await watched.get()
    assert [result.task_id for result in codec.decode(delivery.body)] == task_ids[:2]
    statuses = (await world.uses.watch.tasks(world.ada, task_ids, 2)).results
    assert [statuses[one].status for one in task_ids] == ["success", "failed", "waiting-for-ep"]


async def test_the_answer_is_what_published_clients_parse(world):
    core, _, function_id = await world.ready()
    accepted = await world.submit(core, function_id.upper(), 2)
    for text in (
        accepted.request_id,
        accepted.task_group_id,
        accepted.endpoint_id,
        *accepted.tasks[function_id.upper()],
    ):
        assert str(uuid.UUID(text)) == text
    assert accepted.endpoint_id == core.id


async def test_several_functions_keep_their_order(world):
    core, user, one = await world.ready()
    two = await world.function()
    request = SubmitRequest(tasks={two: [world.payload] * 2, one: [world.payload]}, create_queue=True)
    await world.uses.submit(world.ada, core.id, request, wire=2)
    tasks = [await user.tasks.get() for _ in range(3)]
    assert [task.function_id for task in tasks] == [two, two, one]


async def test_options_travel_with_the_tasks(world):
    core, user, function_id = await world.ready()
    await world.submit(core, function_id, resource_specification={"num_nodes": 2}, result_serializers=["a.B", "c.D"])
    task = await user.tasks.get()
    assert task.resource_specification == {"num_nodes": 2}
    assert task.result_serializers == ("a.B", "c.D")


async def test_a_published_endpoint_gets_one_message_for_each_task(world):
    core, user, function_id = await world.ready(wire=1)
    user.tags.clear()
    accepted = await world.submit(core, function_id, 3, result_serializers=["a.B"])
    tasks = [await user.tasks.get() for _ in range(3)]
    assert [task.task_id for task in tasks] == accepted.tasks[function_id]
    assert tasks[0].result_serializers == ("a.B",)
    assert len(user.tags) == 3


async def test_ours_gets_many_tasks_in_a_message(world):
    core, user, function_id = await world.ready(wire=2)
    user.tags.clear()
    await world.submit(core, function_id, 3)
    for _ in range(3):
        await user.tasks.get()
    assert len(user.tags) == 1


class TestRefused:
    async def test_an_unknown_endpoint(self, world):
        function_id, nowhere = await world.function(), new_id()
        refusal = await refused(
            world.uses.submit(world.ada, nowhere, SubmitRequest({function_id: [world.payload]}), wire=1)
        )
        assert (refusal.status, refusal.code) == (404, "ENDPOINT_NOT_FOUND")
        assert nowhere in refusal.message

    async def test_somebody_elses_endpoint(self, world):
        core, function_id = await world.core(), await world.function(world.bob)
        refusal = await refused(world.submit(core, function_id, caller=world.bob))
        assert (refusal.status, refusal.code) == (403, "ENDPOINT_ACCESS_FORBIDDEN")

    async def test_what_is_no_id(self, world):
        core, function_id = await world.core(), await world.function()
        with pytest.raises(InvalidId):
            await world.submit(core, "nonsense")
        with pytest.raises(InvalidId):
            await world.uses.submit(world.ada, "nonsense", SubmitRequest({function_id: [world.payload]}), wire=1)
        with pytest.raises(InvalidId):
            await world.submit(core, function_id, task_group_id="nonsense")

    async def test_an_unknown_function(self, world):
        core = await world.core()
        refusal = await refused(world.submit(core, new_id()))
        assert (refusal.status, refusal.code) == (404, "FUNCTION_NOT_FOUND")

    async def test_a_deleted_function(self, world):
        core, function_id = await world.core(), await world.function()
        await world.uses.functions.delete(world.ada, function_id)
        assert (await refused(world.submit(core, function_id))).code == "FUNCTION_NOT_FOUND"

    async def test_somebody_elses_function(self, world):
        core, function_id = await world.core(), await world.function(world.bob)
        refusal = await refused(world.submit(core, function_id))
        assert (refusal.status, refusal.code) == (403, "FUNCTION_ACCESS_FORBIDDEN")

    async def test_a_function_that_the_endpoint_does_not_allow(self, world):
        allowed, other = await world.function(), await world.function()
        core = await world.core(allowed_functions=[allowed], online=False)
        refusal = await refused(world.submit(core, other))
        assert (refusal.status, refusal.code) == (403, "FUNCTION_NOT_PERMITTED")
        assert (await world.submit(core, allowed)).tasks[allowed]

    async def test_no_tasks(self, world):
        core, function_id = await world.core(), await world.function()
        for tasks in ({}, {function_id: []}):
            refusal = await refused(world.uses.submit(world.ada, core.id, SubmitRequest(tasks), wire=1))
            assert (refusal.status, refusal.code) == (422, "SEMANTICALLY_INVALID")

    async def test_too_many_tasks(self, world):
        core, function_id = await world.core(), await world.function()
        refusal = await refused(world.submit(core, function_id, 6))
        assert (refusal.status, refusal.code) == (413, "BATCH_RUN_TOO_LARGE")

    @pytest.mark.parametrize("character", ["x", "ä", "🐍"])
    async def test_too_large_a_payload(self, world, character):
        core, function_id = await world.core(online=False), await world.function()
        size = len(character.encode())
        for count, fits in ((95 // size, True), (97 // size + 1, False)):
            payload = f"{count}\n{character * count}0\n"
            assert (len(payload.encode()) <= 100) is fits
            submitting = world.uses.submit(world.ada, core.id, SubmitRequest({function_id: [payload]}), wire=1)
            if fits:
                await submitting
            else:
                refusal = await refused(submitting)
                assert (refusal.status, refusal.code) == (413, "TASK_PAYLOAD_TOO_LARGE")

    async def test_a_payload_that_is_not_packed(self, world):
        core, function_id = await world.core(), await world.function()
        request = SubmitRequest({function_id: [world.payload, "3\nab"]})
        refusal = await refused(world.uses.submit(world.ada, core.id, request, wire=1))
        assert refusal.status == 422
        assert f"tasks[{function_id}][1]" in refusal.message

    async def test_a_name_that_is_the_endpoints_own(self, world):
        core, function_id = await world.core(), await world.function()
        refusal = await refused(world.submit(core, function_id, user_endpoint_config={"user_runtime": 1}))
        assert refusal.status == 422

    async def test_then_nothing_was_stored_or_sent(self, world):
        core, function_id, theirs = await world.core(), await world.function(), await world.function(world.bob)
        request = SubmitRequest({function_id: [world.payload], theirs: [world.payload]}, create_queue=True)
        await refused(world.uses.submit(world.ada, core.id, request, wire=2))
        assert await world.store.waiting_counts() == {}
        assert core.commands.empty()


class TestTaskGroups:
    async def test_tasks_may_join_a_group(self, world):
        core, _, function_id = await world.ready()
        first = await world.submit(core, function_id)
        second = await world.submit(core, function_id, task_group_id=first.task_group_id)
        assert second.task_group_id == first.task_group_id
        group = await world.uses.watch.group(world.ada, first.task_group_id, 2)
        assert [task.id for task in group.tasks] == first.tasks[function_id] + second.tasks[function_id]

    async def test_without_one_each_submit_has_its_own(self, world):
        core, _, function_id = await world.ready()
        assert (await world.submit(core, function_id)).task_group_id != (
            await world.submit(core, function_id)
        ).task_group_id

    async def test_an_id_that_nobody_has_may_be_chosen(self, world):
        core, _, function_id = await world.ready()
        mine = str(uuid.uuid4())
        assert (await world.submit(core, function_id, task_group_id=mine.upper())).task_group_id == mine

    async def test_somebody_elses_is_refused(self, world):
        core, _, function_id = await world.ready()
        accepted = await world.submit(core, function_id)
        theirs, function_id = await world.core(world.bob, online=False), await world.function(world.bob)
        refusal = await refused(
            world.submit(theirs, function_id, caller=world.bob, task_group_id=accepted.task_group_id)
        )
        assert (refusal.status, refusal.code) == (403, "TASK_GROUP_ACCESS_FORBIDDEN")

    async def test_its_queue_is_there_before_the_answer(self, world):
        """Published clients declare nothing; they connect when they have the answer."""
        core, _, function_id = await world.ready()
        await world.watch(await world.submit(core, function_id))  # raises BrokerRefused where there is no queue


class TestRepeated:
    async def test_the_same_key_gets_the_same_answer_and_is_done_once(self, world):
        core, user, function_id = await world.ready()
        first = await world.submit(core, function_id, 2, key="k")
        assert await world.submit(core, function_id, 2, key="k") == first
        await user.tasks.get(), await user.tasks.get()
        other = await world.submit(core, function_id, key="other")
        assert (await user.tasks.get()).task_id == other.tasks[function_id][0]

    async def test_without_a_key_alike_is_not_the_same(self, world):
        """Two equal calls are two calls."""
        core, _, function_id = await world.ready()
        assert await world.submit(core, function_id) != await world.submit(core, function_id)

    async def test_keys_of_others_are_others(self, world):
        core, _, function_id = await world.ready(multi_user=True)
        theirs = await world.function(world.bob)
        first = await world.submit(core, function_id, key="k")
        submitting = asyncio.ensure_future(world.submit(core, theirs, caller=world.bob, key="k"))
        await (await core.start()).report()
        assert (await submitting).tasks.keys() != first.tasks.keys()

    async def test_one_that_is_under_way_is_joined(self, world):
        """The first waits for a user endpoint, and its client has lost patience."""
        core, function_id = await world.core(), await world.function()
        first = asyncio.ensure_future(world.submit(core, function_id, key="k"))
        user = await core.start()
        second = asyncio.ensure_future(world.submit(core, function_id, key="k"))
        await user.report()
        assert await second == await first
        assert await world.store.waiting_counts() == {user.id: 1}

    async def test_after_a_commit_that_seemed_to_fail(self, world):
        """The database took it, and went out of reach before it said so."""
        core, user, function_id = await world.ready()
        add_tasks = world.store.add_tasks

        async def breaks_off(*arguments, **options):
            await add_tasks(*arguments, **options)
            raise ConnectionResetError("gone before the answer")

        world.store.add_tasks = breaks_off
        with pytest.raises(ConnectionResetError):
            await world.submit(core, function_id, 2, key="k")
        world.store.add_tasks = add_tasks
        answers = [await world.submit(core, function_id, 2, key="k") for _ in range(2)]
        assert answers[0] == answers[1]
        assert [(await user.tasks.get()).task_id for _ in range(2)] == answers[0].tasks[function_id]
        assert user.tasks.empty()

    async def test_joined_ones_are_refused_together(self, world):
        core, function_id = await world.core(), await world.function()
        first = asyncio.ensure_future(world.submit(core, function_id, key="k"))
        user = await core.start()
        second = asyncio.ensure_future(world.submit(core, function_id, key="k"))
        await asyncio.sleep(0)
        await user.report(error="no such engine")
        for submitting in (first, second):
            assert (await refused(submitting)).status == 422

    async def test_a_submit_may_be_tried_again_after_a_refusal(self, world):
        core, function_id = await world.core(), await world.function()
        first = asyncio.ensure_future(world.submit(core, function_id, key="k"))
        await (await core.start()).report(error="no such engine")
        await refused(first)
        second = asyncio.ensure_future(world.submit(core, function_id, key="k"))
        await (await core.start()).report()
        assert (await second).tasks[function_id]

    async def test_it_is_recognised_by_a_service_that_was_started_again(self, world):
        core, function_id = await world.core(online=False), await world.function()
        first = await world.submit(core, function_id, key="k")
        again = await type(world)(world.store, world.limits).start()
        assert await again.submit(core, function_id, key="k") == first
        await again.stop()

    async def test_it_is_recognised_even_if_it_would_be_refused_by_now(self, world):
        core, function_id = await world.core(online=False), await world.function()
        first = await world.submit(core, function_id, key="k")
        await world.uses.functions.delete(world.ada, function_id)
        assert await world.submit(core, function_id, key="k") == first
        assert (await refused(world.submit(core, function_id, key="another"))).code == "FUNCTION_NOT_FOUND"


class StoreWithoutRoom(MemoryStore):
    """Fails to accept tasks, as a full disk does."""

    async def add_tasks(
        self,
        tasks: Sequence[TaskRecord],
        submit: SubmitRecord | None = None,
        functions: Sequence[FunctionRecord] = (),
        **options: Any,
    ) -> Repeated | Unclear | None:
        raise OSError("no space left on device")


async def test_what_is_not_committed_is_not_sent(world):
    world = await type(world)(StoreWithoutRoom(), world.limits).start()
    core, function_id = await world.core(online=False), await world.function()
    with pytest.raises(OSError, match="no space"):
        await world.submit(core, function_id)
    [user_endpoint] = await world.store.user_endpoints()
    assert await world.broker.depth(f"{user_endpoint.id}.tasks") == 0
    await world.stop()


async def test_what_is_committed_is_accepted_though_the_broker_is_gone(world, caplog):
    core, _, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    await world.connection.close()
    accepted = await world.submit(core, function_id, task_group_id=accepted.task_group_id)
    [task_id] = accepted.tasks[function_id]
    assert (await world.uses.watch.task(world.ada, task_id, 2)).status == TaskState.WAITING_FOR_ENDPOINT
    assert "could not be queued" in caplog.text
    # the loops, which need the broker, end, and with them the service
    assert await world.supervisor.failed
    world.supervisor.failed = asyncio.get_running_loop().create_future()


async def test_a_client_that_does_not_ask_for_a_queue_gets_none(world):
    """Nothing piles up in memory for somebody who only asks."""
    core, user, function_id = await world.ready()
    request = SubmitRequest({function_id: [world.payload]})
    await world.uses.submit(world.ada, core.id, request, wire=1)
    task = await user.tasks.get()
    await user.send(world.success(task.task_id))
    assert (await world.uses.watch.task(world.ada, task.task_id, 1)).status == "success"
    view = (await world.store.tasks([task.task_id]))[task.task_id]
    assert await world.broker.depth(f"{world.ada.id}.{view.group_id}") == 0
    assert task.task_id not in {view.id for view in await world.store.undelivered()}


@pytest.mark.parametrize("name", ["resource_specification", "user_endpoint_config", "user_runtime"])
async def test_what_cannot_be_put_into_a_message_is_refused_before_it_is_stored(world, name):
    core, _, function_id = await world.ready()
    refusal = await refused(world.submit(core, function_id, **{name: {"num_nodes": 2**70}}))
    assert (refusal.status, refusal.code) == (422, "SEMANTICALLY_INVALID")
    assert name in refusal.message
    assert await world.store.waiting_counts() == {}
