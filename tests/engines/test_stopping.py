"""Jobs that are stopped, and all that they had started with them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from afield.endpoint.engines.process import ProcessPoolEngine
from afield.errors import ConfigurationError, TaskCancelled, TaskTimeout, WorkerLost
from afield.testing.engines import running
from afield.testing.jobs import Gate, append, echo, packed_job, value_of

pytestmark = pytest.mark.anyio

linux = pytest.mark.skipif(sys.platform != "linux", reason="finds these by what Linux tells of environments")


class Alive:
    """Tells when all processes have ended that hold the writing end of a pipe."""

    def __init__(self, directory: Path, name: str = "alive") -> None:
        self.path = directory / name
        os.mkfifo(self.path)
        self._file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    async def say(self, count: int) -> None:
        """Return when so many have said that they live."""
        while count:
            await self._readable()
            count -= len(os.read(self._file, count))

    async def end(self) -> None:
        """Return when none lives."""
        await self._readable()
        assert os.read(self._file, 1) == b"", "all have ended"

    def some(self) -> bool:
        """Whether some live."""
        try:
            return bool(os.read(self._file, 1))
        except BlockingIOError:
            return True

    async def _readable(self) -> None:
        loop, read = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._file, read.set)
        await read.wait()
        loop.remove_reader(self._file)

    def __del__(self) -> None:
        os.close(self._file)


def start_all_kinds(path, opened):
    """A child; one in a session of its own; a daemon of it; one whose parent ended first and that knows nothing."""
    import os
    import subprocess

    lives = f"exec 9>{path}; printf x >&9; exec sleep 1000"
    subprocess.Popen(["sh", "-c", lives])
    subprocess.Popen(["sh", "-c", lives], start_new_session=True)
    subprocess.Popen(["env", "-i", "/bin/sh", "-c", lives], start_new_session=True)
    subprocess.run(["sh", "-c", f"setsid sh -c '{lives}' &"], check=True)
    # A daemon as the books have it: a fork of a fork, with a session of its own and no file of its parent's.
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.closerange(3, 2000)
            file = os.open(path, os.O_WRONLY)
            os.write(file, b"x")
            os.read(os.open(opened, os.O_RDWR), 1)
        os._exit(0)
    os.wait()
    os.read(os.open(opened, os.O_RDWR), 1)


def start_all_kinds_and_crash(path, opened):
    import os
    import subprocess

    lives = f"exec 9>{path}; printf x >&9; exec sleep 1000"
    subprocess.Popen(["sh", "-c", lives])
    subprocess.Popen(["sh", "-c", lives], start_new_session=True)
    subprocess.run(["sh", "-c", f"setsid sh -c '{lives}' &"], check=True)
    os.read(os.open(opened, os.O_RDWR), 1)
    os._exit(3)


@linux
@pytest.mark.parametrize("how", ["cancel", "stop"])
async def test_all_that_a_job_started_ends_with_it(tmp_path: Path, how: str):
    alive, gate = Alive(tmp_path), tmp_path / "gate"
    os.mkfifo(gate)
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        job = packed_job(start_all_kinds, str(alive.path), str(gate))
        future = engine.submit(job)
        await alive.say(5)
        if how == "cancel":
            assert engine.cancel(job.task_id) == ""
        else:
            await engine.stop(0)
        await asyncio.wait([future])
        await alive.end()
        assert isinstance(future.exception(), TaskCancelled if how == "cancel" else WorkerLost)


@linux
async def test_all_that_a_job_started_ends_with_its_time(tmp_path: Path):
    gate, limit = tmp_path / "gate", 1.0
    os.mkfifo(gate)
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        while True:
            alive = Alive(tmp_path, f"alive-{limit}")
            job = packed_job(start_all_kinds, str(alive.path), str(gate))
            future = engine.submit(msgspec.structs.replace(job, timeout_s=limit))
            started = asyncio.create_task(alive.say(5))
            await asyncio.wait({started, future}, return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                break
            # A slow machine: its time was over before all was started.
            started.cancel()
            limit *= 2
        with pytest.raises(TaskTimeout):
            await future
        await alive.end()


@linux
async def test_what_a_job_started_ends_with_a_worker_that_dies(tmp_path: Path):
    alive, gate = Alive(tmp_path), tmp_path / "gate"
    os.mkfifo(gate)
    opened = os.open(gate, os.O_RDWR)
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        future = engine.submit(packed_job(start_all_kinds_and_crash, str(alive.path), str(gate)))
        await alive.say(3)
        os.write(opened, b"!")
        with pytest.raises(WorkerLost, match="exit code 3"):
            await future
        await alive.end()
    os.close(opened)


def leave_a_server(path):
    import subprocess

    lives = f"exec 9>{path}; printf x >&9; exec sleep 1000"
    server = subprocess.Popen(["sh", "-c", lives], start_new_session=True)
    server.returncode = 0  # nobody waits for it
    return server.pid


@linux
async def test_no_other_task_loses_anything(tmp_path: Path):
    """Neither one that runs beside it, nor one that ended well before it in the same worker."""
    server, beside, gate = Alive(tmp_path, "server"), Gate(tmp_path), Gate(tmp_path)
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        pid = value_of(await engine.submit(packed_job(leave_a_server, str(server.path))))
        await server.say(1)
        job = gate.job()
        future = engine.submit(job)
        await gate.has_begun()
        async with running(ProcessPoolEngine(max_workers=1)) as another:
            other = another.submit(beside.job())
            await beside.has_begun()
            engine.cancel(job.task_id)
            await asyncio.wait([future])
            assert isinstance(future.exception(), TaskCancelled)
            assert value_of(await engine.submit(packed_job(echo, 1))) == 1
            assert server.some()
            beside.open()
            assert value_of(await other) > 0
    assert server.some()
    os.kill(pid, 9)
    await server.end()


async def test_a_worker_that_was_killed_is_replaced(tmp_path: Path):
    gate = Gate(tmp_path)
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        job = gate.job()
        engine.submit(job).add_done_callback(lambda future: future.exception())
        await gate.has_begun()
        (pid,) = engine.worker_pids
        engine.cancel(job.task_id)
        assert value_of(await engine.submit(packed_job(os.getpid))) != pid
        assert len(engine.worker_pids) == 1


async def test_time_counts_from_the_beginning_of_each_job(tmp_path: Path):
    """Of jobs that were sent ahead too: those behind one that is stopped run, and run once."""
    trace, gate = tmp_path / "trace", Gate(tmp_path)
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        await asyncio.gather(*(engine.submit(packed_job(echo, n)) for n in range(100)))
        # Those behind the one that hangs wait for longer than they may run.
        jobs = [packed_job(append, str(trace), str(n)) for n in range(10)]
        jobs[3] = gate.job()
        futures = [engine.submit(msgspec.structs.replace(job, timeout_s=2.0)) for job in jobs]
        await asyncio.wait(futures)
        assert [n for n, future in enumerate(futures) if future.exception() is not None] == [3]
        assert isinstance(futures[3].exception(), TaskTimeout)
        assert trace.read_text().split() == ["0", "1", "2", "4", "5", "6", "7", "8", "9"]


async def test_many_that_hang_are_all_stopped(tmp_path: Path):
    gate = Gate(tmp_path)
    async with running(ProcessPoolEngine(max_workers=2)) as engine:
        jobs = [msgspec.structs.replace(gate.job(), timeout_s=0.05 * (n % 3 + 1)) for n in range(6)]
        futures = [engine.submit(job) for job in jobs]
        await asyncio.wait(futures)
        assert all(isinstance(future.exception(), TaskTimeout) for future in futures)
        assert engine.status().outstanding_tasks == 0
        assert engine.running() == []


async def test_the_owner_s_limit_is_the_upper_bound(tmp_path: Path):
    gate = Gate(tmp_path)
    async with running(ProcessPoolEngine(max_workers=1, environment={"GC_TASK_TIMEOUT": "0.1"})) as engine:
        for asked in (None, 60.0):
            with pytest.raises(TaskTimeout, match=r"0\.1 s that this endpoint allows .*GC_TASK_TIMEOUT"):
                await engine.submit(msgspec.structs.replace(gate.job(), timeout_s=asked))
        with pytest.raises(TaskTimeout, match=r"0\.05 s that its timeout allows"):
            await engine.submit(msgspec.structs.replace(gate.job(), timeout_s=0.05))


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
async def test_a_limit_that_makes_no_sense_is_refused(text: str):
    with pytest.raises(ConfigurationError, match=r"GC_TASK_TIMEOUT.*number of seconds"):
        await ProcessPoolEngine(environment={"GC_TASK_TIMEOUT": text}).start()


@pytest.mark.parametrize("text", ["", "0"])
async def test_no_limit(text: str):
    async with running(ProcessPoolEngine(max_workers=1, environment={"GC_TASK_TIMEOUT": text})) as engine:
        assert value_of(await engine.submit(packed_job(echo, 1))) == 1


async def test_a_job_that_has_just_ended_is_not_stopped(tmp_path: Path):
    """Whichever comes first, every job has one end, and the engine knows how many there are."""
    async with running(ProcessPoolEngine(max_workers=2)) as engine:
        for _ in range(20):
            jobs = [packed_job(echo, n) for n in range(30)]
            futures = [engine.submit(job) for job in jobs]
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            for job in jobs:
                engine.cancel(job.task_id)
            await asyncio.wait(futures)
            for n, future in enumerate(futures):
                error = future.exception()
                assert isinstance(error, TaskCancelled) or value_of(future.result()) == n
        assert engine.status().outstanding_tasks == 0


async def test_an_engine_within_a_task_runs_tasks_of_its_own():
    """Its workers do not pass for the task that the engine runs in."""
    program = """
import asyncio, os
from afield.endpoint.engines.process import ProcessPoolEngine
from afield.testing.engines import running
from afield.testing.jobs import packed_job, value_of
async def main():
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        worker = engine.worker_pids or value_of(await engine.submit(packed_job(os.getpid)))
        print(b"GC_TASK_UUID=outer" in open(f"/proc/{worker}/environ", "rb").read())
asyncio.run(main())
"""
    if sys.platform == "linux":
        environment = {**os.environ, "GC_TASK_UUID": "outer"}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("False\n", "")
