"""Limits as people meet them: how much may wait, whose turn it is, how large a result may be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from afield.service.domain.records import SubmitRecord, TaskRecord
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits
from afield.service.store.memory import MemoryStore
from afield.wire import codec

from .conftest import World

pytestmark = pytest.mark.anyio


class TestWaiting:
    @pytest.fixture
    def limits(self):
        return Limits(waiting_per_user=10, waiting_per_endpoint=15, submit_tasks=100)

    async def test_one_person_may_have_so_many_waiting_wherever_that_is(self, world):
        function_id = await world.function()
        one, other = await world.core(online=False), await world.core(online=False)
        await world.submit(one, function_id, 6)
        await world.submit(other, function_id, 4)
        with pytest.raises(Refusal, match=r"10 tasks waiting.* one too many|1 too many") as told:
            await world.submit(other, function_id)
        assert (told.value.status, told.value.code) == (429, "TOO_MANY_TASKS_WAITING")
        assert told.value.headers == {"retry-after": "10"}
        bobs = await world.function(world.bob)
        await world.submit(await world.core(world.bob, online=False), bobs, 10, caller=world.bob)

    async def test_so_many_may_wait_for_one_endpoint_whoever_submitted_them(self, world):
        core = await world.core(online=False, multi_user=True)
        function_id = await world.function(public=True)
        await world.submit(core, function_id, 8)
        await world.submit(core, function_id, 7, caller=world.bob)
        with pytest.raises(Refusal, match=rf"15 tasks wait for endpoint {core.id}"):
            await world.submit(core, function_id, caller=world.bob)
        await world.submit(await world.core(online=False), function_id, 2)

    async def test_there_is_room_again_when_tasks_have_ended(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id, 10)
        with pytest.raises(Refusal, match="waiting"):
            await world.submit(core, function_id)
        await user.send(*map(world.success, accepted.tasks[function_id]))
        await world.submit(core, function_id, 10)

    async def test_what_can_never_fit_is_told_at_once(self, world):
        core = await world.core(online=False)
        with pytest.raises(Refusal) as told:
            await world.submit(core, await world.function(), 11)
        assert (told.value.status, told.value.code) == (413, "BATCH_RUN_TOO_LARGE")

    async def test_nothing_of_a_refused_submit_is_accepted(self, world):
        core, function_id = await world.core(online=False), await world.function()
        await world.submit(core, function_id, 9)
        with pytest.raises(Refusal):
            await world.submit(core, function_id, 2)
        assert sum((await world.store.waiting_counts()).values()) == 9
        await world.submit(core, function_id, 1)

    async def test_a_repetition_is_answered_though_the_queue_is_full(self, world):
        core, function_id = await world.core(online=False), await world.function()
        first = await world.submit(core, function_id, 10, key="k")
        assert (await world.submit(core, function_id, 10, key="k")).tasks == first.tasks

    async def test_submits_at_once_do_not_get_past_it_together(self, world):
        core, function_id = await world.core(online=False), await world.function()
        answers = await asyncio.gather(*(world.submit(core, function_id, 4) for _ in range(5)), return_exceptions=True)
        assert sorted(isinstance(answer, Refusal) for answer in answers) == [False, False, True, True, True]


class GatedStore(MemoryStore):
    """Writes tasks when it is told to, and remembers the order."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Semaphore(0)
        self.begun: list[tuple[str, int]] = []
        self.someone = asyncio.Event()

    async def add_tasks(self, tasks: Sequence[TaskRecord], submit: SubmitRecord | None = None, *rest, **said):
        self.begun.append((tasks[0].owner_id, len(tasks)))
        self.someone.set()
        await self.gate.acquire()
        return await super().add_tasks(tasks, submit, *rest, **said)


async def test_one_task_does_not_stand_in_line_behind_a_hundred_thousand():
    store = GatedStore()
    world = await World(store, Limits(commit_tasks=10_000)).start()
    core = await world.core(online=False, multi_user=True)
    function_id = await world.function(public=True)
    flood = [asyncio.ensure_future(world.submit(core, function_id, 10_000)) for _ in range(10)]
    await store.someone.wait()
    single = asyncio.ensure_future(world.submit(core, function_id, 1, caller=world.bob))
    while len(world.uses.keep._line._waiting) < 10:  # all ten others have come as far as the line
        await asyncio.sleep(0)
    assert store.begun == [(world.ada.id, 10_000)]
    store.gate.release()
    store.gate.release()
    accepted = await single
    assert [one.done() for one in flood].count(True) <= 1
    for _ in flood:
        store.gate.release()
    await asyncio.gather(*flood)
    assert [owner for owner, _ in store.begun] == [world.ada.id, world.bob.id] + [world.ada.id] * 9
    # From here on nobody is in anybody's way: bob's task is in a queue of its own.
    queues = {one.identity_id: one.id for one in await store.user_endpoints()}
    assert [t.id for t in await store.waiting_tasks(queues[world.bob.id])] == accepted.tasks[function_id]
    await world.stop()


async def test_who_leaves_while_waiting_for_their_turn_holds_up_nobody():
    store = GatedStore()
    world = await World(store, Limits(commit_tasks=1)).start()
    core, function_id = await world.core(online=False), await world.function()
    first, second, third = (asyncio.ensure_future(world.submit(core, function_id)) for _ in range(3))
    while len(world.uses.keep._line._waiting) < 2:
        await asyncio.sleep(0)
    second.cancel()
    for _ in range(2):
        store.gate.release()
    await asyncio.gather(first, third)
    assert second.cancelled()
    assert len(store.begun) == 2
    await world.stop()


class TestResults:
    @pytest.fixture
    def limits(self):
        return Limits(result_bytes=100)

    async def test_a_result_that_is_too_large_is_a_failure_that_says_so(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id, 2)
        watched = await world.watch(accepted)
        large, small = accepted.tasks[function_id]
        await user.send(world.success(large, b"x" * 101), world.success(small, b"x" * 100))
        got = {}
        while len(got) < 2:
            got |= {one.task_id: one for one in codec.decode((await watched.get()).body)}
        assert got[large].error.code == "MaxResultSizeExceeded"
        assert got[small].error is None
        assert (await world.uses.watch.task(world.ada, large, 1)).status == "failed"
