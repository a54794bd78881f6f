"""User endpoints: when they are told to start, who waits for that, and who is told what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from afield.service.domain.records import FunctionRecord, SubmitRecord, TaskRecord
from afield.service.domain.refusals import Refusal
from afield.service.domain.repeats import Repeated, Unclear
from afield.service.domain.starting import ECHO_S, FAILURES
from afield.service.settings import Limits
from afield.service.store.memory import MemoryStore
from afield.wire.commands import CONTENT_TYPE

pytestmark = pytest.mark.anyio

WAIT_S = 20.0


@pytest.fixture
def limits() -> Limits:
    return Limits(start_wait_s=WAIT_S)


class GatedStore(MemoryStore):
    """Commits tasks when it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def add_tasks(
        self,
        tasks: Sequence[TaskRecord],
        submit: SubmitRecord | None = None,
        functions: Sequence[FunctionRecord] = (),
        **options: Any,
    ) -> Repeated | Unclear | None:
        self.reached.set()
        await self.gate.wait()
        return await super().add_tasks(tasks, submit, functions, **options)


def later(awaitable) -> asyncio.Task:
    return asyncio.ensure_future(awaitable)


async def waiting(world) -> None:
    """Until a submit waits for the clock."""
    while not world.clock.sleepers:
        await asyncio.sleep(0)


async def test_the_command_is_what_published_endpoints_take(world):
    """Wire contract, section 5.6."""
    core, function_id = await world.core(), await world.function()
    runtime = {"globus_compute_sdk_version": "4.19.0", "python_version": "3.11"}
    submitting = later(world.submit(core, function_id, user_endpoint_config={"workers": 2}, user_runtime=runtime))
    command = await core.commands.get()
    [properties] = core.properties
    assert properties.content_type == CONTENT_TYPE
    assert properties.timestamp == int(world.clock.now())
    assert command.command == "cmd_start_endpoint"
    assert command.globus_username == "ada"
    assert command.globus_effective_identity == world.ada.id
    [identity] = command.globus_identity_set
    assert {
        "sub": world.ada.id,
        "id": world.ada.id,
        "username": "ada",
        "email": "ada@example.org",
    }.items() <= identity.items()
    credentials = command.kwargs.amqp_creds
    assert command.kwargs.name == f"uep.{core.id}.{credentials.endpoint_id}"
    assert command.kwargs.user_opts == {"workers": 2}
    assert command.kwargs.user_runtime == runtime
    written = credentials.result_queue_info
    assert written.queue_publish_kwargs == {
        "exchange": "results", "routing_key": f"{credentials.endpoint_id}.results", "mandatory": True,
        "properties": {"delivery_mode": 2},
    }  # fmt: skip
    await (await core.start(command)).report()
    await submitting


async def test_the_submit_waits_for_the_first_report(world):
    core, function_id = await world.core(), await world.function()
    submitting = later(world.submit(core, function_id))
    user = await core.start()
    assert not submitting.done()
    assert await world.store.waiting_counts() == {}
    await user.report()
    accepted = await submitting
    assert (await (await user.consume()).tasks.get()).task_id == accepted.tasks[function_id][0]


async def test_a_start_that_fails_refuses_the_submit(world):
    core, function_id = await world.core(), await world.function()
    submitting = later(world.submit(core, function_id))
    await (await core.start()).report(error="Engine nosuch is not known")
    with pytest.raises(Refusal) as info:
        await submitting
    assert (info.value.status, info.value.code) == (422, "SEMANTICALLY_INVALID")
    assert info.value.message == "Request payload failed validation: Engine nosuch is not known"
    assert await world.store.waiting_counts() == {}


async def test_while_the_failed_process_ends_the_next_submit_hears_the_same(world):
    """A published core endpoint does nothing for one that it believes to run (seen with 4.19)."""
    core, function_id = await world.core(wire=1), await world.function()
    submitting = later(world.submit(core, function_id))
    await (await core.start()).report(error="Engine nosuch is not known")
    with pytest.raises(Refusal):
        await submitting
    world.clock.advance(ECHO_S - 1)
    with pytest.raises(Refusal, match="nosuch"):
        await world.submit(core, function_id)
    assert core.commands.empty()
    world.clock.advance(1)
    submitting = later(world.submit(core, function_id))
    await (await core.start()).report()
    await submitting


