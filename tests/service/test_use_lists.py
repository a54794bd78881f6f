"""Lists of what somebody has."""

from __future__ import annotations

import pytest

from afield.errors import InvalidId
from afield.service.domain.refusals import Refusal
from afield.wire.messages import CallOptions

pytestmark = pytest.mark.anyio


async def ids(world, caller=None, **asked) -> list[str]:
    return [task.task_id for task in (await world.uses.lists.tasks(caller or world.ada, **asked)).tasks]


async def test_tasks_the_newest_first_with_what_people_look_for(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 3, options=CallOptions(label="Night run"))
    old, ended, begun = accepted.tasks[function_id]
    await user.say(world.seen(begun, at=1_700_000_007.5))
    await user.send(world.failure(ended))
    first, second, third, _ = (await world.uses.lists.tasks(world.ada)).tasks
    assert [first.task_id, second.task_id, third.task_id] == [begun, ended, old]
    assert (first.status, first.since, first.label) == ("running", 1_700_000_007.5, "Night run")
    assert (second.status, third.status) == ("failed", "waiting-for-ep")
    assert third.since == third.created_at == world.clock.now()
    assert (first.task_group_id, first.endpoint_id) == (accepted.task_group_id, user.id) or first.endpoint_id == core.id
    assert (first.function_id, first.function_name) == (function_id, "f")


async def test_tasks_are_narrowed(world):
    core, user, function_id = await world.ready()
    other = await world.function(function_name="other")
    [one] = (await world.submit(core, function_id, options=CallOptions(label="Night run"))).tasks[function_id]
    accepted = await world.submit(core, other)
    [two] = accepted.tasks[other]
    await user.send(world.cancelled(one))
    assert await ids(world, status="pending") == [two]
    assert await ids(world, status="waiting-for-ep") == [two]
    assert await ids(world, status="cancelled") == [one]
    assert await ids(world, endpoint_id=core.id.upper(), function_id=other) == [two]
    assert await ids(world, task_group_id=accepted.task_group_id) == [two]
    assert await ids(world, search="night") == [one]
    assert await ids(world, search="OTHE") == [two]
    assert await ids(world, endpoint_id=function_id) == []


async def test_pages_follow_each_other_to_the_end(world):
    core, _, function_id = await world.ready()
    accepted = (await world.submit(core, function_id, 5)).tasks[function_id]
    got, before = [], None
    for expected in (2, 2, 2):  # one more was made by ready()
        page = await world.uses.lists.tasks(world.ada, before=before, limit=2)
        assert len(page.tasks) == expected
        got += [task.task_id for task in page.tasks]
        before = page.next
    assert before is None
    assert got[:5] == accepted[::-1]
    assert len(set(got)) == 6


async def test_everybody_sees_their_own(world):
    await world.ready()
    assert await ids(world, world.bob) == []
    assert (await world.uses.lists.functions(world.bob)).functions == []


async def test_what_cannot_be_asked_for_is_told(world):
    with pytest.raises(Refusal) as info:
        await world.uses.lists.tasks(world.ada, status="done")
    assert (info.value.status, info.value.code) == (400, "REQUEST_MALFORMED")
    assert "pending" in info.value.message
    assert "waiting-for-ep" in info.value.message
    for name in ("endpoint_id", "function_id", "task_group_id", "before"):
        with pytest.raises(InvalidId):
            await world.uses.lists.tasks(world.ada, **{name: "nonsense"})
    with pytest.raises(InvalidId):
        await world.uses.lists.functions(world.ada, before="nonsense")


async def test_functions_the_newest_first(world):
    one = await world.function(function_name="Simulate", description="the weather")
    two = await world.function(function_name="plot", public=True)
    gone = await world.function()
    await world.uses.functions.delete(world.ada, gone)
    listed = await world.uses.lists.functions(world.ada)
    assert [(each.function_uuid, each.function_name, each.public) for each in listed.functions] == [
        (two, "plot", True), (one, "Simulate", False),
    ]  # fmt: skip
    assert listed.functions[1].description == "the weather"
    assert listed.next is None
    for search in ("simul", "WEATHER"):
        [found] = (await world.uses.lists.functions(world.ada, search=search)).functions
        assert found.function_uuid == one
    page = await world.uses.lists.functions(world.ada, limit=1)
    [rest] = (await world.uses.lists.functions(world.ada, limit=1, before=page.next)).functions
    assert rest.function_uuid == one


async def test_endpoints_are_found_by_name_and_machine(world):
    for name, shown in (("laptop", "Ada's own"), ("cluster", None)):
        metadata = {"hostname": f"{name}.example.org"}
        await world.core(online=False, endpoint_name=name, display_name=shown, metadata=metadata)

    async def found(search: str, caller=world.ada, role: str = "owner") -> list[str]:
        return [each.name for each in await world.uses.endpoints.list(caller, role, search)]

    assert await found("LAP") == await found("ada") == ["laptop"]
    assert await found("example") == await found("") == ["laptop", "cluster"]
    assert await found("nothing") == await found("lap", world.bob, "any") == []
