"""What may go wrong with workers on Parsl, with real ones on this machine."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import psutil
import pytest
import zmq

from afield.endpoint.engines.parsl.engine import HtexEngine
from afield.endpoint.engines.parsl.watch import Watch
from afield.endpoint.host.remembered import LastErrors
from afield.errors import WorkerLost
from afield.testing.engines import running
from afield.testing.jobs import Gate, append, echo, packed_job, value_of

from .one_worker import settings

pytestmark = pytest.mark.anyio


def pool_of(directory: Path) -> psutil.Process:
    """The process that holds the workers of this engine's only node."""
    (found,) = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "-m" in (words := process.info["cmdline"] or ()) and any(str(directory) in word for word in words)
    ]
    return found


def interchange() -> psutil.Process:
    """The process through which this test's engine reaches its workers."""
    (found,) = [child for child in psutil.Process().children() if "interchange" in " ".join(child.cmdline())]
    return found


class Sturdy(HtexEngine):
    """Replaces an interchange however short it lived."""

    lived_s = 0.0


async def test_a_lost_node(tmp_path: Path):
    """What had begun is lost and says so at once; what comes then runs in the next block."""
    gate, trace = Gate(tmp_path), tmp_path / "trace"
    two = settings(encrypted=False, max_workers_per_node=2, cores_per_worker=0.5)
    async with running(Sturdy(two, tmp_path / "endpoint")) as engine:
        job = gate.job()
        lost = engine.submit(job)
        await gate.has_begun()
        pool = pool_of(tmp_path)
        for process in [pool, *pool.children(recursive=True)]:  # without power, all of them
            process.kill()
        await asyncio.wait([lost])
        error = lost.exception()
        assert isinstance(error, WorkerLost)
        assert job.task_id in str(error)
        assert "block 0" in str(error)
        # HTEX believes for two minutes that the node is there, and that one of its workers is idle.
        await asyncio.gather(*(engine.submit(packed_job(append, str(trace), str(n))) for n in range(4)))
        assert sorted(trace.read_text().split()) == ["0", "1", "2", "3"]


async def test_a_lost_interchange_and_a_node_without_power(tmp_path: Path):
    """Likewise; another is started. And what says nothing any more is lost when its owner says."""
    gate, trace = Gate(tmp_path), tmp_path / "trace"
    soon = settings(heartbeat_period=1, heartbeat_threshold=3)
    async with running(Sturdy(soon, tmp_path / "endpoint")) as engine:
        job = gate.job()
        lost = engine.submit(job)
        waiting = [engine.submit(packed_job(append, str(trace), str(n))) for n in range(3)]
        await gate.has_begun()
        interchange().kill()
        await asyncio.wait([lost])
        assert "interchange" in str(lost.exception())
        assert "SIGKILL" in str(lost.exception())
        await asyncio.gather(*waiting)
        assert sorted(trace.read_text().split()) == ["0", "1", "2"]
        (tmp_path / "node").mkdir()
        gate = Gate(tmp_path / "node")
        lost = engine.submit(gate.job())
        await gate.has_begun()
        pool = pool_of(tmp_path)
        node = [pool, *pool.children(recursive=True)]
        for process in node:  # its connections stay as they are, as those of a machine whose power is cut
            process.suspend()
        await asyncio.wait([lost])
        assert isinstance(lost.exception(), WorkerLost)
        for process in node:
            process.kill()


async def test_an_interchange_that_dies_over_a_question(tmp_path: Path):
    """Whoever asked waits for no answer, and another is started."""
    async with running(Sturdy(settings(), tmp_path / "endpoint")) as engine:
        asked = engine._plant.htex.command_client._lock
        gate = Gate(tmp_path)
        lost = engine.submit(gate.job())
        await gate.has_begun()
        interchange().suspend()
        while not asked.locked():  # as soon as somebody looks how blocks are
            await asyncio.sleep(0)
        interchange().kill()
        await asyncio.wait([lost])
        assert "SIGKILL" in str(lost.exception())
        assert value_of(await engine.submit(packed_job(echo, 7))) == 7


class Unaware(Sturdy):
    """Is not told that its interchange has ended, until it may be."""

    may_be_told = True

    def interchange_ended(self, exit_code: int) -> None:
        if self.may_be_told:
            super().interchange_ended(exit_code)


