"""Published user endpoints acknowledge tasks before they run them. When one ends, what it took along must not hang."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from afield.broker.base import Properties
from afield.ids import new_id
from afield.service.domain.holding import EARLY, GRACE_S, Holding, runs_again
from afield.service.domain.names import command_queue, task_queue
from afield.service.flows.settled import Settled
from afield.wire import codec
from afield.wire.messages import CallOptions

pytestmark = pytest.mark.anyio


@dataclass
class Acked:
    """A message that was acknowledged."""

    body: bytes
    properties: Properties
    reader: object


@dataclass(eq=False)
class Wire:
    """A user endpoint's connection."""

    over: bool = False


class TestHolding:
    old, new = Wire(over=True), Wire()

    @pytest.fixture
    def holding(self) -> Holding:
        holding = Holding()
        holding.begin([("a", "u"), ("b", "u"), ("c", "u"), ("x", "v")])
        assert holding.taken("u", ["a", "b"], self.old) == ["a", "b"]
        return holding

    def test_what_is_queued_is_not_lost_with_a_life(self, holding):
        assert holding.queued("u") == 1
        holding.life_ended("u", 20.0)
        assert holding.lost(20.0 + GRACE_S) == ["a", "b"]
        assert holding.queued("u") == 1

    def test_results_may_still_come_for_a_while(self, holding):
        holding.life_ended("u", 20.0)
        assert holding.lost(19.9 + GRACE_S) == []
        holding.end(["a"])
        assert holding.lost(20.0 + GRACE_S) == ["b"]

    def test_what_the_next_life_took_is_not_the_old_ones(self, holding):
        holding.taken("u", ["c"], self.new)
        assert holding.readers("u") == {self.old, self.new}
        holding.life_ended("u", 20.0, but=[self.new])
        assert holding.lost(1e9) == ["a", "b"]
        assert holding.is_taken("c")

    def test_one_that_was_out_of_earshot_goes_on(self, holding):
        holding.life_ended("u", 20.0, silent=True)
        holding.life_goes_on("u")
        assert holding.lost(1e9) == []
        holding.life_ended("u", 30.0)
        assert holding.lost(1e9) == ["a", "b"]

    def test_the_reports_of_the_next_life_do_not_bring_back_the_old_one(self, holding):
        holding.life_ended("u", 20.0, but=[self.new])
        holding.life_goes_on("u")
        assert holding.lost(1e9) == ["a", "b"]

    def test_who_was_silent_and_then_said_goodbye_does_not_go_on(self, holding):
        holding.life_ended("u", 20.0, silent=True)
        holding.life_ended("u", 30.0)
        holding.life_goes_on("u")
        assert holding.lost(20.0 + GRACE_S) == ["a", "b"]

    def test_the_next_life_takes_back_what_is_its_own(self, holding):
        """It took a task before its first report, and was looked for in between."""
        holding.taken("u", ["c"], self.new)
        holding.life_ended("u", 20.0, silent=True)
        holding.life_ended("u", 21.0, but=[self.new])
        assert holding.lost(1e9) == ["a", "b"]
        assert holding.is_taken("c")

    def test_what_was_taken_early_is_that_lifes_which_reports_first(self, holding):
        holding.taken("u", ["c"], EARLY)
        holding.life_ended("u", 20.0, but=[EARLY])
        holding.reported("u")
        assert holding.lost(1e9) == ["a", "b"]
        holding.life_ended("u", 30.0, but=[EARLY])
        assert holding.lost(1e9) == ["a", "b", "c"]

    def test_who_never_reports_has_lost_what_was_taken_early(self, holding):
        holding.taken("u", ["c"], EARLY)
        holding.life_ended("u", 20.0, silent=True)
        assert holding.lost(1e9) == ["a", "b", "c"]

    def test_what_is_queued_again_is_nobodys(self, holding):
        holding.life_ended("u", 20.0)
        holding.queued_again(["a", "unknown"])
        assert holding.lost(1e9) == ["b"]
        assert holding.queued("u") == 2
        holding.taken("u", ["a"], self.new)
        assert holding.queued("u") == 1

    def test_nobody_takes_the_tasks_of_others(self, holding):
        assert holding.taken("u", ["x", "unknown"]) == []
        assert holding.queued("v") == 1

    def test_what_has_ended_is_forgotten(self, holding):
        holding.end(["a", "b", "c", "x", "unknown"])
        assert holding.holders() == []
        assert holding.holder("a") is None
        assert holding.taken("u", ["a"]) == []
        holding.life_ended("u", 20.0)
        assert holding.lost(1e9) == []
        assert holding.queued("u") == 0

    def test_accepting_twice_counts_once(self, holding):
        holding.begin([("a", "u")])
        holding.end(["a", "b", "c"])
        assert holding.holders() == ["v"]

    @pytest.mark.parametrize(("retries", "lost", "again"), [(0, 1, False), (1, 1, True), (1, 2, False), (2, 2, True)])
    def test_what_was_allowed_decides_what_runs_again(self, retries, lost, again):
        assert runs_again(CallOptions(retries=retries), lost) is again
        assert not runs_again(None, lost)


