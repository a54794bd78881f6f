"""Jobs in processes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from afield.endpoint.agent.outcomes import Outcomes
from afield.endpoint.engines.pace import AHEAD_MOST
from afield.endpoint.engines.process import ProcessPoolEngine
from afield.errors import ConfigurationError, TaskCancelled, WorkerLost
from afield.testing.engines import EngineContract, running
from afield.testing.jobs import Gate, append, echo, end_process, packed_job, value_of
from afield.worker.frames import FUNCTIONS_KEPT

pytestmark = pytest.mark.anyio


class TestProcessPoolEngine(EngineContract):
    def make(self, workers: int) -> ProcessPoolEngine:
        return ProcessPoolEngine(max_workers=workers)


async def warm(engine: ProcessPoolEngine, workers: int, directory: Path) -> None:
    """Have all workers ready, and let the engine learn that jobs are short."""
    gates = [Gate(directory) for _ in range(workers)]
    futures = [engine.submit(gate.job()) for gate in gates]
    for gate in gates:
        await gate.has_begun()
        gate.open()
    await asyncio.gather(*futures)
    while engine.capacity < workers * (1 + AHEAD_MOST):
        await asyncio.gather(*(engine.submit(packed_job(echo, n)) for n in range(20)))


async def test_of_a_dead_worker_s_jobs_one_is_lost_and_the_others_run_once(tmp_path: Path):
    trace = tmp_path / "trace"
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        await warm(engine, 1, tmp_path)
        jobs = [packed_job(append, str(trace), str(n)) for n in range(30)]
        jobs[10] = packed_job(end_process, 7)
        futures = [engine.submit(job) for job in jobs]
        await asyncio.wait(futures)
        failed = [n for n, future in enumerate(futures) if future.exception() is not None]
        assert failed == [10]
        error = futures[10].exception()
        assert isinstance(error, WorkerLost)
        assert jobs[10].task_id in str(error)
        assert "exit code 7" in str(error)
        assert trace.read_text().split() == [str(n) for n in range(30) if n != 10]


async def test_a_worker_that_is_killed_is_replaced_at_once(tmp_path: Path):
    gate = Gate(tmp_path)
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        future = engine.submit(gate.job())
        await gate.has_begun()
        (pid,) = engine.worker_pids
        other = engine.submit(packed_job(os.getpid))
        engine.kill_worker(pid)
        with pytest.raises(WorkerLost, match=f"pid {pid}.*SIGKILL.*memory"):
            await future
        assert value_of(await other) != pid


async def test_a_worker_that_stands_still_keeps_one_job_at_most(tmp_path: Path):
    async with running(ProcessPoolEngine(max_workers=2)) as engine:
        await warm(engine, 2, tmp_path)
        stopped = engine.worker_pids[0]
        os.kill(stopped, signal.SIGSTOP)
        futures = [engine.submit(packed_job(os.getpid)) for _ in range(200)]
        waiting = set(futures)
        while len(waiting) > 1:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        os.kill(stopped, signal.SIGCONT)
        pids = [value_of(answer) for answer in await asyncio.gather(*futures)]
        assert pids.count(stopped) == 1


async def test_cancel_before_during_and_after(tmp_path: Path):
    gate = Gate(tmp_path)
    trace = tmp_path / "trace"
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        await warm(engine, 1, tmp_path)
        jobs = [gate.job(), *(packed_job(append, str(trace), str(n)) for n in range(20))]
        futures = [engine.submit(job) for job in jobs]
        await gate.has_begun()
        (pid,) = engine.worker_pids
        for n in (5, 20):  # the first was sent ahead
            engine.cancel(jobs[n].task_id)
            assert futures[n].done()
        assert engine.worker_pids == [pid], "nothing was running that had to be ended"
        engine.cancel(jobs[0].task_id)
        engine.cancel(jobs[0].task_id)  # twice does no harm
        await asyncio.wait(futures)
        for n in (0, 5, 20):
            with pytest.raises(TaskCancelled, match=jobs[n].task_id):
                futures[n].result()
        assert trace.read_text().split() == [str(n) for n in range(20) if n not in {4, 19}]
        assert engine.worker_pids != [pid]
        assert engine.status().outstanding_tasks == 0


def leave_a_program(path):
    import subprocess
    from pathlib import Path

    # It holds the writing end of the pipe as long as it lives.
    with Path(path).open("wb", buffering=0) as pipe:
        subprocess.Popen(["sleep", "1000"], stdout=pipe)
        pipe.write(b"started")


def leave_a_program_and_crash(path):
    import os
    import subprocess
    from pathlib import Path

    with Path(path).open("wb", buffering=0) as pipe:
        subprocess.Popen(["sleep", "1000"], stdout=pipe)
        pipe.write(b"started")
    os.kill(os.getpid(), 9)


@pytest.mark.parametrize("how", [leave_a_program, leave_a_program_and_crash])
async def test_what_a_task_leaves_behind_ends_with_its_worker(tmp_path: Path, how):
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    loop, read = asyncio.get_running_loop(), asyncio.Event()
    engine = ProcessPoolEngine(max_workers=1)
    async with running(engine):
        future = engine.submit(packed_job(how, str(tmp_path / "pipe")))
        await asyncio.wait([future])
        assert os.read(pipe, 100) == b"started"
        if how is leave_a_program:
            with pytest.raises(BlockingIOError):
                os.read(pipe, 1)
            await engine.stop(10)
        # Readable again when nobody can write any more: when the program has ended.
        loop.add_reader(pipe, read.set)
        await read.wait()
        loop.remove_reader(pipe)
        assert os.read(pipe, 1) == b""
    os.close(pipe)


def write_into_every_file():
    import os
    from contextlib import suppress

    for descriptor in range(3, 2000):
        with suppress(OSError):
            os.write(descriptor, b"Hello, is anybody there? ")


async def test_a_task_that_writes_into_its_channel_is_found_out():
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        with pytest.raises(WorkerLost, match="wrote into its channel"):
            await engine.submit(packed_job(write_into_every_file))
        assert value_of(await engine.submit(packed_job(echo, 3))) == 3


def worker_place():
    import os
    from pathlib import Path

    return str(Path.cwd()), os.environ["PARSL_WORKER_RANK"], os.environ["PARSL_WORKER_COUNT"], os.environ["MINE"]


async def test_in_the_worst_weather_every_job_is_settled_and_none_runs_twice(tmp_path: Path):
    """Workers are killed and jobs are cancelled while short jobs stream through."""
    chance, trace = random.Random(11), tmp_path / "trace"
    kills = 0
    async with running(ProcessPoolEngine(max_workers=3)) as engine:
        jobs = [packed_job(append, str(trace), str(n)) for n in range(1500)]
        futures = [engine.submit(job) for job in jobs]
        waiting = set(futures)
        while waiting:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            dice = chance.random()
            if dice < 0.1 and engine.worker_pids and kills < 20:
                engine.kill_worker(chance.choice(engine.worker_pids))
                kills += 1
            elif dice < 0.2:
                engine.cancel(jobs[chance.randrange(len(jobs))].task_id)
        ran = [int(line) for line in trace.read_text().split()]
        assert len(ran) == len(set(ran)), "none runs twice"
        errors = [future.exception() for future in futures]
        cancelled = {n for n, error in enumerate(errors) if isinstance(error, TaskCancelled)}
        lost = [n for n, error in enumerate(errors) if isinstance(error, WorkerLost)]
        assert len(lost) <= kills, "a death costs one job at most"
        assert {n for n, error in enumerate(errors) if error is None} <= set(ran)
        assert set(range(1500)) - set(ran) <= cancelled | set(lost)
        assert kills > 0
        assert cancelled
        status = engine.status()
        assert (status.pending_tasks, status.outstanding_tasks) == (0, 0)


@pytest.mark.parametrize("most", [1, 7])
async def test_workers_are_replaced_after_so_many_jobs_and_nothing_is_lost(tmp_path: Path, most: int):
    async with running(ProcessPoolEngine(max_workers=2, max_tasks_per_child=most)) as engine:
        pids = await asyncio.gather(*(engine.submit(packed_job(os.getpid)) for _ in range(28)))
        counts = Counter(map(value_of, pids))
        assert max(counts.values()) <= most
        assert sum(counts.values()) == 28
        status = engine.status()
        assert (status.pending_tasks, status.outstanding_tasks) == (0, 0)


async def test_a_job_with_needs_counts_too_and_a_killed_worker_starts_anew(tmp_path: Path):
    gate = Gate(tmp_path)
    async with running(ProcessPoolEngine(max_workers=2, max_tasks_per_child=2)) as engine:
        wide = [value_of(await engine.submit(replace(packed_job(os.getpid), cores=2))) for _ in range(5)]
        assert max(Counter(wide).values()) <= 2
        future = engine.submit(gate.job())
        await gate.has_begun()
        for pid in engine.worker_pids:
            engine.kill_worker(pid)
        with pytest.raises(WorkerLost, match="SIGKILL"):
            await future
        assert value_of(await engine.submit(packed_job(echo, 3))) == 3


async def test_directory_and_environment_of_workers(tmp_path: Path):
    engine = ProcessPoolEngine(max_workers=1, working_dir=tmp_path / "a" / "b", environment={"MINE": "yes"})
    async with running(engine):
        place = (str(tmp_path / "a" / "b"), "0", "1", "yes")
        assert value_of(await engine.submit(packed_job(worker_place))) == place
        engine.kill_worker(engine.worker_pids[0])
        assert value_of(await engine.submit(packed_job(worker_place))) == place, "its place is free again"


async def test_what_tasks_print_is_in_the_log(tmp_path: Path):
    async with running(ProcessPoolEngine(max_workers=1, log=tmp_path / "log")) as engine:
        await engine.submit(packed_job(print, "hello from a task"))
        assert (tmp_path / "log").read_text() == "hello from a task\n"


async def test_more_functions_than_a_worker_keeps():
    """Code is sent when it must be, whatever came in between, and whatever failed."""
    chance = random.Random(5)
    numbers = [chance.randrange(FUNCTIONS_KEPT + 200) for _ in range(4000)]
    base = packed_job(echo, 1)
    jobs = {}
    for n in set(numbers):
        code = f"{len(body := f'st{chr(10)}f:def f(x):{chr(10)}    return {100 if n % 7 else 0} // x + {n}')}\n{body}"
        jobs[n] = code.encode()
    from afield.wire.jobs import Job, code_digest, decode_outcome

    async with running(ProcessPoolEngine(max_workers=2)) as engine:
        submitted = []
        for number, n in enumerate(numbers):
            divisor = 0 if n % 5 == 0 else 1
            payload = packed_job(echo, divisor).payload
            job = Job(base.version, str(number), code_digest(jobs[n]), jobs[n], payload)
            submitted.append(engine.submit(job))
        for n, answer in zip(numbers, await asyncio.gather(*submitted), strict=True):
            if n % 5 == 0:
                assert b"ZeroDivisionError" in decode_outcome(answer).data
            else:
                assert value_of(answer) == (100 if n % 7 else 0) + n


async def test_no_worker_can_be_started_because_there_is_no_such_program():
    async with running(ProcessPoolEngine(max_workers=2, command=("/no/such/python",), pause_s=0.01)) as engine:
        job = packed_job(echo, 1)
        with pytest.raises(WorkerLost, match=r"(?s)could not run.*owner.*/no/such/python could not be started"):
            await engine.submit(job)


async def test_no_worker_can_be_started_and_its_last_words_are_told():
    program = (sys.executable, "-c", "import sys; sys.exit('my licence has expired')")
    async with running(ProcessPoolEngine(max_workers=2, command=program)) as engine:
        with pytest.raises(WorkerLost, match=r"(?s)exit code 1; it said:.*my licence has expired"):
            await engine.submit(packed_job(echo, 1))


HELLO_OF_ANOTHER_VERSION = """
import os, sys, msgspec
from afield.worker.loop import send
from afield.worker.frames import Hello
send(int(sys.argv[1]), 0, msgspec.msgpack.encode(Hello(99, os.getpid(), "3.99")))
os.read(int(sys.argv[1]), 1)
"""


async def test_a_worker_of_another_version_is_told_from_one_that_crashed():
    program = (sys.executable, "-c", HELLO_OF_ANOTHER_VERSION)
    async with running(ProcessPoolEngine(max_workers=1, command=program)) as engine:
        with pytest.raises(WorkerLost, match=r"version 99.*install the same version"):
            await engine.submit(packed_job(echo, 1))


async def test_workers_that_can_be_started_again_are_started_again(tmp_path: Path):
    cure = tmp_path / "cure"
    program = f"import os, runpy, sys; os.stat({str(cure)!r}); runpy.run_module('afield.worker', run_name='__main__')"
    engine = ProcessPoolEngine(max_workers=2, command=(sys.executable, "-c", program), pause_s=0.05)
    async with running(engine):
        with pytest.raises(WorkerLost, match="No such file"):
            await engine.submit(packed_job(echo, 1))
        cure.write_text("")
        assert value_of(await engine.submit(packed_job(echo, 2))) == 2
        # The other follows; both must be there for this.
        gates = [Gate(tmp_path), Gate(tmp_path)]
        futures = [engine.submit(gate.job()) for gate in gates]
        for gate in gates:
            await gate.has_begun()
        for gate in gates:
            gate.open()
        await asyncio.gather(*futures)


async def test_workers_that_end_without_having_worked_are_not_replaced_for_ever():
    async with running(ProcessPoolEngine(max_workers=1, pause_s=1000)) as engine:
        seen = set()
        for _ in range(3):
            while not (pids := set(engine.worker_pids) - seen):
                # A ready worker has no other way to be noticed than to work, and it must not.
                await asyncio.sleep(0)
            seen |= pids
            engine.kill_worker(pids.pop())
        with pytest.raises(WorkerLost, match="SIGKILL"):
            await engine.submit(packed_job(echo, 1))
        assert len(seen) == 3


async def test_bad_options_are_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="max_workers is 0"):
        ProcessPoolEngine(max_workers=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=str(tmp_path / "file")):
        await ProcessPoolEngine(working_dir=tmp_path / "file" / "below").start()
    engine = ProcessPoolEngine(log=tmp_path / "missing" / "log")
    with pytest.raises(ConfigurationError, match="missing/log"):
        await engine.start()


async def test_a_future_that_nobody_wants_any_more_does_no_harm(tmp_path: Path):
    gate = Gate(tmp_path)
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        future = engine.submit(gate.job())
        await gate.has_begun()
        future.cancel()
        gate.open()
        assert value_of(await engine.submit(packed_job(echo, 3))) == 3
        assert engine.status().outstanding_tasks == 0


async def test_the_record_of_a_lost_task_says_where_and_how_its_worker_ended():
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        pid = value_of(await engine.submit(packed_job(os.getpid)))
        job = packed_job(end_process, 3)
        future = engine.submit(job)
        await asyncio.wait([future])
    result, _ = Outcomes("e").of(job.task_id, future)
    assert result.error.code == "WorkerLost"
    assert result.details == {"worker_pid": pid, "exit_reason": "it ended with exit code 3",
                              "hostname": os.uname().nodename}  # fmt: skip
