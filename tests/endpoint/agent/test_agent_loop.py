"""An agent with real queues, a real disk, and an engine whose tasks end when the test says so."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from functools import partial

import pytest
from msgspec.structs import replace

from afield.broker.base import Properties, Publication
from afield.endpoint.agent.journal import Journal
from afield.endpoint.agent.orders import Refresh, Start, Stop
from afield.endpoint.engines.process import ProcessPoolEngine
from afield.endpoint.settings import ProcessPoolSettings, UserSettings
from afield.errors import ConfigurationError, NoWorkers, VersionMismatch
from afield.serialize.exceptions import rebuild
from afield.wire.messages import CallOptions

pytestmark = pytest.mark.anyio


@pytest.fixture
def running(working, service):
    """Run an agent in the background; leaving stops it."""
    return partial(working, service)


async def test_the_first_thing_is_a_heartbeat(service, running, parts):
    async with running():
        [report] = service.reports
    assert report.endpoint_id == parts.UEP
    state = report.state
    assert state["active"] is True
    assert state["heartbeat_period"] == 30
    assert state["engine_type"] == "Fake"
    assert state["hostname"] == "here"
    assert abs(state["start_unix"] - time.time()) < 60
    assert "extra" not in state
    assert state["python_version"] == platform.python_version(), "the workers run the same as the agent"
    goodbye = service.reports[-1].state
    assert goodbye["active"] is False
    assert goodbye["heartbeat_period"] == 30


@pytest.mark.parametrize("version", [1, 2])
async def test_a_task_is_run_and_its_result_sent(service, running, parts, version):
    async with running() as (_, engine):
        await service.send(parts.task("a"), version=version)
        await engine.has("a")
        job = engine.jobs["a"]
        assert (job.code, job.payload) == (b"2\nab", b"1\nc1\nd")
        engine.finish("a", b"42")
        await service.until(lambda: "a" in service.results)
        result = service.results["a"]
        assert (result.data, result.error) == (b"42", None)
        assert result.details == {"os": "x", "endpoint_id": parts.UEP}
        assert [step.state for step in result.statuses] == ["execution-start", "execution-end"]
    assert await service.waiting() == 0, "it is acknowledged"


async def test_a_task_is_acknowledged_only_when_its_result_is_confirmed(service, running, parts):
    service.confirming = False
    async with running(stop=False) as (agent, engine):
        await service.send(parts.task("a"))
        await engine.has("a")
        engine.finish("a")
        await service.until(lambda: service.unconfirmed)
        service.broker.sever(f"uep.{parts.UEP}.1")
        assert await service.waiting() == 1, "the broker has put it back"
        service.confirm()
        await service.until(lambda: len(service.reports) > 1)
        agent.stop("the test is over", 0.0)
        await service.until(lambda: not service.reports[-1].state["active"])
    assert engine.ran == ["a"], "it ran once"
    assert await service.waiting() == 0


async def test_results_wait_on_disk_while_the_broker_is_away(service, running, parts, tmp_path):
    async with running(stop=False) as (agent, engine):
        await service.send(parts.task("a"), parts.task("b"))
        await engine.has("a", "b")
        service.broker.go_down()
        engine.finish("a", b"1")
        agent.stop("the test is over", 0.0)
        assert await agent.work == 0
    assert len(list((tmp_path / "outbox").iterdir())) == 1
    service.broker.come_up()
    await service.listen()
    async with running() as (_, engine):
        await service.until(lambda: "a" in service.results)
        await engine.has("b")
        assert engine.ran == ["b"], "a has a result; b was given back untouched"
        engine.finish("b")
        await service.until(lambda: "b" in service.results)
    assert service.results["a"].data == b"1"
    assert await service.waiting() == 0
    assert list((tmp_path / "outbox").iterdir()) == []


async def test_a_task_that_was_begun_by_a_life_that_ended_badly_is_lost(service, running, parts, tmp_path):
    (tmp_path / "begun").write_text("+a\n")
    await service.send(parts.task("a"), parts.task("b"))
    async with running() as (_, engine):
        await service.until(lambda: "a" in service.results)
        await engine.has("b")
        assert engine.ran == ["b"]
        engine.finish("b")
        await service.until(lambda: "b" in service.results)
    assert service.results["a"].error.code == "EndpointLost"
    assert await service.waiting() == 0


async def test_nonsense_in_the_task_queue_is_dropped(service, running, parts, caplog):
    caplog.set_level("INFO")
    queue = service.credentials.task_queue_info.queue
    async with running() as (_, engine):
        await service.connection.publish(Publication("tasks", queue, b"\x09nonsense"))
        broken = Properties(headers={"task_uuid": "x", "function_uuid": "f"})
        await service.connection.publish(Publication("tasks", queue, b"\x01{}", broken))
        await service.send(parts.task("a"))
        await engine.has("a")
        engine.finish("a")
        await service.until(lambda: {"a", "x"} <= set(service.results))
    assert await service.waiting() == 0
    assert service.results["x"].error.code == "MalformedTask"
    assert "version 9" in caplog.text


async def test_what_an_engine_can_never_run_fails(service, running, parts):
    class Picky(parts.FakeEngine):
        def submit(self, job):
            raise ConfigurationError(f"task {job.task_id} wants nodes, and this engine has none")

    async with running(engine=Picky()):
        await service.send(parts.task("a"))
        await service.until(lambda: "a" in service.results)
    result = service.results["a"]
    assert result.error.code == "CouldNotExecuteUserTaskError"
    assert b"wants nodes" in result.data


async def test_a_submitter_hears_why_there_are_no_workers(service, running, parts):
    async with running() as (_, engine):
        await service.send(parts.task("a", retries=3))
        await engine.has("a")
        engine.fail("a", NoWorkers('3 blocks in a row ended, the last one in the phase "import"\nNo module named x'))
        await service.until(lambda: "a" in service.results)
    result = service.results["a"]
    raised = rebuild(result.data.decode(), "0", None, result.error.code)
    assert type(raised) is NoWorkers
    assert 'in the phase "import"\nNo module named x' in str(raised)
    assert engine.ran == ["a"], "it would only fail once more"


async def test_tasks_run_in_sandboxes_and_with_the_owners_limits(service, running, parts, tmp_path):
    block = ProcessPoolSettings(run_in_sandbox=True, allowed_serializers=("x.Y",), result_size_limit=7)
    async with running(UserSettings(engine=block)) as (_, engine):
        await service.send(parts.task("a"))
        await engine.has("a")
        job = engine.jobs["a"]
        assert job.sandbox == str(tmp_path / "tasks_working_dir" / "a")
        assert job.allowed_serializers == ("x.Y",)
        assert job.result_limit == 7
        engine.finish("a")
        await service.until(lambda: "a" in service.results)


async def test_a_refused_login_ends_it_unless_there_are_fresh_credentials(service, running, parts, tmp_path):
    fresh, service.credentials = service.credentials, parts.credentials_for("memory://uep.old.1")
    async with running(stop=False) as (agent, engine):
        service.refused.add("uep.old.1")
        agent.ordered(Refresh(fresh))
        service.broker.sever("uep.old.1")
        await service.until(lambda: len(service.reports) > 1)
        service.refused.add(f"uep.{parts.UEP}.1")
        service.broker.sever(f"uep.{parts.UEP}.1")
        await engine.until(lambda: engine.stopped)


async def test_the_manager_may_stop_it(service, running, parts):
    async with running(stop=False) as (agent, engine):
        await service.send(parts.task("a"))
        await engine.has("a")
        agent.ordered(Stop("its manager is stopping", 30.0))
        engine.finish("a")
        await service.until(lambda: not service.reports[-1].state["active"])
    assert "a" in service.results


async def test_a_disk_that_refuses_the_journal_ends_it_when_what_runs_has_ended(service, parts, make, tmp_path):
    class FullDisk(Journal):
        full = False
        refused = False

        def _append(self, sign, task_ids):
            if self.full:
                FullDisk.refused = True
                service.touch()
                raise OSError(28, "No space left on device")
            super()._append(sign, task_ids)

    start = Start("uep.test", str(tmp_path), UserSettings(), service.credentials)
    engine = parts.FakeEngine()
    agent = make(start, engine, service, journal=FullDisk)
    work = asyncio.create_task(agent.run())
    async with asyncio.timeout(parts.PATIENCE_S):
        await service.send(parts.task("a"))
        await engine.has("a")
        FullDisk.full = True
        await service.send(parts.task("b"))
        await service.until(lambda: FullDisk.refused)
        engine.finish("a")
        with pytest.raises(ConfigurationError, match=r"begun cannot be written: No space left on device. Make room"):
            await work
    assert engine.ran == ["a"]
    assert set(service.results) == {"a"}
    assert await service.waiting() == 1, "b runs when there is room"
    assert [report.state["active"] for report in service.reports] == [True], "no goodbye: it did not want to go"


async def test_several_logins_are_told(service, parts, make, tmp_path):
    other = parts.credentials_for("memory://other")
    mixed = type(other)(
        other.endpoint_id, service.credentials.task_queue_info, other.result_queue_info, other.heartbeat_queue_info
    )
    start = Start("uep.test", str(tmp_path), UserSettings(), mixed)
    with pytest.raises(VersionMismatch, match="several logins"):
        make(start, parts.FakeEngine(), service)


async def test_results_that_nobody_takes_wait_and_are_tried_again(service, running, parts, tmp_path):
    async with running() as (_, engine):
        await service.broker.delete_queue("results")
        await service.send(parts.task("a"))
        await engine.has("a")
        engine.finish("a", b"1")
        await service.until(lambda: len(service.reports) > 1)  # it has come again after a refusal
        assert len(list((tmp_path / "outbox").iterdir())) == 1
        await service.open()
        await service.until(lambda: "a" in service.results)
    assert engine.ran == ["a"]
    assert await service.waiting() == 0


HOLD = """
def f(gate):
    with open(gate) as pipe:
        pipe.read()
"""


async def test_tasks_that_wait_for_an_accelerator_keep_nobody_from_a_free_worker(service, working, parts, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    hold = parts.call("holds", HOLD, str(gate))
    gpu = CallOptions(gpus=1)
    engine = ProcessPoolEngine(max_workers=2, accelerators=["0"], log=tmp_path / "log")
    waits = [f"waits-{i}" for i in range(engine.capacity - 1)]
    async with working(service, engine=engine):
        # In one message: nothing else happens that could have the agent look again.
        await service.send(
            replace(hold, options=gpu),
            *[replace(parts.call(name, "def f():\n    return 1"), options=gpu) for name in waits],
            parts.call("quick", "def f():\n    return 2"),
        )
        await service.until(lambda: "quick" in service.results)
        assert set(service.results) == {"quick"}
        await asyncio.to_thread(gate.write_text, "")
        await service.until(lambda: {"holds", *waits} <= set(service.results))
    assert parts.value(service.results["quick"]) == 2
