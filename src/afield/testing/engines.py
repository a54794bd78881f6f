"""What every engine promises (:mod:`afield.endpoint.engines.base`), as tests.

A suite for pytest with the anyio plugin: inherit, and say how an engine is made::

    @pytest.mark.anyio
    class TestMyEngine(EngineContract):
        def make(self, workers: int) -> Engine:
            return MyEngine(max_workers=workers)

Jobs run functions of :mod:`afield.testing.jobs`, so the workers must be able to import it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from afield.endpoint.engines.base import Engine, NeverBegun
from afield.errors import ConfigurationError, TaskCancelled, TaskTimeout, WorkerLost
from afield.testing.jobs import (
    Gate,
    append,
    crash,
    echo,
    end_process,
    fail,
    kill_process,
    packed_job,
    value_of,
)
from afield.wire.jobs import decode_outcome

__all__ = ["EngineContract", "running"]

#: Longer than anything here takes; a test that waits for it fails.
_LONG_S = 60.0


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[Engine]:
    """An engine between start and stop."""
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop(0)


def _descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"))  # noqa: PTH208 - counted


def _exists(pid: int) -> bool:
    """Whether there is such a process, be it a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _refusal(engine: Engine, **asked: Any) -> str:
    """What an engine says that refuses a job."""
    try:
        engine.submit(msgspec.structs.replace(packed_job(echo, 1), **asked))
    except ConfigurationError as error:
        return str(error)
    raise AssertionError("it took a job that it cannot run")