def acknowledged(world, user, *task_ids, by=None):
    """The broker tells the service of acknowledgements."""
    settled = Settled(world.store, world.records, world.in_flight, world.clock)
    headers = [Properties(headers={"task_uuid": task_id}) for task_id in task_ids]
    settled.taken(task_queue(user.id), [Acked(b"", one, by) for one in headers])
    return settled.flush()


async def reborn(world):
    """Another life of the service on the same store; all that was in memory is gone."""
    again = await type(world)(world.store, world.limits).start()
    again.clock.advance(world.clock.now() - again.clock.now())
    await again.uses.refill.everything()
    return again


async def reattach(world, user):
    """A user endpoint that lived on finds the new service."""
    user.connection = await world.broker.connect(user.credentials.task_queue_info.connection_url)
    user.tags.clear()
    return await user.consume()


async def taken(world):
    """A published user endpoint that has acknowledged two tasks and leaves a third in its queue."""
    core, user, function_id = await world.ready(wire=1)
    core.commands = type(core.commands)()
    await user.report(start_unix=100)
    accepted = await world.submit(core, function_id, 3)
    one, two, _ = accepted.tasks[function_id]
    await acknowledged(world, user, one, two)
    for _ in range(3):
        await user.tasks.get()
    return core, user, accepted, accepted.tasks[function_id]


async def status(world, task_id):
    return await world.uses.watch.task(world.ada, task_id, 1)


async def test_after_a_goodbye_they_fail_and_the_rest_waits(world):
    _, user, accepted, (one, two, three) = await taken(world)
    watched = await world.watch(accepted)
    await user.send(world.success(one))
    await user.report(active=False, start_unix=100)
    await world.uses.lose()
    assert (await status(world, two)).status == "waiting-for-launch"
    world.clock.advance(GRACE_S)
    await world.uses.lose()
    shown = await status(world, two)
    assert (shown.status, shown.error_code) == ("failed", "EndpointLost")
    assert "not run again" in shown.exception
    assert (await status(world, one)).status == "success"
    assert (await status(world, three)).status == "waiting-for-ep"
    results = [codec.decode((await watched.get()).body)[0] for _ in range(2)]
    assert [(result.task_id, result.error and result.error.code) for result in results] == [
        (one, None), (two, "EndpointLost"),
    ]  # fmt: skip


async def test_after_a_crash_they_fail_when_the_next_process_reports(world):
    _, user, _, (one, *_) = await taken(world)
    world.clock.advance(5)
    await user.report(start_unix=100)
    world.clock.advance(5)
    await user.report(start_unix=200)
    world.clock.advance(GRACE_S)
    await world.uses.lose()
    assert (await status(world, one)).error_code == "EndpointLost"


async def test_after_silence_they_fail(world):
    _, _, _, (one, *_) = await taken(world)
    world.clock.advance(80)
    await world.uses.revive.look_around()
    world.clock.advance(GRACE_S)
    await world.uses.lose()
    assert (await status(world, one)).error_code == "EndpointLost"


