"""Published user endpoints acknowledge tasks before they run them. When one ends, what it took along must not hang."""

from __future__ import annotations

import pytest

from afield.service.domain.holding import GRACE_S, Holding
from afield.wire import codec

pytestmark = pytest.mark.anyio


class TestHolding:
    @pytest.fixture
    def holding(self) -> Holding:
        holding = Holding()
        holding.begin([("a", "u"), ("b", "u"), ("c", "u"), ("x", "v")])
        holding.taken("u", ["a", "b"], 10.0)
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
        holding.taken("u", ["c"], 15.0)
        holding.life_ended("u", 20.0, taken_by=12.0)
        assert holding.lost(1e9) == ["a", "b"]

    def test_one_that_was_out_of_earshot_goes_on(self, holding):
        holding.life_ended("u", 20.0)
        holding.life_goes_on("u")
        assert holding.lost(1e9) == []
        holding.life_ended("u", 30.0)
        assert holding.lost(1e9) == ["a", "b"]

    def test_nobody_takes_the_tasks_of_others(self, holding):
        holding.taken("u", ["x", "unknown"], 10.0)
        assert holding.queued("v") == 1

    def test_what_has_ended_is_forgotten(self, holding):
        holding.end(["a", "b", "c", "x", "unknown"])
        assert holding.holders() == []
        assert holding.holder("a") is None
        holding.taken("u", ["a"], 10.0)
        holding.life_ended("u", 20.0)
        assert holding.lost(1e9) == []
        assert holding.queued("u") == 0

    def test_accepting_twice_counts_once(self, holding):
        holding.begin([("a", "u")])
        holding.end(["a", "b", "c"])
        assert holding.holders() == ["v"]


async def taken(world):
    """A published user endpoint that has acknowledged two tasks and leaves a third in its queue."""
    core, user, function_id = await world.ready(wire=1)
    core.commands = type(core.commands)()
    await user.report(start_unix=100)
    accepted = await world.submit(core, function_id, 3)
    one, two, _ = accepted.tasks[function_id]
    # its broker tells the service of acknowledgements (flows/settled.py)
    world.in_flight.holding.taken(user.id, [one, two], world.clock.now())
    return core, user, accepted, accepted.tasks[function_id]


async def status(world, task_id):
    return await world.uses.watch.task(world.ada, task_id, 1)


async def test_after_a_goodbye_they_fail_and_the_rest_waits(world):
    _, user, accepted, (one, two, three) = await taken(world)
    watched = await world.watch(accepted)
    await user.send(world.success(one))
    await user.report(active=False, start_unix=100)
    await world.uses.lose()
    assert (await status(world, two)).status == "waiting-for-ep"
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
    assert (await status(world, one)).status == "waiting-for-ep"
    await user.send(world.success(one))
    assert (await status(world, one)).status == "success"


async def test_one_that_lives_keeps_them(world):
    _, user, _, (one, *_) = await taken(world)
    for _ in range(20):
        world.clock.advance(30)
        await user.report(start_unix=100)
        await world.uses.revive.look_around()
        await world.uses.lose()
    assert (await status(world, one)).status == "waiting-for-ep"


async def test_nothing_is_started_for_what_is_lost_anyway(world):
    core, user, _, (_, _, three) = await taken(world)
    world.in_flight.holding.taken(user.id, [three], world.clock.now())
    while not core.commands.empty():
        core.commands.get_nowait()
    await user.report(active=False, start_unix=100)
    assert core.commands.empty()
