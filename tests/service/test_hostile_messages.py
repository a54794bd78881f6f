"""What a hostile or broken endpoint writes into the two queues that the service reads: results and reports.

By a message that no loop can take, its sender would end the service, for it comes again after each start. So each of
these is followed by somebody's ordinary one, on each database.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.databases import with_tables

from afield.service.flows.beats import current
from afield.service.settings import Limits
from afield.service.store.base import Store
from afield.service.store.factory import open_store
from afield.wire import v1, v2
from afield.wire.messages import Report

from .conftest import ADA, BOB, World, _publish

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "sqlite":
        async with running(open_store(tmp_path, data_dir=tmp_path)) as world:
            yield world
    else:
        async with with_tables() as url, running(open_store(url, data_dir=tmp_path)) as world:
            yield world


class running:
    """A service on a database, for as long as it is used."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __aenter__(self) -> World:
        await self._store.open()
        self._world = await World(self._store, Limits()).start()
        return self._world

    async def __aexit__(self, *_: object) -> None:
        failed = self._world.supervisor.failed
        await self._world.stop()
        await self._store.close()
        assert not failed.done() or failed.cancelled(), failed.result()


def nested(depth: int, mark: str = '{"a":1}') -> str:
    opening, closing = ('{"a":', "}") if mark.startswith("{") else ("[", "]")
    return opening * depth + mark + closing * depth


def results(task_id: str) -> Iterator[bytes]:
    """Bodies that are no result, or a strange one, of this task."""

    def published(**said: Any) -> bytes:
        data = {"task_id": task_id, "data": "00\nx\n"} | said
        return b"\x01" + json.dumps({"message_type": "result", "data": data}).encode()

    def details(text: str) -> bytes:
        return published(details="HERE").replace(b'"HERE"', text.encode())

    def ours(kind: str, *rows: Any) -> bytes:
        return v2.VERSION + msgspec.msgpack.encode([kind, rows])

    yield from (b"", b"\x01", b"\x02", b"\x03", b"\xff" * 1000, b"\x01null", b"\x01{}", b"\x01[]", b"\x80\x04N.")
    yield published()[:-3]
    yield published().replace(b"00", b"\xff\xfe")
    for name in ("a\0b", "\ud800", "", "x" * 1_000_000, "../../etc/passwd", "%s%n", "01900000-0000-7000-8000-00000000"):
        yield published(task_id=name)
    for wrong in (None, 1, [], {}, True):
        yield published(task_id=wrong)
        yield published(data=wrong)
    yield published(data="\0")
    yield published(error_details={"code": "\0", "user_message": "\0"})
    yield published(error_details={"code": "\ud800", "user_message": "x"})
    yield published(error_details={"code": "x" * 100_000, "user_message": 3})
    yield published(details="text")
    yield published(details={"\0": "\0", "os": None, "attempts": "none", "task_transitions": 7})
    for number in ("NaN", "Infinity", "1e999", "-0", str(2**64), "9" * 5_000):
        yield details(f'{{"a":{number}}}')
    # The encoder that passes it on stands deeper in the stack than the decoder that let it in.
    for depth in (*range(100, 900, 100), *range(900, 1_000, 3), 5_000, 100_000):
        yield details(nested(depth))
        yield details(f'{{"a":{nested(depth, "[]")}}}')
    for step in (
        {"timestamp": -1, "state": "running", "actor": "worker"},
        {"timestamp": 2**64, "state": "running", "actor": "worker"},
        {"timestamp": 1, "state": "\0" * 1000, "actor": "\0"},
        {"timestamp": "1", "state": None, "actor": []},
    ):
        yield published(task_statuses=[step])
    yield json.dumps({"message_type": "task", "data": {}}).encode()
    yield ours("results", [task_id, b"\xff\0", ["\0", "\0"], {"a": float("nan")}, [], b"\0"])
    yield ours("results", [task_id, b"x", None, {"a": msgspec.msgpack.Ext(5, b"x")}, []])
    yield ours("results", [task_id, b"x", None, {1: b"x"}, []])
    yield ours("results", *[["\0", b"x"]] * 1000)
    yield ours("notices", ["\0", "running", 1, 1, ""], [task_id, "\0", 1, 1, "\0"], [task_id, "success", 1, 1, ""])
    yield ours("cancels", [task_id, True])
    yield ours("tasks", [b""], [])


async def test_no_result_ends_the_service_or_keeps_the_next_one_back(world):
    core, user, function_id = await world.ready()
    count = sum(1 for _ in results("x"))
    accepted = await world.submit(core, function_id, count)
    watched = await world.watch(accepted)
    task_ids = accepted.tasks[function_id]
    info = user.credentials.result_queue_info.queue_publish_kwargs
    for number, task_id in enumerate(task_ids):
        [body] = (each for at, each in enumerate(results(task_id)) if at == number)
        await _taken(world, user.connection, info, body)
        for wire in (1, 2):  # what was kept of it can be shown
            msgspec.json.encode(await world.uses.watch.task(ADA, task_id, wire))
    await user.send(*map(world.success, task_ids))
    views = await world.store.tasks(task_ids)
    assert all(view.finished for view in views.values())
    come: set[str] = set()
    while come != set(task_ids):
        for one in v2.decode((await watched.get()).body):
            come.add(one.task_id)


