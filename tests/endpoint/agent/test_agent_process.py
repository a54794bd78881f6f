"""An agent as the process that it is, with real workers and real sockets: what happens when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from afield.endpoint.agent.orders import Start
from afield.endpoint.manager.spawn import COMMAND, Child
from afield.endpoint.settings import ProcessPoolSettings, UserSettings
from afield.wire.messages import CallOptions, Cancel

pytestmark = pytest.mark.anyio

#: Leaves its name behind; ``hold`` waits until somebody reads from the pipe, having said so.
RUN = """
def f(witness, name, hold):
    import os
    fd = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (name + "\\n").encode())
    os.close(fd)
    if hold:
        open(hold + ".started", "w").close()
        with open(hold) as pipe:
            pipe.read()
    return name.upper()
"""

#: One worker, so that what is behind a task that holds has not begun.
ONE = UserSettings(engine=ProcessPoolSettings(max_workers=1), idle_heartbeats_soft=0)


@pytest.fixture
def live(tmp_path, parts):
    """Start an agent, wait for its first heartbeat; at the end it is gone, however that is."""

    @asynccontextmanager
    async def start(service, settings=ONE):
        place = tmp_path / "uep"
        place.mkdir(exist_ok=True)
        child = Child(Start("uep.test", str(place), settings, service.credentials), place / "agent.log")
        seen = len(service.reports)
        child.work = asyncio.create_task(child.run(os.environ))
        child.work.add_done_callback(lambda _: service.touch())
        try:
            await service.until(lambda: len(service.reports) > seen or child.work.done())
            assert not child.work.done(), await child.tail()
            yield child
        finally:
            child.kill()
            await asyncio.wait([child.work])

    return start


@pytest.fixture
def calls(tmp_path, parts):
    """Tasks, and what they leave behind."""

    class Calls:
        witness = tmp_path / "witness"
        hold = tmp_path / "hold"

        def __init__(self):
            os.mkfifo(self.hold)
            os.mkfifo(f"{self.hold}.started")

        def quick(self, name):
            return parts.call(name, RUN, str(self.witness), name, "")

        def long(self, name):
            return parts.call(name, RUN, str(self.witness), name, str(self.hold))

        async def until_it_runs(self):
            await asyncio.to_thread(Path(f"{self.hold}.started").read_text)

        async def let_it_end(self):
            await asyncio.to_thread(self.hold.write_text, "")

        def ran(self):
            return self.witness.read_text().split()

    return Calls()


async def test_it_runs_tasks_and_leaves_nothing_behind(live, calls, parts):
    async with parts.over_sockets() as service:
        async with live(service) as child:
            family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
            await service.send(*[calls.quick(f"t{i}") for i in range(20)])
            await service.until(lambda: len(service.results) == 20)
            assert parts.value(service.results["t7"]) == "T7"
            child.stop("the test is over", 5.0)
            assert await child.work == 0
        assert service.reports[-1].state["active"] is False
        assert sorted(calls.ran()) == sorted(f"t{i}" for i in range(20))
        assert await service.waiting() == 0
    assert psutil.wait_procs(family, timeout=parts.PATIENCE_S)[1] == []


async def test_killed_and_started_again_it_runs_no_task_twice(live, calls, parts):
    async with parts.over_sockets() as service:
        async with live(service) as child:
            await service.send(calls.quick("before"), calls.long("held"), calls.quick("behind"))
            await service.send(calls.quick("later"))
            await calls.until_it_runs()
            await service.until(lambda: "before" in service.results)
            workers = psutil.Process(child.pid).children(recursive=True)
            os.kill(child.pid, signal.SIGKILL)
            assert await child.work == -signal.SIGKILL
        async with live(service) as child:
            await service.until(lambda: {"held", "later"} <= set(service.results))
            await service.until(lambda: "behind" in service.results)
            child.stop("the test is over", 5.0)
            assert await child.work == 0
        assert await service.waiting() == 0
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    assert service.results["held"].error.code == "EndpointLost"
    assert parts.value(service.results["later"]) == "LATER"
    ran = calls.ran()
    assert len(ran) == len(set(ran)), ran
    for name in ("before", "held", "later"):
        assert name in ran
    # It may have been handed to the engine, which sends short tasks ahead; then nobody knows whether it began.
    assert ("behind" in ran) == (service.results["behind"].error is None)


async def test_a_result_that_could_not_be_sent_is_sent_by_the_next_life(live, calls, parts, tmp_path):
    async with parts.over_sockets() as service, live(service) as child:
        await service.send(calls.long("held"))
        await calls.until_it_runs()
        await service.broker.close()
        await calls.let_it_end()
        child.stop("the test is over", 30.0)
        assert await child.work == 0
    assert len(list((tmp_path / "uep" / "outbox").iterdir())) == 1
    async with parts.over_sockets() as service:
        await service.send(calls.long("held"))  # as a service does that has not heard of it
        async with live(service) as child:
            await service.until(lambda: "held" in service.results)
            child.stop("the test is over", 5.0)
            assert await child.work == 0
        assert await service.waiting() == 0
    assert parts.value(service.results["held"]) == "HELD"
    assert calls.ran() == ["held"]
    assert list((tmp_path / "uep" / "outbox").iterdir()) == []


async def test_what_is_cancelled_ends_wherever_it_is(live, calls, parts):
    async with parts.over_sockets(control=True) as service, live(service) as child:
        await service.send(calls.long("held"), calls.quick("behind"))
        await calls.until_it_runs()
        await service.cancel(Cancel("behind"), Cancel("held"), Cancel("later"))
        await service.until(lambda: {"held", "behind"} <= set(service.results))
        await service.send(calls.quick("later"), calls.quick("last"))
        await service.until(lambda: {"later", "last"} <= set(service.results))
        child.stop("the test is over", 5.0)
        assert await child.work == 0
        assert await service.waiting() == await service.wishes() == 0
    assert [service.results[name].error.code for name in ("held", "behind", "later")] == ["TaskCancelled"] * 3
    assert calls.ran() == ["held", "last"]


async def test_a_worker_that_is_killed_is_not_the_end_of_a_task_with_retries(live, calls, parts):
    async with parts.over_sockets(control=True) as service, live(service) as child:
        await service.send(replace(calls.long("held"), options=CallOptions(retries=1, backoff_s=0.0)))
        await calls.until_it_runs()
        [worker] = [one for one in psutil.Process(child.pid).children() if "afield.worker" in one.cmdline()]
        worker.kill()
        await calls.until_it_runs()
        await calls.let_it_end()
        await service.until(lambda: "held" in service.results)
        child.stop("the test is over", 5.0)
        assert await child.work == 0
    assert parts.value(service.results["held"]) == "HELD"
    [attempt] = service.results["held"].details["attempts"]
    assert attempt["error"].startswith("WorkerLost: ")
    assert calls.ran() == ["held", "held"]


FIRST = """
def f(witness, started):
    import os, signal
    if os.path.exists(witness):
        return "again"
    open(witness, "w").close()
    open(started, "w").close()
    signal.pause()