async def test_one_that_came_up_after_all_is_used(world):
    core, function_id = await world.core(wire=1), await world.function()
    submitting = later(world.submit(core, function_id))
    user = await core.start()
    await user.report(error="not yet")
    with pytest.raises(Refusal):
        await submitting
    await user.report()
    await world.submit(core, function_id)


@pytest.mark.parametrize("wire", [1, 2])
async def test_tasks_do_not_wait_for_one_that_fails_to_start_again_and_again(world, wire):
    """They were accepted while nobody could tell; each learns what a submit would have been told."""
    core, function_id = await world.core(wire=wire, online=False), await world.function()
    accepted = await world.submit(core, function_id, 2, wire=wire)
    watcher = await world.watch(accepted)
    for number in range(1, FAILURES + 1):
        await core.report()
        await world.uses.revive.look_around()
        assert watcher.empty()
        await (await core.start()).report(error=f"no such engine, {number}")
        world.clock.advance(60)
    views = await world.store.tasks(accepted.tasks[function_id])
    for view in views.values():
        assert view.finished.error.code == "NoWorkers"
        assert b"3 times in a row" in view.finished.data
        assert b"no such engine, 3" in view.finished.data
    assert (await watcher.get()).body
    # The next one is tried as if nothing had been.
    submitting = later(world.submit(core, function_id))
    await core.report()
    await (await core.start()).report()
    await submitting


async def test_failures_that_are_not_in_a_row_fail_no_task(world):
    core, function_id = await world.core(online=False), await world.function()
    accepted = await world.submit(core, function_id)
    for number in range(2 * FAILURES):
        await core.report()
        await world.uses.revive.look_around()
        user = await core.start()
        await (user.report() if number % FAILURES == FAILURES - 1 else user.report(error="the disk is full"))
        world.clock.advance(200)
    [view] = (await world.store.tasks(accepted.tasks[function_id])).values()
    assert view.finished is None


async def test_the_second_telling_of_a_failure_hits_nobody_else(world):
    core, function_id = await world.core(), await world.function()
    one = later(world.submit(core, function_id, user_endpoint_config={"a": 1}))
    failing = await core.start()
    two = later(world.submit(core, function_id, user_endpoint_config={"a": 2}))
    fine = await core.start()
    await failing.report(error="no such engine")
    await core.report(error="(SystemExit) 73", heartbeat_period=3)
    with pytest.raises(Refusal):
        await one
    assert not two.done()
    await fine.report()
    assert (await two).tasks[function_id]


async def test_an_error_of_the_core_endpoint_alone_refuses_what_waits_there(world):
    core, function_id = await world.core(), await world.function()
    submitting = later(world.submit(core, function_id))
    await core.commands.get()
    await core.report(error="Ignoring start request for untrusted identity")
    with pytest.raises(Refusal, match="untrusted identity"):
        await submitting
    assert (await world.uses.endpoints.status(world.ada, core.id)).status == "online"


async def test_without_an_answer_the_task_waits_instead_of_the_submitter(world):
    core, function_id = await world.core(), await world.function()
    submitting = later(world.submit(core, function_id))
    await core.commands.get()
    await waiting(world)
    world.clock.advance(WAIT_S - 1)
    await asyncio.sleep(0)
    assert not submitting.done()
    world.clock.advance(1)
    accepted = await submitting
    [task_id] = accepted.tasks[function_id]
    assert (await world.uses.watch.task(world.ada, task_id, 1)).status == "waiting-for-ep"


async def test_while_the_core_endpoint_is_away_the_task_waits(world):
    core, function_id = await world.core(online=False), await world.function()
    accepted = await world.submit(core, function_id)
    assert core.commands.empty()

    await core.report()
    user = await (await core.start()).consume()
    assert (await user.tasks.get()).task_id == accepted.tasks[function_id][0]


async def test_a_running_one_of_ours_is_not_told_again(world):
    core, _, function_id = await world.ready(wire=2)
    await world.submit(core, function_id)
    assert core.commands.empty()


async def test_a_running_published_one_gets_fresh_credentials(world):
    """Wire contract, section 8.5: on every submit."""
    core, user, function_id = await world.ready(wire=1)
    await world.submit(core, function_id)
    assert (await core.commands.get()).kwargs.amqp_creds.endpoint_id == user.id


async def test_submits_that_wait_for_the_same_process_tell_it_once(world):
    core, function_id = await world.core(), await world.function()
    one, two = later(world.submit(core, function_id)), later(world.submit(core, function_id))
    user = await core.start()
    await waiting(world)
    await user.report()
    await one, await two
    assert core.commands.empty()