async def _taken(world: World, connection: Any, info: dict[str, Any], body: bytes) -> None:
    """Publish; returns when the loop is through with it."""
    sending = asyncio.ensure_future(_publish(connection, info, body))
    await asyncio.wait({sending, world.supervisor.failed}, return_when=asyncio.FIRST_COMPLETED)
    assert not world.supervisor.failed.done(), (body[:200], world.supervisor.failed.result())
    await sending


async def test_a_flood_of_what_is_no_result_or_report_does_not_fill_the_log(world, caplog):
    _, user, _ = await world.ready()
    for queue in ("result", "heartbeat"):
        caplog.clear()
        info = getattr(user.credentials, f"{queue}_queue_info").queue_publish_kwargs
        sending = [
            _publish(user.connection, info, b'\x01{"message_type":"%d","data":{}}' % number) for number in range(200)
        ]
        await asyncio.gather(*sending)
        said = [one for one in caplog.messages if user.id in one]
        assert 0 < len(said) < 10
        assert "'0'" in said[0]  # the first of them, as an example


def states() -> Iterator[str]:
    """What an endpoint may say of itself, as JSON."""
    for period in ("-1", "1e308", "1e999", str(2**63), str(2**65), '"x"', "null", "true", "[]"):
        yield f'{{"heartbeat_period":{period}}}'
    for error in ("{}", '"\\u0000"', "[1]", '"\\ud800"'):
        yield f'{{"error":{error}}}'
    for depth in (500, *range(900, 1_000, 3), 100_000):
        yield nested(depth)
    yield '{"active":"no","start_unix":"\\u0000","posix_pid":{"a":[]},"\\u0000":"\\u0000"}'
    yield '{"total_workers":"many","idle_workers":[],"pending_tasks":-1,"managers":{},"node_info":7}'
    yield "null"
    yield "[]"


async def test_no_report_does_either_and_none_is_anothers(world):
    core, user, _ = await world.ready()
    theirs = await world.core(BOB, online=False)
    whose = {
        core.id: (core.connection, core.registered.heartbeat_queue_info),
        user.id: (user.connection, user.credentials.heartbeat_queue_info),
    }
    for sender, (connection, info) in whose.items():
        for state in states():
            data = f'{{"endpoint_id":"{sender}","global_state":{state},"task_statuses":{{}}}}'
            body = b'\x01{"message_type":"ep_status_report","data":%s}' % data.encode()
            await _taken(world, connection, info.queue_publish_kwargs, body)
            msgspec.json.encode(await world.uses.endpoints.status(ADA, core.id))
        forged = v1.encode_report(Report(theirs.id, {"heartbeat_period": 30}))
        await _taken(world, connection, info.queue_publish_kwargs, forged)
    assert (await world.uses.endpoints.status(BOB, theirs.id)).status == "offline"
    await theirs.report()
    assert (await world.uses.endpoints.status(BOB, theirs.id)).status == "online"


async def test_a_report_is_not_kept_that_would_fill_memory_and_disk(world, caplog):
    _, user, _ = await world.ready()
    await user.report(total_workers=3)
    await user.report(total_workers=4, node_info={str(number): "x" * 100 for number in range(100_000)})
    kept = await world.store.user_endpoint(user.id)
    assert kept.state["total_workers"] == 3
    assert "1,000,000 bytes" in caplog.text


class TestManyReports:
    """What one endpoint says again and again is taken once."""

    @staticmethod
    def report(sender: str, number: int = 0, **state: Any) -> Report:
        return Report(sender, {"heartbeat_period": 30, "number": number} | state)

    def test_only_the_last_of_many_is_current(self):
        flood = [self.report("flood", number) for number in range(1_000)]
        other = self.report("other")
        assert current([*flood[:500], other, *flood[500:]]) == [other, flood[-1]]

    def test_words_that_something_hangs_on_are_all_taken_in_order(self):
        said = [
            self.report("a", 1),
            self.report("a", 2, error="it broke"),
            self.report("a", 3),
            self.report("a", 4, active=False),
            self.report("a", 5),
            self.report("a", 6),
            self.report("a", 7, heartbeat_period=0),
        ]
        assert [one.state["number"] for one in current(said)] == [1, 2, 3, 4, 6, 7]

    def test_who_says_now_this_and_now_that_keeps_nobody_waiting_either(self):
        said = [self.report("flood", number, active=bool(number % 2)) for number in range(1_000)]
        other = self.report("other")
        taken = current([other, *said])
        assert taken[0] is other
        assert taken[-1] is said[-1]
        assert len(taken) < 50