"""


async def test_killed_and_started_again_it_runs_a_task_with_retries_again(live, calls, parts):
    async with parts.over_sockets(control=True) as service:
        async with live(service) as child:
            held = parts.call("held", FIRST, str(calls.witness), f"{calls.hold}.started")
            await service.send(replace(held, options=CallOptions(retries=1)))
            await calls.until_it_runs()
            workers = psutil.Process(child.pid).children(recursive=True)
            os.kill(child.pid, signal.SIGKILL)
            assert await child.work == -signal.SIGKILL
        async with live(service) as child:
            await service.until(lambda: "held" in service.results)
            child.stop("the test is over", 5.0)
            assert await child.work == 0
        assert await service.waiting() == 0
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    assert parts.value(service.results["held"]) == "again"
    assert "EndpointLost" in service.results["held"].details["attempts"][0]["error"]


async def test_it_outlives_its_broker(live, calls, parts):
    async with parts.over_sockets() as service, live(service) as child:
        await service.send(calls.long("held"))
        await calls.until_it_runs()
        await service.broker.close()
        async with parts.over_sockets(service.port) as again:
            await again.send(calls.long("held"), calls.quick("new"))
            await again.until(lambda: again.reports)
            await calls.let_it_end()
            await again.until(lambda: {"held", "new"} <= set(again.results))
            assert parts.value(again.results["held"]) == "HELD"
            child.stop("the test is over", 5.0)
            assert await child.work == 0
            assert await again.waiting() == 0
    assert sorted(calls.ran()) == ["held", "new"]


LEAVE = """
def f(path):
    import subprocess
    with open(path, "wb", buffering=0) as pipe:
        subprocess.Popen(["sleep", "1000"], stdout=pipe)
        pipe.write(b"started")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can end programs with a grandparent")