async def test_one_that_is_heard_of_again_keeps_them(world):
    _, user, _, (one, *_) = await taken(world)
    world.clock.advance(80)
    await world.uses.revive.look_around()
    await user.report(start_unix=100)
    world.clock.advance(GRACE_S)
    await world.uses.lose()
    assert (await status(world, one)).status == "waiting-for-launch"
    await user.send(world.success(one))
    assert (await status(world, one)).status == "success"


async def test_one_that_lives_keeps_them(world):
    _, user, _, (one, *_) = await taken(world)
    for _ in range(20):
        world.clock.advance(30)
        await user.report(start_unix=100)
        await world.uses.revive.look_around()
        await world.uses.lose()
    assert (await status(world, one)).status == "waiting-for-launch"


async def test_nothing_is_started_for_what_is_lost_anyway(world):
    core, user, _, (_, _, three) = await taken(world)
    await acknowledged(world, user, three)
    while not core.commands.empty():
        core.commands.get_nowait()
    await user.report(active=False, start_unix=100)
    assert core.commands.empty()


async def test_reports_of_the_next_process_do_not_keep_them_waiting(world):
    """It reports twice within the grace period, as published endpoints do."""
    _, user, _, (one, *_) = await taken(world)
    await user.report(start_unix=200)
    for _ in range(3):
        world.clock.advance(30)
        await user.report(start_unix=200)
        await world.uses.revive.look_around()
        await world.uses.lose()
    assert (await status(world, one)).error_code == "EndpointLost"


async def test_another_process_id_is_another_process(world):
    core, user, function_id = await world.ready(wire=1)
    await user.report(start_unix=100, posix_pid=1)
    accepted = await world.submit(core, function_id)
    [one] = accepted.tasks[function_id]
    await acknowledged(world, user, one)
    await user.report(start_unix=100, posix_pid=2)
    world.clock.advance(GRACE_S)
    await world.uses.lose()
    assert (await status(world, one)).error_code == "EndpointLost"


async def test_what_the_next_process_has_taken_before_it_reported_is_its_own(world):
    core, user, function_id = await world.ready(wire=1)
    await user.report(start_unix=100)
    one, two = (await world.submit(core, function_id, 2)).tasks[function_id]
    before, after = Wire(), Wire()
    await acknowledged(world, user, one, by=before)
    before.over = True
    await acknowledged(world, user, two, by=after)
    await user.report(start_unix=200)
    world.clock.advance(GRACE_S)
    await world.uses.lose()
    assert (await status(world, one)).error_code == "EndpointLost"
    assert (await status(world, two)).status == "waiting-for-launch"


async def test_a_command_that_fails_says_nothing_of_a_process_that_runs(world):
    _, user, _, (one, *_) = await taken(world)
    await user.report(error="the command was too old", heartbeat_period=3)
    world.clock.advance(29)
    await world.uses.revive.look_around()
    await user.report(start_unix=100)
    world.clock.advance(GRACE_S)
    await world.uses.revive.look_around()
    await world.uses.lose()
    assert (await status(world, one)).status == "waiting-for-launch"


async def test_an_endpoint_that_registers_anew_has_lost_what_ran(world):
    core, _, _, (one, two, three) = await taken(world)
    await world.uses.register_endpoint.again(world.ada, core.id, world.registration(1))
    await world.uses.revive.look_around()
    world.clock.advance(GRACE_S)
    await world.uses.lose()
    assert [(await status(world, i)).status for i in (one, two, three)] == ["failed", "failed", "waiting-for-ep"]


