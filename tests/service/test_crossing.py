"""Two things that happen at the same moment: neither undoes the other, and what was deleted stays deleted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from afield.errors import BrokerRefused, BrokerUnreachable
from afield.ids import new_id
from afield.service.api.answers import as_refusal
from afield.service.domain import names
from afield.service.domain.people import MemberRecord, MemberRole
from afield.service.domain.records import TaskGroupRecord, TaskRecord, UserEndpointRecord
from afield.service.domain.refusals import Refusal
from afield.wire.rest_people import GroupChange, GroupWish, MemberWish, PolicyWish
from afield.wire.rest_task_groups import TaskGroupWish

from .conftest import ADA, registration

pytestmark = pytest.mark.anyio

HOUR = 3600.0
LATE_S = 61.0


def meanwhile(whose: Any, method: str, happens: Callable[[], Awaitable[object]]) -> None:
    """Have something happen after this method was called once, before its caller goes on."""
    original = getattr(whose, method)

    async def once(*args: Any, **said: Any) -> Any:
        setattr(whose, method, original)
        found = await original(*args, **said)
        await happens()
        return found

    setattr(whose, method, once)


async def refused(awaitable: Awaitable[object], status: int) -> str:
    with pytest.raises(Refusal) as caught:
        await awaitable
    assert caught.value.status == status
    return caught.value.message


async def test_a_groups_times_are_changed_while_somebody_begins_to_watch_it(world):
    group = await world.uses.retention.make(ADA, TaskGroupWish())

    async def watched() -> None:
        found = await world.store.task_group(group.taskgroup_id)
        await world.records.change_group(found, lambda kept: msgspec.structs.replace(kept, wire=2, high_assurance=True))

    meanwhile(world.uses.retention._groups, "find", watched)
    await world.uses.retention.change(ADA, group.taskgroup_id, TaskGroupWish(retention_s=HOUR))
    kept = await world.store.task_group(group.taskgroup_id)
    assert (kept.retention_s, kept.wire, kept.high_assurance) == (HOUR, 2, True)


class TestGroups:
    @pytest.fixture
    async def team_id(self, world):
        return (await world.uses.teams.make(ADA, GroupWish("lab"))).id

    @pytest.fixture
    def gone(self, world, team_id):
        return lambda: world.store.people.delete_team(team_id)

    async def nothing_left(self, world, team_id):
        assert await world.store.people.team(team_id) is None
        assert await world.store.people.members(team_id) == []

    async def test_renamed_while_it_is_deleted(self, world, team_id, gone):
        meanwhile(world.store.people, "team", gone)
        await refused(world.uses.teams.change(ADA, team_id, GroupChange(name="Room 7")), 404)
        await self.nothing_left(world, team_id)

    async def test_a_member_is_made_a_manager_while_it_is_deleted(self, world, team_id, gone):
        meanwhile(world.uses.teams, "_member", gone)
        await refused(world.uses.teams.set_member(ADA, team_id, ADA.id, MemberWish(MemberRole.MANAGER)), 404)
        await self.nothing_left(world, team_id)

    async def test_a_member_leaves_while_it_is_deleted(self, world, team_id, gone):
        await world.store.people.put_member(MemberRecord(team_id, world.bob.id, MemberRole.MEMBER, 1.0))
        meanwhile(world.store.people, "delete_member", gone)
        await refused(world.uses.teams.remove(ADA, team_id, world.bob.id), 404)
        await self.nothing_left(world, team_id)


class TestPolicies:
    async def test_replaced_while_it_is_deleted(self, world):
        rule = await world.uses.policies.make(ADA, PolicyWish("any"))
        meanwhile(world.store.people, "policy", lambda: world.store.people.delete_policy(rule.id))
        await refused(world.uses.policies.replace(ADA, rule.id, PolicyWish("other")), 404)
        assert await world.store.people.policy(rule.id) is None

    async def test_deleted_while_an_endpoint_is_registered_with_it(self, world):
        rule = await world.uses.policies.make(ADA, PolicyWish("any"))
        meanwhile(world.store, "put_endpoint", lambda: world.store.people.delete_policy(rule.id))
        said = registration(authentication_policy=rule.id)
        assert "not known here" in await refused(world.uses.register_endpoint.new(ADA, said), 422)
        assert await world.store.endpoints() == []
        assert await world.store.departures() == []


class TestRegistered:
    """RabbitMQ says that there is no such user, or queue, any more."""

    async def overtaken(self, world, endpoint_id, happens) -> Refusal:
        async def gone(_login):
            await happens()
            raise BrokerRefused("400 no_such_user")

        world.logins.admit = gone
        with pytest.raises(Refusal) as caught:
            await world.uses.register_endpoint.again(ADA, endpoint_id, registration())
        return caught.value

    async def test_again_while_it_is_deleted(self, world):
        core = await world.core(online=False)
        refusal = await self.overtaken(world, core.id, lambda: world.records.delete_endpoint(core.id))
        assert refusal.code == "ENDPOINT_NOT_FOUND"

    async def test_again_while_it_is_registered_once_more(self, world):
        core = await world.core(online=False)

        def later():
            return world.records.change_endpoint(
                core.id, lambda found: msgspec.structs.replace(found, generation=found.generation + 1)
            )

        refusal = await self.overtaken(world, core.id, later)
        assert (refusal.status, "the later one counts" in refusal.message) == (409, True)


async def test_a_user_endpoint_that_is_added_while_its_endpoint_is_deleted_goes_with_it(world):
    core, user, function_id = await world.ready()
    await world.uses.endpoints.delete(ADA, core.id)
    late = UserEndpointRecord(new_id(), core.id, ADA.id, world.clock.now())
    await world.store.put_user_endpoint(late)
    await world.queues.declare_user(late.id, 2)
    task = TaskRecord(new_id(), new_id(), ADA.id, core.id, late.id, function_id, b"", created_at=world.clock.now())
    await world.store.add_tasks([task])
    world.clock.advance(LATE_S)
    await world.uses.depart()
    (view,) = (await world.store.tasks([task.id])).values()
    assert view.finished.error.code == "EndpointDeleted"
    assert not await world.queues.exists(names.task_queue(late.id))
    assert await world.store.user_endpoints() == []
    assert await world.store.departures() == []
    assert user.connection.closed.done()


async def test_a_queue_that_could_not_be_made_while_the_broker_was_away_is_made_when_it_is_back(world):
    """Published clients ask for it again and again, and give up before the first result comes."""
    world.queues._expires_s = 1000.0  # as with a broker that outlives the service
    group = TaskGroupRecord(new_id(), ADA.id, world.clock.now(), wire=1)

    async def away(*_args: object) -> None:
        raise BrokerUnreachable("the broker is down")

    declare, world.broker.declare_queue = world.broker.declare_queue, away
    await world.queues.declare_group(group)
    world.broker.declare_queue = declare
    assert not await world.queues.exists(names.group_queue(ADA.id, group.id))
    await world.queues.prepare()
    assert await world.queues.exists(names.group_queue(ADA.id, group.id))


def test_what_a_broker_refuses_the_service_is_told_of_the_broker():
    refusal = as_refusal(BrokerRefused("404 no queue"))
    assert (refusal.status, "message broker" in refusal.message) == (503, True)
