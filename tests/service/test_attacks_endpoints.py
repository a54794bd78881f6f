"""What the owner of a hostile endpoint tries, against the service and against those who use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from afield.service.domain.access import ENDED_BY_WITHDRAWAL
from afield.service.domain.liveness import life
from afield.service.domain.records import UserEndpointRecord
from afield.service.settings import Limits
from afield.service.store.factory import open_store
from afield.states import TaskState
from afield.wire import v2

from .conftest import ADA, BOB, World, _publish, registration, seen

pytestmark = pytest.mark.anyio


class TestOnDisk:
    """A database refuses what memory takes."""

    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[World]:
        store = open_store(tmp_path, data_dir=tmp_path)
        await store.open()
        world = await World(store, Limits()).start()
        yield world
        failed = world.supervisor.failed
        await world.stop()
        await store.close()
        assert failed.cancelled(), failed.result()

    @pytest.mark.parametrize(
        "changed",
        [{"attempt": 2**64 - 1}, {"attempt": 2**63}, {"attempt": 2**31}, {"attempt": -1}, {"at": 2**63}, {"at": -1}],
    )
    async def test_no_notice_ends_the_service(self, world, changed):
        """One with a number that no database keeps did: with it ended the loop that reads all results."""
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id)
        [task_id] = accepted.tasks[function_id]
        await user.tasks.get()
        row = {"id": task_id, "state": "running", "at": time.time_ns(), "attempt": 1, "refusal": ""} | changed
        body = v2.VERSION + msgspec.msgpack.encode(["notices", [[*row.values()]]])
        sending = asyncio.ensure_future(
            _publish(user.connection, user.credentials.result_queue_info.queue_publish_kwargs, body)
        )
        # Its confirm says that the loop is through with it; without the loop, it never comes.
        await asyncio.wait({sending, world.supervisor.failed}, return_when=asyncio.FIRST_COMPLETED)
        assert not world.supervisor.failed.done()
        await user.say(seen(task_id))  # what comes after it is still read
        assert (await world.store.tasks([task_id]))[task_id].state is TaskState.RUNNING


class TestTheNameOfALife:
    """It is kept in a row, and a peer says what it likes."""

    @pytest.mark.parametrize("began", ["\0", "x" * 10_000, "\ud800", "\u00e4", ["\0"], {"a": "\n"}])
    def test_it_is_always_one_that_every_database_keeps(self, began):
        def record(began: object, process: object = 1) -> UserEndpointRecord:
            return UserEndpointRecord("u", "e", "i", 1.0, state={"start_unix": began, "posix_pid": process})

        name = life(record(began))
        assert len(name) <= 64
        assert name.isascii()
        assert name.isprintable()
        assert name == life(record(began)) != life(record(began, 2))
        assert life(record(1_700_000_000, 77)) == "1700000000/77"


class TestAnEndpointThatMapsNobodyAnyMore:
    async def test_what_strangers_sent_does_not_run_as_its_owner(self, world):
        """They sent it to be run as whoever the machine makes of them; now it makes everybody its owner."""
        core = await world.core(online=False, multi_user=True)
        function_id = await world.function(BOB)
        accepted = await world.submit(core, function_id, caller=BOB)
        mine = await world.submit(core, await world.function(), caller=ADA)
        again = await world.play(await world.uses.register_endpoint.again(ADA, core.id, registration(2)))
        await again.report()
        assert (await again.commands.get()).globus_effective_identity == ADA.id
        assert again.commands.empty()
        [task_id], [[owners]] = accepted.tasks[function_id], mine.tasks.values()
        views = await world.store.tasks([task_id, owners])
        assert views[task_id].finished.error.code == ENDED_BY_WITHDRAWAL
        assert views[owners].finished is None

    async def test_one_that_still_maps_goes_on(self, world):
        core = await world.core(online=False, multi_user=True)
        await world.submit(core, await world.function(BOB), caller=BOB)
        again = await world.play(
            await world.uses.register_endpoint.again(ADA, core.id, registration(2, multi_user=True))
        )
        await again.report()
        assert (await again.commands.get()).globus_effective_identity == BOB.id
