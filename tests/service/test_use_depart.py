"""Endpoints are deleted, stopped or taken from somebody while the broker fails, or the service is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from afield.broker.base import Binding, QueueSpec
from afield.broker.memory import MemoryBroker
from afield.errors import BrokerRefused, BrokerUnreachable
from afield.ids import new_id
from afield.service.domain import names
from afield.service.domain.records import TaskRecord
from afield.service.domain.refusals import Refusal
from afield.service.store.memory import MemoryStore
from afield.wire.rest_people import GrantWish

pytestmark = pytest.mark.anyio

#: What a deletion asks of a broker: two logins to be dropped, three queues to be removed.
STEPS = range(5)
LATE_S = 61.0


class FailingBroker(MemoryBroker):
    """Does so many things more for the service, and then nothing.

    :ivar more: None: any number
    """

    more: int | None = None

    def _count(self) -> None:
        if self.more is not None:
            if self.more == 0:
                raise BrokerUnreachable("RabbitMQ's management API is not well: 500")
            self.more -= 1

    async def drop(self, login: str) -> int:
        self._count()
        return await super().drop(login)

    async def delete_queue(self, name: str) -> None:
        self._count()
        await super().delete_queue(name)

    async def declare_queue(self, spec: QueueSpec, *bindings: Binding) -> None:
        self._count()
        await super().declare_queue(spec, *bindings)

    async def purge(self, name: str) -> int:
        self._count()
        return await super().purge(name)


@pytest.fixture
async def world(world, limits) -> AsyncIterator:
    """The same, with a broker that fails when it is told to."""
    made = type(world)(MemoryStore(), limits)
    made.broker = FailingBroker(made._authenticate)
    await made.start()
    yield made
    failed = made.supervisor.failed
    await made.stop()
    assert not failed.done() or failed.cancelled(), failed.result()


def queues_of(core, user) -> list[str]:
    return [names.command_queue(core.id), names.task_queue(user.id), names.control_queue(user.id)]


async def are_left(world, queues: list[str]) -> list[str]:
    return [queue for queue in queues if await world.queues.exists(queue)]


async def ends(world, task_ids: list[str]) -> set[str | None]:
    views = (await world.store.tasks(task_ids)).values()
    return {view.finished and view.finished.error and view.finished.error.code for view in views}


class TestDeleted:
    @pytest.mark.parametrize("step", STEPS)
    async def test_its_tasks_end_wherever_the_broker_fails(self, world, step):
        core, user, function_id = await world.ready()
        task_ids = (await world.submit(core, function_id, 3)).tasks[function_id]
        world.broker.more = step
        await world.uses.endpoints.delete(world.ada, core.id)
        assert await ends(world, task_ids) == {"EndpointDeleted"}
        assert await world.uses.endpoints.list(world.ada, "owner") == []
        for url in (core.registered.command_queue_info, user.credentials.task_queue_info):
            with pytest.raises(BrokerRefused):
                await world.broker.connect(url.connection_url)

    @pytest.mark.parametrize("step", STEPS)
    async def test_a_round_removes_what_was_left(self, world, step):
        core, user, function_id = await world.ready()
        await world.submit(core, function_id, 3)
        world.broker.more = step
        await world.uses.endpoints.delete(world.ada, core.id)
        assert await are_left(world, queues_of(core, user))
        world.clock.advance(LATE_S)
        await world.uses.depart()
        assert await are_left(world, queues_of(core, user))
        assert await world.store.departures()

        world.broker.more = None
        await world.uses.depart()
        assert await are_left(world, queues_of(core, user)) == []
        assert await world.store.departures() == []

    async def test_a_service_that_is_killed_after_the_commit_leaves_the_rest_to_a_round(self, world):
        core, user, function_id = await world.ready()
        await world.uses.sharing.share(world.ada, core.id, GrantWish("run", username="bob"))
        task_ids = (await world.submit(core, function_id, 3)).tasks[function_id]
        await world.records.delete_endpoint(core.id)
        assert await ends(world, task_ids) == {None}
        await world.uses.depart()
        assert await ends(world, task_ids) == {"EndpointDeleted"}
        assert await are_left(world, queues_of(core, user)) == []
        assert await world.store.people.grants_on(core.id) == []

    async def test_tasks_of_a_submit_that_crossed_it_end_too(self, world):
        core, user, function_id = await world.ready()
        await world.uses.endpoints.delete(world.ada, core.id)
        await world.uses.depart()
        late = TaskRecord(
            new_id(), new_id(), world.ada.id, core.id, user.id, function_id, b"", created_at=world.clock.now()
        )
        await world.store.add_tasks([late])
        world.clock.advance(LATE_S)
        await world.uses.depart()
        assert await ends(world, [late.id]) == {"EndpointDeleted"}
        assert await world.store.departures() == []

    async def test_of_two_who_delete_it_one_is_told_that_it_is_gone(self, world):
        core = await world.core()
        outcomes = await asyncio.gather(
            *(world.uses.endpoints.delete(world.ada, core.id) for _ in range(2)), return_exceptions=True
        )
        assert sorted(type(one) for one in outcomes if one is not None) == [Refusal]
        assert len(await world.store.departures()) == 1


class TestRegistered:
    async def test_one_that_could_not_be_given_its_queue_is_not_left_behind(self, world):
        world.broker.more = 0
        with pytest.raises(BrokerUnreachable):
            await world.uses.register_endpoint.new(world.ada, world.registration())
        world.broker.more = None
        assert await world.uses.endpoints.list(world.ada, "owner") == []
        core = await world.core()
        assert [one.uuid for one in await world.uses.endpoints.list(world.ada, "owner")] == [core.id]


class TestStopped:
    @pytest.mark.parametrize("step", [0, 1])
    async def test_nothing_of_it_is_let_in_again_whatever_the_broker_says(self, world, step):
        core, user, _ = await world.ready()
        world.broker.more = step
        await world.uses.endpoints.lock(world.ada, core.id)
        for url in (core.registered.command_queue_info, user.credentials.task_queue_info):
            with pytest.raises(BrokerRefused):
                await world.broker.connect(url.connection_url)


class TestTakenFromSomebody:
    @pytest.mark.parametrize("step", [0, 1])
    async def test_their_tasks_end_wherever_the_broker_fails(self, world, step):
        core = await world.core()
        await world.uses.sharing.share(world.ada, core.id, GrantWish("run", username="bob"))
        function_id = await world.function(world.bob)
        submitting = asyncio.ensure_future(world.submit(core, function_id, 2, world.bob))
        user = await core.start()
        await user.report()
        task_ids = (await submitting).tasks[function_id]
        world.broker.more = step
        await world.uses.sharing.unshare(world.ada, core.id, "identity", world.bob.id)
        assert await ends(world, task_ids) == {"AccessWithdrawn"}
        with pytest.raises(BrokerRefused):
            await world.broker.connect(user.credentials.task_queue_info.connection_url)
