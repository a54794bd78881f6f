"""Results: they end their tasks once, and go to whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from afield.broker.base import Publication
from afield.errors import BrokerUnreachable
from afield.service.domain.records import FinishedTask, TaskView
from afield.service.store.memory import MemoryStore
from afield.wire import codec, v1, v2
from afield.wire.messages import Result

pytestmark = pytest.mark.anyio


async def one_task(world, wire: int = 2):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, wire=wire)
    await user.tasks.get()
    return user, accepted, accepted.tasks[function_id][0]


async def status(world, task_id: str, wire: int = 2) -> dict:
    return msgspec.to_builtins(await world.uses.watch.task(world.ada, task_id, wire))


async def test_the_first_end_wins(world):
    user, accepted, task_id = await one_task(world)
    watched = await world.watch(accepted)
    await user.send(world.success(task_id, b"00\nfirst\n"))
    await user.send(world.success(task_id, b"00\nsecond\n"), world.failure(task_id))
    assert (await status(world, task_id))["result"] == "00\nfirst\n"
    assert [one.data for one in codec.decode((await watched.get()).body)] == [b"00\nfirst\n"]
    assert watched.empty()


async def test_a_failure_keeps_the_exception_for_those_who_can_use_it(world):
    user, accepted, task_id = await one_task(world)
    watched = await world.watch(accepted)
    await user.send(world.failure(task_id))
    [result] = codec.decode((await watched.get()).body)
    assert result.exception == b"\x80pickle"
    assert result.error.code == "RemoteExecutionError"
    shown = await status(world, task_id)
    assert shown["exception"] == "Traceback: it broke"
    assert shown["exception_object"]
    assert "exception_object" not in await status(world, task_id, wire=1)


async def test_a_published_client_gets_one_message_for_each_result_with_its_time(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 2, wire=1)
    watched = await world.watch(accepted)
    await user.send(*(world.success(task_id) for task_id in accepted.tasks[function_id]))
    for task_id in accepted.tasks[function_id]:
        delivery = await watched.get()
        assert delivery.body[:1] == v1.VERSION
        assert delivery.properties.timestamp == int(world.clock.now())
        assert [one.task_id for one in codec.decode(delivery.body)] == [task_id]


async def test_our_client_gets_many_in_a_message(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 3)
    watched = await world.watch(accepted)
    await user.send(*(world.success(task_id) for task_id in accepted.tasks[function_id]))
    delivery = await watched.get()
    assert delivery.body[:1] == v2.VERSION
    assert len(codec.decode(delivery.body)) == 3


async def test_a_published_endpoints_results_reach_our_client(world):
    core, user, function_id = await world.ready(wire=1)
    accepted = await world.submit(core, function_id, 2)
    watched = await world.watch(accepted)
    await user.send(*(world.success(task_id) for task_id in accepted.tasks[function_id]))
    got = [one.task_id for one in codec.decode((await watched.get()).body)]
    while len(got) < 2:
        got += [one.task_id for one in codec.decode((await watched.get()).body)]
    assert got == accepted.tasks[function_id]


async def test_a_result_waits_for_a_client_that_connects_later(world):
    user, accepted, task_id = await one_task(world)
    await user.send(world.success(task_id))
    watched = await world.watch(accepted)
    assert [one.task_id for one in codec.decode((await watched.get()).body)] == [task_id]


async def test_nobody_ends_the_tasks_of_others(world, caplog):
    """Two user endpoints of two people on one machine."""
    core, user, function_id = await world.ready(multi_user=True)
    accepted = await world.submit(core, function_id)
    [task_id] = accepted.tasks[function_id]
    submitting = asyncio.ensure_future(world.submit(core, await world.function(world.bob), caller=world.bob))
    theirs = await core.start()
    await theirs.report()
    await submitting
    await theirs.send(world.success(task_id, b"00\nforged\n"))
    assert (await status(world, task_id))["status"] == "waiting-for-ep"
    assert "never given" in caplog.text
    await user.send(world.success(task_id))
    assert (await status(world, task_id))["status"] == "success"


async def test_a_core_endpoint_ends_no_tasks(world):
    core, _, function_id = await world.ready()
    accepted = await world.submit(core, function_id)
    [task_id] = accepted.tasks[function_id]
    arguments = core.registered.result_queue_info.queue_publish_kwargs
    body = v2.encode_results([world.success(task_id)])
    await core.connection.publish(Publication(arguments["exchange"], arguments["routing_key"], body))
    assert (await status(world, task_id))["status"] == "waiting-for-ep"


async def test_results_of_unknown_tasks_are_dropped(world):
    user, _, task_id = await one_task(world)
    await user.send(world.success("01900000-0000-7000-8000-000000000000"), world.success(task_id))
    assert (await status(world, task_id))["status"] == "success"


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x02\xff", b"hello", b'\x01{"message_type":"result","data":{}}'])
async def test_what_is_no_result_is_dropped_and_the_next_is_taken(world, body, caplog):
    user, _, task_id = await one_task(world)
    arguments = user.credentials.result_queue_info.queue_publish_kwargs
    await user.connection.publish(Publication(arguments["exchange"], arguments["routing_key"], body))
    assert "dropped" in caplog.text
    await user.send(world.success(task_id))
    assert (await status(world, task_id))["status"] == "success"


async def test_a_binary_result_fails_visibly_for_a_published_client(world):
    user, accepted, task_id = await one_task(world, wire=1)
    watched = await world.watch(accepted)
    await user.send(world.success(task_id, b"\xff\xfe"))
    [result] = codec.decode((await watched.get()).body)
    assert result.error is not None
    assert "text" in result.error.user_message


class SlowStore(MemoryStore):
    """Commits when it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed = asyncio.Event()
        self.asked = asyncio.Event()

    async def finish_tasks(self, finished: Sequence[FinishedTask]) -> list[TaskView]:
        self.asked.set()
        await self.allowed.wait()
        return await super().finish_tasks(finished)


