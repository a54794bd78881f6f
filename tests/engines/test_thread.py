"""Jobs in threads."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import msgspec
import pytest

from afield.endpoint.engines.thread import ThreadPoolEngine
from afield.errors import ConfigurationError, TaskCancelled, WorkerLost
from afield.testing.engines import EngineContract, running
from afield.testing.jobs import Gate, packed_job, value_of

pytestmark = pytest.mark.anyio


class TestThreadPoolEngine(EngineContract):
    isolates = False
    stops_running = False

    def make(self, workers: int) -> ThreadPoolEngine:
        return ThreadPoolEngine(max_workers=workers)


def interrupt() -> None:
    raise KeyboardInterrupt


async def test_threads_end_with_the_engine():
    async with running(ThreadPoolEngine(max_workers=3)) as engine:
        await engine.submit(packed_job(str, 1))
        mine = [thread for thread in threading.enumerate() if thread.name.startswith("afield-worker-")]
        assert len(mine) >= 3
    for thread in mine:
        thread.join(10)
    assert not any(thread.is_alive() for thread in mine)


async def test_a_task_does_not_move_the_others(tmp_path: Path):
    here = str(Path.cwd())
    async with running(ThreadPoolEngine(max_workers=1, working_dir=tmp_path / "work")) as engine:
        job = msgspec.structs.replace(packed_job(os.getcwd), sandbox=str(tmp_path / "work" / "one"))
        assert value_of(await engine.submit(job)) == here
    assert (tmp_path / "work" / "one").is_dir()


async def test_what_would_end_a_process_ends_one_job():
    async with running(ThreadPoolEngine(max_workers=1)) as engine:
        with pytest.raises(WorkerLost, match="KeyboardInterrupt"):
            await engine.submit(packed_job(interrupt))
        assert value_of(await engine.submit(packed_job(str, 1))) == "1"


async def test_jobs_that_are_cancelled_do_not_pass_for_short_ones(tmp_path: Path):
    gate = Gate(tmp_path)
    async with running(ThreadPoolEngine(max_workers=1)) as engine:
        before = engine.capacity
        future, jobs = engine.submit(gate.job()), [packed_job(str, n) for n in range(50)]
        await gate.has_begun()
        rest = [engine.submit(job) for job in jobs]
        for job in jobs:
            assert engine.cancel(job.task_id) == ""
        await asyncio.gather(*rest, return_exceptions=True)
        last = gate.job()
        end = engine.submit(last)
        gate.open()
        await future
        await gate.has_begun()
        assert engine.capacity <= before
        gate.open()
        await end


async def test_cancel(tmp_path: Path):
    gate = Gate(tmp_path)
    async with running(ThreadPoolEngine(max_workers=1)) as engine:
        first, second = gate.job(), packed_job(str, 2)
        one, two = engine.submit(first), engine.submit(second)
        await gate.has_begun()
        assert engine.cancel(second.task_id) == ""
        assert engine.cancel(second.task_id) == "", "again"
        assert "a thread cannot be ended from outside" in engine.cancel(first.task_id)
        with pytest.raises(TaskCancelled, match=second.task_id):
            await two
        gate.open()
        assert value_of(await one) == os.getpid()
        await engine.submit(packed_job(str, 3))
        assert engine.status().outstanding_tasks == 0


async def test_bad_options_are_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="max_workers is 0"):
        ThreadPoolEngine(max_workers=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=str(tmp_path / "file")):
        await ThreadPoolEngine(working_dir=tmp_path / "file" / "below").start()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"timeout_s": 5.0}, "asks for a timeout, and a thread cannot be ended from outside"),
        ({"memory": 1 << 20}, "asks for a memory limit, and threads share the memory of one process"),
        ({"gpus": 1}, "asks for accelerators"),
        ({"cores": 2}, "asks for 2 cores, and threads share the processors"),
    ],
)
async def test_what_a_thread_cannot_be_given_is_refused(asked, why):
    async with running(ThreadPoolEngine(max_workers=4)) as engine:
        with pytest.raises(ConfigurationError, match=why) as caught:
            engine.submit(msgspec.structs.replace(packed_job(str, 1), **asked))
        assert "ProcessPoolEngine" in str(caught.value)


async def test_short_jobs_raise_the_capacity():
    async with running(ThreadPoolEngine(max_workers=2)) as engine:
        before = engine.capacity
        await asyncio.gather(*(engine.submit(packed_job(str, n)) for n in range(50)))
        assert engine.capacity > before