class TestServiceRestarts:
    async def test_what_runs_is_not_queued_again(self, world):
        _, user, accepted, (one, two, three) = await taken(world)
        again = await reborn(world)
        user = await reattach(again, user)
        assert (await user.tasks.get()).task_id == three
        assert user.tasks.empty()
        await user.report(start_unix=100)
        again.clock.advance(GRACE_S)
        await user.report(start_unix=100)
        await again.uses.revive.look_around()
        await again.uses.lose()
        watched = await again.watch(accepted)
        for task_id in (one, two, three):
            await user.send(again.success(task_id))
            assert [result.task_id for result in codec.decode((await watched.get()).body)] == [task_id]
        await again.stop()

    async def test_a_process_that_ended_meanwhile_is_missed(self, world):
        _, user, _, (one, _, three) = await taken(world)
        again = await reborn(world)
        assert again.in_flight.holding.queued(user.id) == 1
        # As long as it would be waited for had it just reported: the service was deaf, it was not mute.
        again.clock.advance(74)
        await again.uses.revive.look_around()
        again.clock.advance(GRACE_S)
        await again.uses.lose()
        assert (await status(again, one)).status == "waiting-for-launch"
        await again.uses.revive.look_around()
        again.clock.advance(GRACE_S)
        await again.uses.lose()
        assert (await status(again, one)).error_code == "EndpointLost"
        assert (await status(again, three)).status == "waiting-for-ep"
        await again.stop()

    async def test_a_process_that_had_not_reported_yet_keeps_what_it_took(self, world):
        core, user, _, (one, _, three) = await taken(world)
        registered = await world.uses.register_endpoint.again(world.ada, core.id, world.registration(1))
        await acknowledged(world, user, three)
        await world.submit(core, (await world.store.waiting_tasks(user.id))[0].function_id)
        again = await reborn(world)
        await again.uses.revive.look_around()
        core = await again.play(registered, 1)
        await core.report()
        user = await core.start()
        await user.report(start_unix=400)
        again.clock.advance(GRACE_S)
        await again.uses.revive.look_around()
        await again.uses.lose()
        assert (await status(again, one)).error_code == "EndpointLost"
        assert (await status(again, three)).status == "waiting-for-launch"
        await again.stop()

    async def test_a_process_that_was_replaced_meanwhile_has_lost_what_ran(self, world):
        _, user, _, (one, _, three) = await taken(world)
        again = await reborn(world)
        user = await reattach(again, user)
        await user.report(start_unix=300)
        await acknowledged(again, user, three, by=Wire())
        again.clock.advance(GRACE_S)
        await again.uses.lose()
        assert (await status(again, one)).error_code == "EndpointLost"
        assert (await status(again, three)).status == "waiting-for-launch"
        await again.stop()


async def test_what_may_run_again_is_queued_again_as_often_as_was_asked(world):
    """Published endpoints are not sent tasks with retries; one may have them when its software was changed."""
    core, user, function_id = await world.ready(wire=1)
    await user.report(start_unix=100)
    [blueprint] = (await world.submit(core, function_id)).tasks[function_id]
    stored = (await world.store.waiting_tasks(user.id))[0]
    options = msgspec.structs.replace(stored.options, call=CallOptions(retries=1))
    retried = msgspec.structs.replace(stored, id=new_id(), options=options)
    await world.store.add_tasks([retried])
    world.in_flight.begin([retried])
    await user.tasks.get()
    for start, ends_as in ((200, "waiting-for-ep"), (300, "failed")):
        await acknowledged(world, user, retried.id)
        await user.report(start_unix=start)
        world.clock.advance(GRACE_S)
        await world.uses.lose()
        assert (await status(world, retried.id)).status == ends_as
        if ends_as == "waiting-for-ep":
            assert (await user.tasks.get()).task_id == retried.id
    assert user.tasks.empty()
    assert (await status(world, blueprint)).status == "waiting-for-ep"


async def test_a_command_that_nobody_read_is_taken_back(world):
    """Read late, it would be reported as a start that failed, and hit whoever waits for another."""
    core, _, function_id = await world.ready(wire=1)
    await core.connection.close()
    await world.submit(core, function_id)
    unread = await world.broker.depth(command_queue(core.id))
    assert unread
    world.clock.advance(59)
    await world.uses.revive.look_around()
    assert await world.broker.depth(command_queue(core.id)) == unread
    world.clock.advance(1)
    await world.uses.revive.look_around()
    assert await world.broker.depth(command_queue(core.id)) == 0