async def test_one_that_has_left_is_started_again(world):
    core, user, function_id = await world.ready()
    await user.report(active=False)
    submitting = later(world.submit(core, function_id))
    again = await core.start()
    assert again.id == user.id
    await again.report()
    await submitting


async def test_one_that_was_not_heard_of_is_started_again(world):
    core, user, function_id = await world.ready()
    world.clock.advance(76)
    await core.report()
    submitting = later(world.submit(core, function_id))
    again = await core.start()
    await again.report()
    await submitting
    assert again.id == user.id


async def test_other_people_and_configurations_have_processes_of_their_own(world):
    core, user, function_id = await world.ready(multi_user=True)
    theirs = await world.function(world.bob)
    ids = {user.id}
    for submit in (
        world.submit(core, function_id, user_endpoint_config={"workers": 2}),
        world.submit(core, theirs, caller=world.bob),
    ):
        submitting = later(submit)
        other = await core.start()
        await other.report()
        await submitting
        ids.add(other.id)
    assert len(ids) == 3


class TestRevived:
    """Tasks wait, and no submit comes that would start what they need."""

    async def test_one_that_leaves_as_tasks_arrive(self, world):
        core, user, function_id = await world.ready()
        await user.connection.close()  # it takes nothing any more
        accepted = await world.submit(core, function_id)
        world_sees = await world.broker.connect(user.credentials.task_queue_info.connection_url)
        user.connection = world_sees
        await user.report(active=False)
        again = await (await core.start()).consume()
        assert (await again.tasks.get()).task_id == accepted.tasks[function_id][0]

    async def test_one_that_leaves_with_nothing_to_do_is_left_alone(self, world):
        core, user, _ = await world.ready()
        await user.report(active=False)
        assert core.commands.empty()

    async def test_one_that_died_without_a_word(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id)
        assert await user.tasks.get()
        await user.connection.close()
        world.clock.advance(76)
        await core.report()
        await world.uses.revive.look_around()
        again = await (await core.start()).consume()
        assert (await again.tasks.get()).task_id == accepted.tasks[function_id][0]

    async def test_it_is_not_tried_without_end(self, world):
        core, _, function_id = await world.ready()
        await world.submit(core, function_id)
        tried_at = []
        for second in range(0, 3600, 10):
            world.clock.advance(10)
            await core.report()
            await world.uses.revive.look_around()
            while not core.commands.empty():
                core.commands.get_nowait()
                tried_at.append(second)
        pauses = [after - before for before, after in pairwise(tried_at)]
        assert pauses[:3] == [10, 20, 40]
        assert pauses == sorted(pauses)
        assert max(pauses) == 900

    async def test_a_core_endpoint_that_was_killed_with_a_submit_waiting_is_told_again(self, world):
        """The command went down with it; the submit need not wait for its patience to end."""
        core, function_id = await world.core(), await world.function()
        submitting = later(world.submit(core, function_id))
        await core.commands.get()
        registration = world.registration()
        registered = await world.uses.register_endpoint.again(world.ada, core.id, registration)
        core = await world.play(registered)
        await core.report()
        user = await (await core.start()).consume()
        await user.report()
        assert (await user.tasks.get()).task_id in (await submitting).tasks[function_id]

    async def test_one_that_is_there_is_left_alone(self, world):
        core, _, function_id = await world.ready()
        await world.submit(core, function_id)
        await world.uses.revive.look_around()
        assert core.commands.empty()

    async def test_a_core_endpoint_that_comes_back_is_told(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id)
        await user.connection.close()
        await core.report(heartbeat_period=0)
        world.clock.advance(100)
        await core.report()
        again = await (await core.start()).consume()
        assert (await again.tasks.get()).task_id == accepted.tasks[function_id][0]

    @pytest.mark.parametrize("online", [False, True])
    async def test_what_changes_while_tasks_are_committed_is_seen(self, world, online):
        """A core endpoint comes, or a user endpoint leaves, after the submit looked and before its tasks are there."""
        store = GatedStore()
        world = await type(world)(store, world.limits).start()
        if online:
            core, user, function_id = await world.ready()
        else:
            core, function_id = await world.core(online=False), await world.function()
        store.gate.clear()
        store.reached.clear()
        submitting = later(world.submit(core, function_id))
        await store.reached.wait()
        await (user.report(active=False) if online else core.report())
        assert core.commands.empty()
        store.gate.set()
        await submitting
        assert await core.commands.get()
        await world.stop()