async def test_what_is_sent_to_an_interchange_that_has_just_died_runs_with_the_next(tmp_path: Path):
    said: list[object] = []  # also what ends a callback that hangs
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    async with running(Unaware(settings(), tmp_path / "endpoint")) as engine:
        assert value_of(await engine.submit(packed_job(echo, 1))) == 1
        engine.may_be_told = False
        dead = interchange()
        dead.kill()
        dead.wait(60)
        outgoing = engine._plant.htex.outgoing_q.zmq_socket
        while outgoing.poll(0, zmq.POLLOUT):  # until its connection is seen to be gone
            pass
        answers = [engine.submit(packed_job(echo, n)) for n in range(3)]
        await asyncio.sleep(0)  # they are handed over
        engine.may_be_told = True
        assert [value_of(answer) for answer in await asyncio.gather(*answers)] == [0, 1, 2]
    assert said == []


def dies_twice(path: str) -> int:
    """Kill its worker, unless it has done so twice."""
    import os
    import signal
    from pathlib import Path

    with Path(path).open("a") as file:
        file.write("x")
    if Path(path).stat().st_size < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return Path(path).stat().st_size


class Deaf(HtexEngine):
    """Workers cannot reach it, as behind a firewall that lets only Parsl's own port through."""

    async def start(self) -> None:
        await super().start()
        await self._keeper.close()


async def test_without_a_control_channel_tasks_run_and_say_what_does_not_work(tmp_path: Path):
    gate, trace = Gate(tmp_path), tmp_path / "trace"
    async with running(Deaf(settings(max_retries_on_system_failure=2), tmp_path / "endpoint")) as engine:
        answers = await asyncio.gather(*(engine.submit(packed_job(echo, n)) for n in range(20)))
        assert [value_of(answer) for answer in answers] == list(range(20))
        assert "Connection refused" in engine.status().extra["no_control_channel"]
        job = gate.job()
        future = engine.submit(job)
        await gate.has_begun()
        assert "cannot be ended: workers cannot report" in engine.cancel(job.task_id)
        gate.open()
        assert value_of(await future) > 0
        # A lost one runs again, as often as the owner wants it.
        assert value_of(await engine.submit(packed_job(dies_twice, str(trace)))) == 3


@pytest.fixture
def last_errors():
    """What `afield endpoint status` would show."""
    found = LastErrors()
    logging.getLogger("afield").addHandler(found)
    yield found
    logging.getLogger("afield").removeHandler(found)


@pytest.mark.parametrize(
    ("module", "text", "told"),
    [
        # Parsl's version is read where it is written down.
        ("sitecustomize.py", "import parsl.version; parsl.version.VERSION = '1999.1.1'", "pip install parsl=="),
        ("afield/__init__.py", "", r"pip install 'afield\[parsl\]=="),
    ],
)
async def test_workers_with_another_environment_say_at_once_what_mends_it(
    tmp_path: Path, last_errors, module, text, told
):
    path = tmp_path / "environment" / module
    path.parent.mkdir(parents=True)
    path.write_text(text)
    provider = {
        "type": "LocalProvider", "init_blocks": 1, "max_blocks": 1,
        "worker_init": f"source nosuch/activate\nexport PYTHONPATH={tmp_path / 'environment'}",
    }  # fmt: skip
    loop, complained = asyncio.get_running_loop(), asyncio.Event()

    def look() -> None:
        if "nosuch" in str(last_errors.said()):
            loop.call_soon_threadsafe(complained.set)

    last_errors.changed = look
    place, wanted = tmp_path / "endpoint", settings(provider=provider)
    place.mkdir()
    async with running(HtexEngine(wanted, place, watch=Watch(wanted, place))) as engine:
        for _ in range(2):
            job = packed_job(echo, 1)
            with pytest.raises(WorkerLost, match=told) as caught:
                await engine.submit(job)
            assert job.task_id in str(caught.value)
            assert "for the owner of the endpoint to mend" in str(caught.value)
        await complained.wait()
    said = [one.text for one in last_errors.said()]
    assert len([text for text in said if re.search(told, text)]) == 1, "the owner hears of it, once"
    (wrong,) = [text for text in said if "nosuch/activate" in text]
    assert "perhaps with another Python than was meant" in wrong