class EngineContract:
    """The promises. Override :meth:`make`, and the flags where they do not hold."""

    #: a job that ends its process costs nobody else
    isolates = True
    #: it refuses jobs with a resource specification
    refuses_resources = True
    #: it can stop a job that runs: when it is cancelled, or when its time is over
    stops_running = True

    def make(self, workers: int) -> Engine:
        """An engine that is not started."""
        raise NotImplementedError

    def running(self, workers: int) -> AbstractAsyncContextManager[Engine]:
        """An engine that runs and has nothing to do. Where a start takes long, tests may share one."""
        return running(self.make(workers))

    async def test_a_job_gives_its_outcome(self) -> None:
        """With the task's id and times."""
        async with self.running(1) as engine:
            job = packed_job(echo, {"x": [1, 2]})
            answer = await engine.submit(job)
            outcome = decode_outcome(answer)
            assert outcome.task_id == job.task_id
            assert value_of(answer) == {"x": [1, 2]}
            assert 0 < outcome.began_ns <= outcome.ended_ns

    async def test_a_function_that_raises_gives_an_outcome_too(self) -> None:
        """Its future does not raise."""
        async with self.running(1) as engine:
            outcome = decode_outcome(await engine.submit(packed_job(fail, "no such thing")))
            assert outcome.error_code == "RemoteExecutionError"
            assert b"ValueError: no such thing" in outcome.data

    async def test_everybody_gets_their_own_answer(self) -> None:
        """However many there are, and whichever functions they run."""
        async with self.running(2) as engine:
            jobs = [packed_job(echo, n) if n % 3 else packed_job(str, n) for n in range(600)]
            answers = await asyncio.gather(*map(engine.submit, jobs))
            assert [value_of(answer) for answer in answers] == [n if n % 3 else str(n) for n in range(600)]
            assert [decode_outcome(answer).task_id for answer in answers] == [job.task_id for job in jobs]

    async def test_one_worker_runs_jobs_in_order(self, tmp_path: Path) -> None:
        """The order of submission."""
        trace = tmp_path / "trace"
        async with self.running(1) as engine:
            await asyncio.gather(*(engine.submit(packed_job(append, str(trace), str(n))) for n in range(100)))
        assert trace.read_text().split() == [str(n) for n in range(100)]

    async def test_nobody_waits_behind_a_long_job(self, tmp_path: Path) -> None:
        """As long as another worker is free."""
        gate = Gate(tmp_path)
        async with self.running(2) as engine:
            # Enough short ones that an engine which looks ahead does so.
            await asyncio.gather(*(engine.submit(packed_job(echo, n)) for n in range(100)))
            short = [engine.submit(packed_job(echo, n)) for n in range(30)]
            long = engine.submit(gate.job())
            short += [engine.submit(packed_job(echo, n)) for n in range(30, 100)]
            answers = await asyncio.gather(*short)
            assert [value_of(answer) for answer in answers] == list(range(100))
            assert not long.done()
            await gate.has_begun()
            gate.open()
            await long

    async def test_it_says_what_it_does(self, tmp_path: Path) -> None:
        """Its status is true."""
        gate = Gate(tmp_path)
        async with self.running(1) as engine:
            assert engine.capacity >= 1
            first, second = engine.submit(gate.job()), engine.submit(packed_job(echo, 2))
            await gate.has_begun()
            status = engine.status()
            assert (status.total_workers, status.idle_workers) == (1, 0)
            assert (status.pending_tasks, status.outstanding_tasks) == (1, 2)
            gate.open()
            await asyncio.gather(first, second)
            status = engine.status()
            assert (status.idle_workers, status.pending_tasks, status.outstanding_tasks) == (1, 0, 0)

    async def test_large_jobs_and_large_answers(self) -> None:
        """More than any pipe holds, both ways, and several at once."""
        text = "x" * 3_000_000
        async with self.running(2) as engine:
            answers = await asyncio.gather(*(engine.submit(packed_job(echo, text + str(n))) for n in range(8)))
            assert [value_of(answer) == text + str(n) for n, answer in enumerate(answers)] == [True] * 8

    async def test_a_job_that_it_can_never_run_is_refused_at_once(self) -> None:
        """With words for whoever submitted it."""
        if not self.refuses_resources:
            return
        async with self.running(1) as engine:
            assert "resource_specification" in _refusal(engine, resource_specification={"num_nodes": 2})
            assert value_of(await engine.submit(packed_job(echo, 2))) == 2

    async def test_a_job_that_asks_for_more_than_there_ever_is_is_refused(self) -> None:
        """Or it would wait for ever."""
        async with self.running(1) as engine:
            assert "1000 cores" in _refusal(engine, cores=1000)
            assert "accelerators" in _refusal(engine, gpus=1000)
            assert "memory" in _refusal(engine, memory=1 << 60)
            if not self.stops_running:
                assert "timeout" in _refusal(engine, timeout_s=60.0)
            assert engine.status().outstanding_tasks == 0

    async def test_a_waiting_job_is_cancelled(self, tmp_path: Path) -> None:
        """It never begins, and nobody else is harmed."""
        gate, trace = Gate(tmp_path), tmp_path / "trace"
        async with self.running(1) as engine:
            first, second = engine.submit(gate.job()), packed_job(append, str(trace), "ran")
            cancelled = engine.submit(second)
            third = engine.submit(packed_job(echo, 3))
            await gate.has_begun()
            assert engine.cancel(second.task_id) == ""
            await asyncio.wait([cancelled])
            error = cancelled.exception()
            assert isinstance(error, TaskCancelled)
            assert second.task_id in str(error)
            gate.open()
            assert value_of(await first) > 0
            assert value_of(await third) == 3
            assert not trace.exists()
            assert engine.status().outstanding_tasks == 0

    async def test_a_job_that_there_is_not_may_be_cancelled(self) -> None:
        """It may have ended a moment ago."""
        async with self.running(1) as engine:
            job = packed_job(echo, 1)
            assert value_of(await engine.submit(job)) == 1
            assert engine.cancel(job.task_id) == ""
            assert engine.cancel("no such task") == ""

    async def test_a_running_job_is_cancelled_or_it_says_why_not(self, tmp_path: Path) -> None:
        """And goes on with the next."""
        gate = Gate(tmp_path)
        async with self.running(1) as engine:
            job = gate.job()
            future = engine.submit(job)
            next_one = engine.submit(packed_job(echo, 2))
            await gate.has_begun()
            refusal = engine.cancel(job.task_id)
            if self.stops_running:
                assert refusal == ""
                await asyncio.wait([future])
                assert isinstance(future.exception(), TaskCancelled)
                assert job.task_id in str(future.exception())
            else:
                assert "cannot be" in refusal
                assert not future.done()
                gate.open()
                assert value_of(await future) > 0
            assert value_of(await next_one) == 2
            assert engine.status().outstanding_tasks == 0

    async def test_it_says_what_runs(self, tmp_path: Path) -> None:
        """And nothing else."""
        gate = Gate(tmp_path)
        async with self.running(1) as engine:
            assert engine.running() == []
            job = gate.job()
            futures = [engine.submit(job), engine.submit(packed_job(echo, 2))]
            await gate.has_begun()
            assert engine.running() == [job.task_id]
            gate.open()
            await asyncio.gather(*futures)
            assert engine.running() == []

    async def test_a_job_whose_time_is_over_is_stopped(self, tmp_path: Path) -> None:
        """Only that one: those with more time go on."""
        if not self.stops_running:
            return
        gates = [Gate(tmp_path), Gate(tmp_path)]
        async with self.running(2) as engine:
            patient = engine.submit(msgspec.structs.replace(gates[0].job(), timeout_s=_LONG_S))
            await gates[0].has_begun()
            job = msgspec.structs.replace(gates[1].job(), timeout_s=0.05)
            future = engine.submit(job)
            await asyncio.wait([future])
            error = future.exception()
            assert isinstance(error, TaskTimeout), error
            assert job.task_id in str(error)
            assert "0.05 s" in str(error)
            assert not patient.done()
            assert value_of(await engine.submit(packed_job(echo, 2))) == 2
            gates[0].open()
            assert value_of(await patient) > 0

    async def test_stop_waits_for_what_runs_and_gives_back_what_does_not(self, tmp_path: Path) -> None:
        """The running job ends well; the other has never begun."""
        gate = Gate(tmp_path)
        engine = self.make(1)
        async with running(engine):
            first, second = engine.submit(gate.job()), engine.submit(packed_job(echo, 2))
            await gate.has_begun()
            stopping = asyncio.create_task(engine.stop(_LONG_S))
            await asyncio.wait([second])
            gate.open()
            await stopping
            assert isinstance(second.exception(), NeverBegun)
            assert value_of(first.result()) > 0
            assert isinstance(engine.submit(packed_job(echo, 3)).exception(), NeverBegun)

    async def test_stop_ends_what_does_not_end(self, tmp_path: Path) -> None:
        """And says so to whoever waits."""
        gate = Gate(tmp_path)
        engine = self.make(1)
        async with running(engine):
            job = gate.job()
            future = engine.submit(job)
            await gate.has_begun()
            await engine.stop(0)
            error = future.exception()
            assert isinstance(error, WorkerLost)
            assert not isinstance(error, NeverBegun)
            assert job.task_id in str(error)
        if not self.isolates:
            gate.open()

    async def test_stop_leaves_nothing(self) -> None:
        """No file, no process."""
        async with self.running(2) as engine:
            await engine.submit(packed_job(echo, 0))
        before = _descriptors()
        engine = self.make(2)
        await engine.start()
        pids = set()
        for answer in await asyncio.gather(*(engine.submit(packed_job(os.getpid)) for _ in range(20))):
            pids.add(value_of(answer))
        await engine.stop(_LONG_S)
        assert _descriptors() == before
        assert not any(map(_exists, pids - {os.getpid()}))

    async def test_a_worker_that_dies_costs_its_own_job_only(self) -> None:
        """However it dies; and the engine goes on."""
        if not self.isolates:
            return
        deaths = [
            (packed_job(end_process, 3), "exit code 3"),
            (packed_job(kill_process, int(signal.SIGKILL)), "SIGKILL"),
            (packed_job(crash), "SIGSEGV"),
        ]
        async with self.running(2) as engine:
            await asyncio.gather(*(engine.submit(packed_job(echo, n)) for n in range(50)))
            others, lost = [], []
            for job, _ in deaths:
                others += [engine.submit(packed_job(echo, n)) for n in range(20)]
                lost.append(engine.submit(job))
            others += [engine.submit(packed_job(echo, n)) for n in range(20)]
            answers = await asyncio.gather(*others)
            assert [value_of(answer) for answer in answers] == [*range(20)] * 4
            for (job, name), future in zip(deaths, lost, strict=True):
                await asyncio.wait([future])
                error = future.exception()
                assert isinstance(error, WorkerLost)
                assert name in str(error)
                assert job.task_id in str(error)

    async def test_submitted_at_once_after_start(self) -> None:
        """Workers may still be on their way; nobody needs to know."""
        engine = self.make(2)
        await engine.start()
        futures = [engine.submit(packed_job(echo, n)) for n in range(5)]
        assert [value_of(answer) for answer in await asyncio.gather(*futures)] == [0, 1, 2, 3, 4]
        await engine.stop(0)