async def test_an_endpoint_hears_of_a_result_only_when_it_is_committed(world):
    world = await type(world)(SlowStore(), world.limits).start()
    core, function_id = await world.core(), await world.function()
    submitting = asyncio.ensure_future(world.submit(core, function_id))
    user = await core.start()
    await user.report()
    [task_id] = (await submitting).tasks[function_id]
    sending = asyncio.ensure_future(user.send(world.success(task_id)))
    await world.store.asked.wait()
    assert not sending.done()
    world.store.allowed.set()
    await sending
    assert (await status(world, task_id))["status"] == "success"
    await world.stop()


async def test_a_client_has_a_result_while_the_disk_is_still_busy(world):
    world = await type(world)(SlowStore(), world.limits).start()
    core, function_id = await world.core(), await world.function()
    submitting = asyncio.ensure_future(world.submit(core, function_id))
    user = await core.start()
    await user.report()
    accepted = await submitting
    watched = await world.watch(accepted)
    [task_id] = accepted.tasks[function_id]
    sending = asyncio.ensure_future(user.send(world.success(task_id, b"00\nfirst\n"), world.failure(task_id)))
    [result] = codec.decode((await watched.get()).body)
    assert result.data == b"00\nfirst\n"
    assert not sending.done()
    world.store.allowed.set()
    await sending
    assert watched.empty()
    assert (await status(world, task_id))["result"] == "00\nfirst\n"
    await world.stop()


class BrokenStore(MemoryStore):
    """Its disk is gone."""

    async def finish_tasks(self, finished: Sequence[FinishedTask]) -> list[TaskView]:
        raise OSError("input/output error")


async def test_a_store_that_fails_ends_the_service_and_the_result_stays_with_its_sender(world, caplog):
    world = await type(world)(BrokenStore(), world.limits).start()
    core, function_id = await world.core(), await world.function()
    submitting = asyncio.ensure_future(world.submit(core, function_id))
    user = await core.start()
    await user.report()
    [task_id] = (await submitting).tasks[function_id]
    sending = asyncio.ensure_future(user.send(world.success(task_id)))
    assert isinstance(await world.supervisor.failed, OSError)
    assert "results failed, and with it the service" in caplog.text
    assert not sending.done()
    world.broker.go_down()
    with pytest.raises(BrokerUnreachable):
        await sending
    await world.stop()


async def test_a_group_is_spelled_anew_when_an_older_client_begins_to_watch(world):
    """Ours submitted; a published one reloads the group. It could not read our envelope."""
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 2)
    one, two = accepted.tasks[function_id]
    await user.send(world.success(one))
    await world.uses.watch.group(world.ada, accepted.task_group_id, 1)
    watched = await world.watch(accepted)
    await user.send(world.success(two))
    for task_id in (one, two):
        body = (await watched.get()).body
        assert body[:1] == v1.VERSION
        assert [result.task_id for result in codec.decode(body)] == [task_id]


async def test_results_are_small_bunches_and_in_order(world):
    core, user, function_id = await world.ready()
    accepted = await world.submit(core, function_id, 1200)
    watched = await world.watch(accepted)
    await user.send(*(Result(task_id, b"00\nx\n") for task_id in accepted.tasks[function_id]))
    got: list[str] = []
    while len(got) < 1200:
        bunch = codec.decode((await watched.get()).body)
        assert len(bunch) <= 512
        got += [result.task_id for result in bunch]
    assert got == accepted.tasks[function_id]
