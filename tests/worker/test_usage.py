"""What tasks used is measured in the process that runs them."""

from __future__ import annotations

import sys

import pytest

from afield.endpoint.engines.process import ProcessPoolEngine
from afield.testing.engines import running
from afield.testing.jobs import packed_job, value_of
from afield.wire.jobs import decode_outcome

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems measure memory otherwise"),
]

MB = 1_000_000


def use_memory(count):
    import time

    held = bytearray(count)
    began = time.perf_counter()
    while time.perf_counter() - began < 0.005:  # long enough to be asked for its memory
        held[::4096]
    return len(held)


def use_processor(seconds):
    import time

    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def use_both_in_a_program(count, seconds):
    import subprocess
    import sys

    code = f"x = bytearray({count})\nimport time\nwhile time.process_time() < {seconds}: pass"
    subprocess.run([sys.executable, "-c", code], check=True)


def nothing():
    pass


def fail():
    raise ValueError


async def used(engine, function, *args):
    return decode_outcome(await engine.submit(packed_job(function, *args)))


async def test_memory_is_that_of_the_task_not_of_those_before():
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        large = await used(engine, use_memory, 200 * MB)
        small = await used(engine, use_memory, 20 * MB)
        again = await used(engine, use_memory, 100 * MB)
    assert 200 * MB < large.memory < 300 * MB
    assert 20 * MB < small.memory < 100 * MB
    assert 100 * MB < again.memory < 200 * MB


async def test_processor_time_is_that_of_the_task():
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        busy = await used(engine, use_processor, 0.2)
        idle = await used(engine, nothing)
        failed = await used(engine, fail)
    assert 190_000 < busy.cpu_us < 1_000_000
    assert 0 <= idle.cpu_us < 190_000
    assert failed.error_code == "RemoteExecutionError"
    assert failed.cpu_us is not None


async def test_programs_that_a_task_starts_count():
    async with running(ProcessPoolEngine(max_workers=1)) as engine:
        outcome = await used(engine, use_both_in_a_program, 150 * MB, 0.2)
        assert value_of(await engine.submit(packed_job(nothing))) is None
    assert outcome.cpu_us > 190_000
    assert outcome.memory > 150 * MB
