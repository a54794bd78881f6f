"""Core endpoints: they register, come back, are looked at, stopped and deleted."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from afield.errors import BrokerRefused, InvalidId
from afield.ids import new_id
from afield.service.domain.names import CoreLogin
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits
from afield.wire import codec

pytestmark = pytest.mark.anyio


@pytest.fixture
def limits() -> Limits:
    return Limits(lock_s=60)


async def refused(awaitable) -> Refusal:
    with pytest.raises(Refusal) as info:
        await awaitable
    return info.value


async def again(world, core, caller=None, **said):
    return await world.uses.register_endpoint.again(caller or world.ada, core.id, world.registration(**said))


async def status(world, core) -> str:
    return (await world.uses.endpoints.status(world.ada, core.id)).status


def url_of(registered) -> str:
    return registered.command_queue_info.connection_url


class TestRegistering:
    async def test_it_is_told_all_its_queues(self, world):
        """Wire contract, section 4.2."""
        registered = (await world.core()).registered
        one = registered.endpoint_id
        told = msgspec.to_builtins(registered)
        assert told["command_queue_info"]["queue"] == f"{one}.commands"
        assert told["heartbeat_queue_info"]["queue_publish_kwargs"]["routing_key"] == f"{one}.heartbeats"
        assert told["result_queue_info"]["queue_publish_kwargs"]["routing_key"] == f"{one}.results"
        assert {info["connection_url"] for key, info in told.items() if key.endswith("_info")} == {url_of(registered)}
        assert url_of(registered).startswith(f"amqp://cep.{one}.1:")
        assert url_of(registered).endswith("@broker.example.org:5672/%2F")

    async def test_its_queues_are_there(self, world):
        core = await world.core()
        await core.connection.check(exchange="heartbeats", queue="heartbeats")
        await core.connection.check(exchange="results", queue="results")

    async def test_it_is_offline_until_it_reports(self, world):
        core = await world.core(online=False)
        assert await status(world, core) == "offline"
        await core.report()
        assert await status(world, core) == "online"

    async def test_ids_that_are_none_are_refused(self, world):
        for said in ({"allowed_functions": ["nonsense"]}, {"admins": ["nonsense"]}):
            with pytest.raises(InvalidId):
                await world.core(**said)


class TestComingBack:
    async def test_after_a_kill_it_gets_in_at_once(self, world):
        """It is still thought to be online; the same owner on the same machine takes it over."""
        core = await world.core()
        registered = await again(world, core, display_name="Mine")
        assert registered.endpoint_id == core.id
        assert url_of(registered) != url_of(core.registered)
        assert await status(world, core) == "offline"
        assert (await world.uses.endpoints.describe(world.ada, core.id)).display_name == "Mine"

    async def test_what_its_earlier_life_left_running_is_cut_off(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id)
        await user.tasks.get()
        await again(world, core)
        for connection, url in (
            (core.connection, url_of(core.registered)),
            (user.connection, user.credentials.task_queue_info.connection_url),
        ):
            assert "revoked" in await connection.closed
            with pytest.raises(BrokerRefused):
                await world.broker.connect(url)
        # and what it held is queued again
        assert await world.broker.depth(user.credentials.task_queue_info.queue) == 1
        assert accepted.tasks[function_id]

    async def test_its_tasks_run_then(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id)
        registered = await again(world, core)
        back = await world_core(world, registered)
        await back.report()
        user = await (await back.start()).consume()
        assert (await user.tasks.get()).task_id == accepted.tasks[function_id][0]

    async def test_commands_of_before_are_gone(self, world):
        """They would be stale: published endpoints refuse what is older than 180 s."""
        core, function_id = await world.core(), await world.function()
        await core.connection.close()
        submitting = asyncio.ensure_future(world.submit(core, function_id))
        while not world.clock.sleepers:
            await asyncio.sleep(0)
        await again(world, core)
        assert await world.broker.depth(f"{core.id}.commands") == 0
        world.clock.advance(30)
        await submitting

    async def test_elsewhere_it_is_another_one(self, world):
        core = await world.core()
        for metadata in ({"hostname": "other", "local_user": "ada"}, {"hostname": "lab", "local_user": "eve"}):
            refusal = await refused(again(world, core, metadata=metadata))
            assert (refusal.status, refusal.code) == (409, "RESOURCE_CONFLICT")
            assert "lab" in refusal.message
        assert not core.connection.closed.done()

    async def test_elsewhere_is_fine_when_it_is_offline(self, world):
        core = await world.core()
        await core.report(heartbeat_period=0)
        assert (await again(world, core, metadata={"hostname": "other"})).endpoint_id == core.id

    async def test_nobody_else_may(self, world):
        core = await world.core(admins=[world.bob.id])
        refusal = await refused(again(world, core, world.bob))
        assert (refusal.status, refusal.code) == (403, "ENDPOINT_ACCESS_FORBIDDEN")

    async def test_an_unknown_id_is_told(self, world):
        unknown = new_id()
        refusal = await refused(world.uses.register_endpoint.again(world.ada, unknown, world.registration()))
        assert (refusal.status, refusal.code) == (404, "ENDPOINT_NOT_FOUND")
        assert unknown in refusal.message

    async def test_two_at_once_leave_one_that_works(self, world):
        core = await world.core()
        one, two = await asyncio.gather(again(world, core), again(world, core))
        urls = [url_of(one), url_of(two)]
        assert urls[0] != urls[1]
        with pytest.raises(BrokerRefused):
            await world.broker.connect(urls[0])
        await world.broker.connect(urls[1])

    async def test_a_report_and_a_registration_that_cross_leave_both_effects(self, world):
        core = await world.core()
        registered, _ = await asyncio.gather(again(world, core), world.uses.beat(core.id, {"heartbeat_period": 30}))
        await world.broker.connect(url_of(registered))


class TestLookedAt:
    async def test_a_list_of_ones_own(self, world):
        mine, _ = await world.core(online=False), await world.core(world.bob, public=True, online=False)
        [summary] = await world.uses.endpoints.list(world.ada, "owner")
        assert (summary.uuid, summary.name, summary.owner) == (mine.id, "mine", world.ada.id)
        assert (summary.hostname, summary.status) == ("lab", "offline")

    async def test_a_list_of_all_that_one_may_see(self, world):
        seen = {(await world.core(world.bob, **said)).id for said in
                ({"public": True}, {"multi_user": True}, {"admins": [world.ada.id]})}  # fmt: skip
        await world.core(world.bob)
        mine = await world.core()
        assert {one.uuid for one in await world.uses.endpoints.list(world.ada, "any")} == seen | {mine.id}

    async def test_another_role_is_told(self, world):
        assert (await refused(world.uses.endpoints.list(world.ada, "boss"))).status == 400

    async def test_what_it_said_of_itself(self, world):
        metadata = {"hostname": "lab", "endpoint_version": "4.19.0", "user_config_template": "engine: x",
                    "user_config_schema": {"type": "object"}, "endpoint_config": "display_name: x"}  # fmt: skip
        core = await world.core(metadata=metadata, public=True, multi_user=True)
        shown = msgspec.to_builtins(await world.uses.endpoints.describe(world.bob, core.id))
        assert metadata.items() <= shown.items()
        assert shown["multi_user"] is True
        assert shown["public"] is True

    async def test_how_busy_it_is(self, world):
        core, user, _ = await world.ready()
        await user.report(total_workers=4, idle_workers=3, outstanding_tasks=1, config_raw="secret")
        shown = await world.uses.endpoints.status(world.ada, core.id)
        assert shown.status == "online"
        assert shown.details == {
            "total_workers": 4, "idle_workers": 3, "pending_tasks": 0, "outstanding_tasks": 1, "managers": 1,
        }  # fmt: skip
        [kept] = await world.store.user_endpoints()
        assert "config_raw" not in kept.state

    async def test_that_it_gets_no_workers_and_not_the_output_of_somebodys_job(self, world):
        core, user, _ = await world.ready()
        await user.report(
            blocks_stopped={"deaths": 3, "why": "the end of its error output: secret"},
            last_block_death={"phase": "import"},
        )
        details = (await world.uses.endpoints.status(world.ada, core.id)).details
        assert (details["blocks_stopped"], details["blocks_stopped_in"]) == (1, ["import"])
        assert "secret" not in str(details)
        await user.report(blocks_stopped=True, last_block_death=["what", "it", "likes"])
        assert (await world.uses.endpoints.status(world.ada, core.id)).details["blocks_stopped_in"] == []
        await user.report()
        assert "blocks_stopped" not in (await world.uses.endpoints.status(world.ada, core.id)).details

    async def test_which_functions_may_run(self, world):
        anything, something = await world.core(), await world.core(allowed_functions=[function := new_id()])
        shown = await world.uses.endpoints.allowed_functions(world.ada, anything.id)
        assert (shown.restricted, shown.functions) == (False, [])
        shown = await world.uses.endpoints.allowed_functions(world.ada, something.id)
        assert (shown.restricted, shown.functions) == (True, [function])

    async def test_not_by_others(self, world):
        core = await world.core()
        for look in ("describe", "status", "allowed_functions"):
            refusal = await refused(getattr(world.uses.endpoints, look)(world.bob, core.id))
            assert (refusal.status, refusal.code) == (403, "ENDPOINT_ACCESS_FORBIDDEN")
            assert (await refused(getattr(world.uses.endpoints, look)(world.bob, new_id()))).status == 404


class TestLocked:
    async def test_it_is_cut_off_and_kept_out_for_a_while(self, world):
        core, user, _ = await world.ready()
        answer = await world.uses.endpoints.lock(world.ada, core.id)
        assert answer.lock_expiration_timestamp == world.clock.now() + 60
        for connection in (core.connection, user.connection):
            assert "revoked" in await connection.closed
        with pytest.raises(BrokerRefused):
            await world.broker.connect(url_of(core.registered))
        assert await status(world, core) == "offline"

        refusal = await refused(again(world, core))
        assert (refusal.status, refusal.code) == (423, "RESOURCE_LOCKED")
        world.clock.advance(60)
        await world.broker.connect(url_of(await again(world, core)))

    async def test_admins_may_and_others_may_not(self, world):
        core = await world.core(admins=[world.bob.id])
        await world.uses.endpoints.lock(world.bob, core.id)
        core = await world.core()
        assert (await refused(world.uses.endpoints.lock(world.bob, core.id))).status == 403


class TestDeleted:
    async def test_it_is_gone_and_its_tasks_fail_saying_so(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id, 3)
        watched = await world.watch(accepted)
        await world.uses.endpoints.delete(world.ada, core.id)
        assert "revoked" in await core.connection.closed
        assert "revoked" in await user.connection.closed
        with pytest.raises(BrokerRefused):
            await world.broker.connect(user.credentials.task_queue_info.connection_url)
        assert (await refused(world.submit(core, function_id))).code == "ENDPOINT_NOT_FOUND"
        results = codec.decode((await watched.get()).body)
        assert [result.task_id for result in results] == accepted.tasks[function_id]
        assert {result.error.code for result in results} == {"EndpointDeleted"}
        assert "deleted" in results[0].error.user_message
        assert await world.uses.endpoints.list(world.ada, "owner") == []

    async def test_its_tasks_have_ended_when_it_hears_of_it(self, world):
        """It ends its user endpoints then, which would say of their tasks only that they were stopped."""
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id, 2)
        revoke, ends = world.queues.revoke, []

        async def slowly(*logins):
            if isinstance(logins[0], CoreLogin):
                assert not core.connection.closed.done()
                assert user.connection.closed.done()
                ends.extend((await world.store.tasks(accepted.tasks[function_id])).values())
            await revoke(*logins)

        world.queues.revoke = slowly
        await world.uses.endpoints.delete(world.ada, core.id)
        assert [view.finished.error.code for view in ends] == ["EndpointDeleted"] * 2

    async def test_not_by_others(self, world):
        core = await world.core(public=True)
        assert (await refused(world.uses.endpoints.delete(world.bob, core.id))).status == 403


async def world_core(world, registered):
    core = await world.core(online=False)
    await core.connection.close()
    core.registered = registered
    core.connection = await world.broker.connect(url_of(registered))
    await core.connection.consume(registered.command_queue_info.queue, core.arrived)
    return core
