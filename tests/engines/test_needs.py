"""Jobs that need more than one worker: several shares, memory, accelerators."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from afield.endpoint.engines.process import ProcessPoolEngine
from afield.errors import ConfigurationError
from afield.testing.engines import running
from afield.testing.jobs import Gate, echo, packed_job, value_of
from afield.wire.jobs import Job, decode_outcome

pytestmark = pytest.mark.anyio

WORDS = ("AFIELD_TASK_CORES", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


def words(names):
    import os

    return [os.environ.get(name) for name in names]


def asking(job: Job, **needs: object) -> Job:
    return msgspec.structs.replace(job, **needs)


async def test_a_wide_job_has_the_shares_of_others(tmp_path: Path):
    gates = [Gate(tmp_path) for _ in range(2)]
    async with running(ProcessPoolEngine(max_workers=3)) as engine:
        first, wide = gates[0].job(), asking(gates[1].job(), cores=3)
        futures = [engine.submit(first), engine.submit(wide), engine.submit(packed_job(echo, "later"))]
        await gates[0].has_begun()
        while len(engine.worker_pids) < 3:
            await asyncio.sleep(0)  # workers say hello whenever they like
        assert engine.running() == [first.task_id], "the wide one waits, and nobody overtakes it"
        gates[0].open()
        await gates[1].has_begun()
        assert engine.running() == [wide.task_id], "it has all shares"
        assert engine.status().idle_workers == 0
        gates[1].open()
        assert [value_of(answer) for answer in await asyncio.gather(*futures)][2] == "later"
        assert engine.status().idle_workers == 3


async def test_a_wide_job_waits_for_workers_that_could_not_be_started(tmp_path: Path):
    """And not for ever, though some worker is always idle."""
    cure = tmp_path / "cure"
    cure.write_text("")
    program = f"import os, runpy, sys; os.stat({str(cure)!r}); runpy.run_module('afield.worker', run_name='__main__')"
    engine = ProcessPoolEngine(max_workers=3, command=(sys.executable, "-c", program), pause_s=0.05)
    async with running(engine):
        while len(engine.worker_pids) < 3:
            await asyncio.sleep(0)
        cure.unlink()
        for pid in engine.worker_pids[:2]:
            engine.kill_worker(pid)
        while not engine._staff._births.given_up:
            await asyncio.sleep(0)
        future = engine.submit(asking(packed_job(echo, "wide"), cores=3))
        cure.write_text("")
        assert value_of(await future) == "wide"


async def test_a_task_knows_its_cores_while_it_runs():
    async with running(ProcessPoolEngine(max_workers=2, environment={"OMP_NUM_THREADS": "1"})) as engine:
        wide = asking(packed_job(words, WORDS[:2]), cores=2)
        assert value_of(await engine.submit(wide)) == ["2", "2"]
        answers = await asyncio.gather(*(engine.submit(packed_job(words, WORDS[:2])) for _ in range(10)))
        assert [value_of(answer) for answer in answers] == [[None, "1"]] * 10


async def test_accelerators_are_had_by_one_task_at_a_time(tmp_path: Path):
    gate = Gate(tmp_path)

    def where(begun, opened, names):
        import os
        from pathlib import Path

        with Path(begun).open("wb", buffering=0) as file:
            file.write(b"!")
        os.read(os.open(opened, os.O_RDWR), 1)
        return [os.environ.get(name) for name in names]

    async with running(ProcessPoolEngine(max_workers=3, accelerators=("0", "1", "GPU-9"))) as engine:
        jobs = [asking(packed_job(where, *gate._paths, WORDS), gpus=gpus) for gpus in (1, 2, 1)]
        futures = [engine.submit(job) for job in jobs]
        for _ in range(2):
            await gate.has_begun()
        assert sorted(engine.running()) == sorted(job.task_id for job in jobs[:2])
        assert value_of(await engine.submit(packed_job(words, WORDS))) == [None] * 5, "who asked for none passes by"
        for _ in range(3):
            gate.open()
        answers = [value_of(answer) for answer in await asyncio.gather(*futures)]
        assert answers[0][2:] == ["0", "0", "0"]
        assert answers[1][2:] == ["1,GPU-9", "1,GPU-9", "1,GPU-9"]
        assert len(answers[2][2].split(",")) == 1
        assert [answer[:2] for answer in answers] == [[None, None]] * 3


async def test_accelerators_come_back_from_a_worker_that_dies(tmp_path: Path):
    gate = Gate(tmp_path)
    async with running(ProcessPoolEngine(max_workers=1, accelerators=("0",))) as engine:
        job = asking(gate.job(), gpus=1)
        future = engine.submit(job)
        await gate.has_begun()
        engine.cancel(job.task_id)
        await asyncio.wait([future])
        assert value_of(await engine.submit(asking(packed_job(words, WORDS[2:3]), gpus=1))) == ["0"]


async def test_a_worker_that_used_other_accelerators_is_replaced():
    """For its libraries may be bound to those."""

    def see():
        import os

        return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]

    async with running(ProcessPoolEngine(max_workers=1, accelerators=("0", "1"))) as engine:
        one, same, both = [
            value_of(await engine.submit(asking(packed_job(see), gpus=gpus))) for gpus in (1, 1, 2)
        ]  # fmt: skip
        assert one == same, "its libraries need not be loaded again"
        assert both[1] == "0,1"
        assert both[0] != one[0]


async def test_jobs_that_wait_for_accelerators_leave_room_for_others(tmp_path: Path):
    gate = Gate(tmp_path)
    async with running(ProcessPoolEngine(max_workers=2, accelerators=("0",))) as engine:
        # Jobs are long: one for each worker.
        futures = [engine.submit(asking(gate.job(), gpus=1))]
        await gate.has_begun()
        before = engine.capacity
        futures += [engine.submit(asking(gate.job(), gpus=1)) for _ in range(3)]
        while engine.status().idle_workers < 1:
            await asyncio.sleep(0)
        assert engine.capacity == before + 2, "as many more as there are workers"
        assert value_of(await engine.submit(packed_job(echo, 1))) == 1
        for _ in range(4):
            gate.open()
        await asyncio.gather(*futures)


def needs_much(size):
    return len(bytearray(size))


def program_needs_much(size):
    import subprocess
    import sys

    return subprocess.run([sys.executable, "-c", f"bytearray({size})"], stderr=subprocess.DEVNULL).returncode


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing keeps such a limit")
async def test_memory_has_a_bound_for_as_long_as_the_task_runs():
    much, little, bound = 400 << 20, 20 << 20, 100 << 20
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        assert value_of(await engine.submit(asking(packed_job(needs_much, little), memory=bound))) == little
        outcome = decode_outcome(await engine.submit(asking(packed_job(needs_much, much), memory=bound)))
        assert outcome.error_code == "RemoteExecutionError"
        assert outcome.message.startswith(
            "MemoryError: the task needed more memory than the 100.0 MiB (104857600 bytes)"
        )
        assert outcome.kinds == ("builtins.MemoryError", "builtins.Exception")
        assert value_of(await engine.submit(asking(packed_job(program_needs_much, much), memory=bound))) == 1
        assert value_of(await engine.submit(packed_job(needs_much, much))) == much, "and no longer"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"cores": 3}, "asks for 3 cores, and this endpoint has 2 workers, each with the share of one: ask for 1 to 2"),
        ({"cores": 0}, "asks for 0 cores"),
        ({"gpus": 2}, "asks for 2 accelerators, and this endpoint has 1 accelerator: ask for at most 1"),
        ({"memory": 1 << 60}, r"asks for 1152921504606846976 bytes of memory .* has \d+ "),
    ],
)
async def test_more_than_there_ever_is_is_refused(asked: dict[str, int], said: str):
    async with running(ProcessPoolEngine(max_workers=2, accelerators=("0",))) as engine:
        with pytest.raises(ConfigurationError, match=said):
            engine.submit(asking(packed_job(echo, 1), **asked))


async def test_without_accelerators_it_says_who_can_change_that():
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        with pytest.raises(ConfigurationError, match=r"has none: its owner sets them with engine\.available_accel"):
            engine.submit(asking(packed_job(echo, 1), gpus=1))


def test_an_accelerator_that_is_named_twice_is_refused():
    with pytest.raises(ConfigurationError, match="names one twice: 0, 1, 0"):
        ProcessPoolEngine(accelerators=("0", "1", "0"))