async def test_what_its_tasks_started_ends_with_it_even_if_it_is_killed(live, parts, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    loop, read = asyncio.get_running_loop(), asyncio.Event()
    async with parts.over_sockets() as service, live(service) as child:
        await service.send(parts.call("t", LEAVE, str(tmp_path / "pipe")))
        await service.until(lambda: "t" in service.results)
        assert os.read(pipe, 100) == b"started"
        with pytest.raises(BlockingIOError):
            os.read(pipe, 1)
        os.kill(child.pid, signal.SIGKILL)
        # Readable again when nobody can write any more: when the program has ended.
        loop.add_reader(pipe, read.set)
        await read.wait()
        loop.remove_reader(pipe)
    os.close(pipe)


ESCAPE = """
def f(path, ends):
    import os, signal, subprocess
    if os.path.exists(path + ".ran"):
        return "again"
    open(path + ".ran", "w").close()
    lives = f"exec 9>{path}; printf x >&9; exec sleep 1000"
    server = subprocess.Popen(["sh", "-c", lives], start_new_session=True)
    if ends:
        server.returncode = 0  # nobody waits for it
        return server.pid
    if not os.fork():
        os.setsid()
        with open(path, "wb", buffering=0) as pipe:
            pipe.write(b"x")
            signal.pause()
    signal.pause()
"""


class Escaped:
    """What a task started that left its worker's session: knows how many of them live."""

    def __init__(self, path):
        os.mkfifo(path)
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def said(self, count):
        while count:
            await self._readable()
            count -= len(os.read(self._file, count))

    async def ended(self):
        await self._readable()
        assert os.read(self._file, 1) == b""

    def some(self):
        try:
            return os.read(self._file, 1) != b""
        except BlockingIOError:
            return True

    async def _readable(self):
        loop, read = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._file, read.set)
        await read.wait()
        loop.remove_reader(self._file)


@pytest.mark.skipif(sys.platform != "linux", reason="finds these by what Linux tells of environments")
async def test_what_escaped_from_a_task_ends_before_the_task_runs_again(live, parts, tmp_path):
    cut, well = tmp_path / "cut", tmp_path / "well"
    of_cut, of_well = Escaped(cut), Escaped(well)
    async with parts.over_sockets() as service:
        async with live(service) as child:
            await service.send(parts.call("well", ESCAPE, str(well), True))
            await service.until(lambda: "well" in service.results)
            await of_well.said(1)
            await service.send(replace(parts.call("cut", ESCAPE, str(cut), False), options=CallOptions(retries=1)))
            await of_cut.said(2)
            os.kill(child.pid, signal.SIGKILL)
            assert await child.work == -signal.SIGKILL
            assert of_cut.some()
        async with live(service) as child:
            await service.until(lambda: "cut" in service.results)
            await of_cut.ended()
            child.stop("the test is over", 5.0)
            assert await child.work == 0
    assert parts.value(service.results["cut"]) == "again"
    assert of_well.some(), "its task had ended well, so it may be meant to stay"
    os.kill(parts.value(service.results["well"]), signal.SIGKILL)
    await of_well.ended()


async def test_it_ends_with_its_manager(live, parts):
    async with parts.over_sockets() as service, live(service) as child:
        child._process.stdin.close()
        assert await child.work == 0
        await service.until(lambda: service.reports[-1].state["active"] is False)


async def test_a_second_one_waits_for_the_first(live, calls, parts):
    async with parts.over_sockets() as service, live(service) as first:
        await service.send(calls.long("held"))
        await calls.until_it_runs()
        first.stop("another one comes", 30.0)

        async def second():
            async with live(service) as child:
                await service.until(lambda: sum(state["active"] for state in service.said_by(parts.UEP)) == 2)
                child.stop("the test is over", 5.0)
                assert await child.work == 0

        other = asyncio.create_task(second())
        await calls.let_it_end()
        assert await first.work == 0
        await other
        await service.until(lambda: len(service.said_by(parts.UEP)) == 4)
        assert [state["active"] for state in service.said_by(parts.UEP)] == [True, False, True, False]


async def test_a_setup_that_fails_is_told(parts, tmp_path):
    async with parts.over_sockets() as service:
        settings = UserSettings(endpoint_setup="echo the disk is not mounted >&2; exit 3")
        child = Child(Start("uep.test", str(tmp_path), settings, service.credentials), tmp_path / "agent.log")
        assert await child.run(os.environ) == 78
        assert "the disk is not mounted" in await child.tail()
        assert "endpoint_setup ended with exit status 3" in await child.tail()
        assert service.reports == []


async def test_setup_and_teardown_run(live, parts, tmp_path):
    settings = UserSettings(endpoint_setup="echo up >> $PWD/seen", endpoint_teardown="echo down >> $PWD/seen")
    async with parts.over_sockets() as service, live(service, settings) as child:
        child.stop("the test is over", 5.0)
        assert await child.work == 0
    assert (tmp_path / "uep" / "seen").read_text() == "up\ndown\n"


async def test_nobody_starts_it_by_hand(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    _, said = await process.communicate()
    assert process.returncode == 78
    assert b"afield endpoint start" in said
