"""ExecutorEngine keeps what engines promise, with executors of the standard library and of others."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from afield.endpoint import assemble
from afield.endpoint.engines.executor import ExecutorEngine, find_factory
from afield.endpoint.host import marked
from afield.endpoint.settings import ExecutorSettings, user_settings
from afield.errors import ConfigurationError, WorkerLost
from afield.testing.engines import EngineContract, running
from afield.testing.jobs import Gate, echo, kill_process, packed_job, value_of

pytestmark = pytest.mark.anyio


class TestThreads(EngineContract):
    isolates = False
    stops_running = False

    def make(self, workers):
        return ExecutorEngine(ThreadPoolExecutor, {"max_workers": workers}, name="threads")


def spawned(workers: int) -> Executor:
    """A process pool whose workers inherit nothing of the test's."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver"))


class TestProcesses(EngineContract):
    isolates = False  # one that dies takes the pool along
    stops_running = False

    def make(self, workers):
        return ExecutorEngine(spawned, {"workers": workers}, name="processes")

    async def test_stop_leaves_nothing(self):
        """Of the pool; what multiprocessing keeps for the next pool is not the engine's."""
        engine = self.make(2)
        await engine.start()
        pids = {value_of(await engine.submit(packed_job(os.getpid))) for _ in range(8)}
        await engine.stop(10)
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    async def test_a_job_that_does_not_end_is_ended_with_its_process(self, tmp_path: Path):
        gate = Gate(tmp_path)
        engine = self.make(1)
        async with running(engine):
            job = gate.job()
            future = engine.submit(job)
            await gate.has_begun()
            await engine.stop(0)
            assert isinstance(future.exception(), WorkerLost)
        assert not multiprocessing.active_children()

    async def test_a_pool_that_breaks_is_replaced(self):
        async with running(self.make(1)) as engine:
            lost = engine.submit(packed_job(kill_process, int(signal.SIGKILL)))
            later = [engine.submit(packed_job(echo, n)) for n in range(5)]
            with pytest.raises(WorkerLost, match="is lost with the worker of processes"):
                await lost
            assert [value_of(await future) for future in later] == list(range(5))
            assert engine.status().outstanding_tasks == 0


def configured(text: str, directory: Path):
    settings, warnings = user_settings(marked.parse(text, "template"))
    assert warnings == []
    assert isinstance(settings.engine, ExecutorSettings)
    return assemble.engine(settings.engine, directory)


async def test_it_is_chosen_by_name(tmp_path: Path):
    engine = configured(
        "engine:\n  type: ExecutorEngine\n  executor: concurrent.futures:ThreadPoolExecutor\n"
        "  arguments: {max_workers: 3}\n",
        tmp_path,
    )
    async with running(engine):
        assert value_of(await engine.submit(packed_job(echo, 1))) == 1
        assert engine.status().total_workers == 3
        assert engine.status().extra == {"executor": "concurrent.futures:ThreadPoolExecutor"}


async def test_a_distribution_brings_an_engine_by_an_entry_point(tmp_path: Path, monkeypatch):
    brought = tmp_path / "brought-1.0.dist-info"
    brought.mkdir()
    (brought / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (brought / "entry_points.txt").write_text(
        "[afield.engines]\nBroughtEngine = concurrent.futures:ThreadPoolExecutor\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    engine = configured("engine:\n  type: BroughtEngine\n  arguments: {max_workers: 2}\n", tmp_path)
    async with running(engine):
        assert value_of(await engine.submit(packed_job(echo, 1))) == 1
        assert engine.status().total_workers == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "no_such_module:Pool",
            "no_such_module:Pool cannot be loaded: No module named 'no_such_module'",
        ),
        ("concurrent.futures:Pool", "cannot be loaded: module 'concurrent.futures' has no attribute 'Pool'"),
        ("concurrent.futures", "should be like concurrent.futures:ThreadPoolExecutor"),
        ("", "engine.executor is missing: it should be like concurrent.futures:ThreadPoolExecutor"),
        ("math:pi", "engine.executor math:pi is float, and makes no executor"),
    ],
)
def test_a_name_that_means_no_executor_is_told(name, said):
    with pytest.raises(ConfigurationError) as caught:
        find_factory(name, "afield.engines")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("factory", "arguments", "said"),
    [
        (ThreadPoolExecutor, {"workers": 1}, "could not be made: TypeError"),
        (ThreadPoolExecutor, {"max_workers": 0}, "could not be made: ValueError: max_workers must be greater than 0"),
        (dict, {}, "made a dict, no concurrent.futures.Executor"),
    ],
)
async def test_an_executor_that_cannot_be_made_is_told(factory, arguments, said):
    with pytest.raises(ConfigurationError) as caught:
        await ExecutorEngine(factory, arguments).start()
    assert said in str(caught.value)


def own_id():
    import os

    return os.environ.get("GC_TASK_UUID")


async def test_the_main_thread_of_a_worker_is_the_tasks_own(tmp_path: Path):
    """There it finds its id in the environment; beside other threads it does not."""
    async with running(ExecutorEngine(spawned, {"workers": 1})) as engine:
        job = packed_job(own_id)
        assert value_of(await engine.submit(job)) == job.task_id
    async with running(ExecutorEngine(ThreadPoolExecutor, {"max_workers": 1})) as engine:
        assert value_of(await engine.submit(packed_job(own_id))) is None
