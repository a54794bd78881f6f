"""What the agent's tests take for an engine does about running and cancelling what real ones do."""

from __future__ import annotations

import pytest

from afield.endpoint.engines.process import ProcessPoolEngine
from afield.endpoint.engines.thread import ThreadPoolEngine
from afield.errors import TaskCancelled
from afield.testing.engines import running
from afield.testing.jobs import Gate

pytestmark = pytest.mark.anyio

REFUSAL = "a thread cannot be stopped"


class Held:
    """A real engine with one worker, and jobs that wait at a gate."""

    def __init__(self, engine, directory):
        self.engine, self.gate = engine, Gate(directory)

    def job(self):
        return self.gate.job()

    async def begin(self, _job):
        await self.gate.has_begun()

    def end(self, _job):
        self.gate.open()


class Told:
    """The fake, which is told what a real engine would find out."""

    def __init__(self, engine, directory):
        self.engine, self.gate = engine, Gate(directory)

    def job(self):
        return self.gate.job()

    async def begin(self, job):
        self.engine.begin(job.task_id)

    def end(self, job):
        self.engine.finish(job.task_id)


@pytest.fixture(params=["processes", "threads", "fake", "unstoppable fake"])
def case(request, parts, tmp_path):
    match request.param:
        case "processes":
            return Held(ProcessPoolEngine(max_workers=1), tmp_path)
        case "threads":
            return Held(ThreadPoolEngine(max_workers=1), tmp_path)
    fake = parts.FakeEngine(1)
    fake.unstoppable = REFUSAL if request.param == "unstoppable fake" else ""
    return Told(fake, tmp_path)


async def test_what_runs_and_what_waits(case):
    async with running(case.engine) as engine:
        assert engine.running() == []
        first, second, third = case.job(), case.job(), case.job()
        futures = [engine.submit(job) for job in (first, second)]
        await case.begin(first)
        assert engine.running() == [first.task_id]
        assert engine.cancel(second.task_id) == "", "it waits"
        with pytest.raises(TaskCancelled, match=f"task {second.task_id} was cancelled"):
            await futures[1]
        why = engine.cancel(first.task_id)
        if why:
            assert "cannot be" in why
            assert engine.running() == [first.task_id], "it goes on"
            case.end(first)
            await futures[0]
        else:
            with pytest.raises(TaskCancelled, match=f"task {first.task_id} was cancelled"):
                await futures[0]
        assert engine.running() == []
        assert engine.cancel(first.task_id) == "", "there is no such job any more"
        again = engine.submit(third)
        await case.begin(third)
        assert engine.running() == [third.task_id]
        case.end(third)
        await again
        assert engine.status().outstanding_tasks == 0
