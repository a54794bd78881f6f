"""What submitters ask of an agent beyond the call: to cancel it, try it again, stop it in time, say where it is.

Everything is real but the engine, whose tasks end when the test says so.
"""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from afield.broker.base import Publication
from afield.endpoint.agent.queues import Queues
from afield.errors import BrokerRefused, ConfigurationError, TaskTimeout, WorkerLost
from afield.wire.messages import Cancel

pytestmark = pytest.mark.anyio

MINE = "memory://me"


@pytest.fixture
def running(working, controlling):
    """Run an agent in the background; leaving stops it."""
    return partial(working, controlling)


async def test_what_runs_is_stopped_and_what_waits_is_dropped(controlling, running, parts):
    async with running(engine=parts.FakeEngine(1)) as (_, engine):
        await controlling.send(parts.task("a"), parts.task("b"))
        await engine.has("a")
        engine.begin("a")
        await controlling.cancel(Cancel("a"), Cancel("b"))
        await controlling.until(lambda: {"a", "b"} <= set(controlling.results))
        assert engine.ran == ["a"]
    assert [controlling.results[name].error.code for name in "ab"] == ["TaskCancelled"] * 2
    assert controlling.results["a"].error.user_message == "task a was cancelled"
    assert controlling.results["b"].error.user_message == "task b was cancelled before it began"
    assert await controlling.wishes() == 0, "they are acknowledged"
    assert await controlling.waiting() == 0


async def test_what_was_cancelled_while_nobody_was_here_does_not_begin(controlling, running, parts):
    await controlling.send(*[parts.task(f"t{number}") for number in range(10)])
    for number in range(9):
        await controlling.cancel(Cancel(f"t{number}"))
    async with running(engine=parts.FakeEngine(10)) as (_, engine):
        await controlling.until(lambda: len(controlling.results) == 9)
        await engine.has("t9")
        assert engine.ran == ["t9"]
        engine.finish("t9")
        await controlling.until(lambda: "t9" in controlling.results)
    assert await controlling.wishes() == 0


async def test_a_wish_without_its_task_waits_also_for_the_next_life(controlling, running, parts):
    await controlling.cancel(Cancel("a"))
    async with running():
        assert await controlling.wishes() == 0, "it is here"
    assert await controlling.wishes() == 1, "the broker has put it back"
    async with running() as (_, engine):
        await controlling.send(parts.task("a"))
        await controlling.until(lambda: "a" in controlling.results)
        assert engine.ran == []
    assert await controlling.wishes() == 0


async def test_an_engine_that_cannot_stop_a_task_is_quoted(controlling, running, parts):
    engine = parts.FakeEngine(1)
    engine.unstoppable = "a thread cannot be stopped"
    async with running(engine=engine):
        await controlling.send(parts.task("a"))
        await engine.has("a")
        engine.begin("a")
        await controlling.cancel(Cancel("a"))
        await controlling.until(lambda: controlling.notices)
        [notice] = controlling.notices
        assert (notice.task_id, notice.state, notice.refusal) == ("a", "running", "a thread cannot be stopped")
        engine.finish("a")
        await controlling.until(lambda: "a" in controlling.results)
    assert controlling.results["a"].error is None
    assert await controlling.wishes() == 0


async def test_what_has_begun_goes_on_if_only_others_are_meant(controlling, running, parts):
    async with running() as (_, engine):
        await controlling.send(parts.task("a"), parts.task("b"))
        await engine.has("a", "b")
        engine.begin("a")
        await controlling.cancel(Cancel("a", running=False), Cancel("b", running=False))
        await controlling.until(lambda: "b" in controlling.results)
        assert controlling.results["b"].error.code == "TaskCancelled"
        engine.finish("a")
        await controlling.until(lambda: "a" in controlling.results)
    assert controlling.results["a"].error is None
    assert [notice for notice in controlling.notices if notice.refusal] == []


async def test_nonsense_in_the_control_queue_is_dropped(controlling, running, parts, caplog):
    queue = controlling.credentials.control_queue_info.queue
    for body in (b"\x09nonsense", b""):
        await controlling.connection.publish(Publication("tasks", queue, body))
    await controlling.cancel(Cancel("a"))
    async with running() as (_, engine):
        await controlling.send(parts.task("a"), parts.task("b"))
        await engine.has("b")
        engine.finish("b")
        await controlling.until(lambda: {"a", "b"} <= set(controlling.results))
    assert "version 9" in caplog.text
    assert await controlling.wishes() == 0


async def test_a_control_queue_that_is_emptied_while_it_is_counted_keeps_no_task_back(controlling, parts):
    class Counted:
        """A connector whose connections find the control queue emptied just after they counted."""

        async def connect(self, url):
            connection = await controlling.broker.connect(url)
            connection.waiting = self.waiting
            return connection

        async def waiting(self, _queue):
            return 1

    async with asyncio.timeout(parts.PATIENCE_S):
        came = asyncio.get_running_loop().create_future()
        queues = Queues(
            Counted(),
            controlling.credentials,
            on_up=lambda: None,
            on_delivery=came.set_result,
            on_control=lambda _: None,
            on_down=lambda: None,
            on_refused=lambda _: None,
            catch_up_s=0.0,
        )
        queues.start()
        await controlling.send(parts.task("a"))
        assert (await came).routing_key == controlling.credentials.task_queue_info.queue
        await queues.close()


async def test_an_older_service_sees_nothing_new(service, working, parts):
    async with working(service) as (_, engine):
        await service.send(parts.task("a"), parts.task("b"))
        await engine.has("a", "b")
        engine.begin("a")
        reader = await service.broker.connect(MINE)
        with pytest.raises(BrokerRefused):
            await reader.waiting(f"{parts.UEP}.control")
        await reader.close()
        engine.finish("a")
        engine.finish("b")
        await service.until(lambda: {"a", "b"} <= set(service.results))
    assert service.notices == []


async def test_where_unfinished_tasks_are_is_told_again_after_a_reconnection(controlling, running, parts):
    def told():
        return {(notice.task_id, str(notice.state)) for notice in controlling.notices}

    async with running(engine=parts.FakeEngine(1)) as (_, engine):
        await controlling.send(parts.task("a"), parts.task("b"))
        await engine.has("a")
        engine.begin("a")
        everything = {("a", "running"), ("b", "waiting-for-launch")}
        await controlling.until(lambda: told() == everything)
        controlling.notices.clear()
        controlling.broker.sever(f"uep.{parts.UEP}.1")
        await controlling.until(lambda: told() == everything)
        assert all(notice.attempt == 1 and notice.refusal == "" for notice in controlling.notices)


async def test_a_task_is_tried_again_and_its_record_says_so(controlling, running, parts):
    async with running() as (_, engine):
        kinds = ("my.Own", "builtins.OSError", "builtins.Exception")
        await controlling.send(parts.task("a", retries=3, retry_on=("builtins.OSError",), backoff_s=0.0))
        await engine.has("a")
        engine.finish("a", b"Own: no route", "RemoteExecutionError", kinds)
        await engine.until(lambda: len(engine.ran) == 2)
        engine.fail("a", WorkerLost("its worker died"))
        await engine.until(lambda: len(engine.ran) == 3)
        engine.finish("a", b"42")
        await controlling.until(lambda: "a" in controlling.results)
    result = controlling.results["a"]
    assert (result.error, result.data) == (None, b"42")
    first, second = result.details["attempts"]
    assert first == {"began": 1, "ended": 2, "error": "RemoteExecutionError: Own: no route"}
    assert second["error"] == "WorkerLost: its worker died"
    assert second["ended"] > 0


async def test_what_a_life_that_ended_badly_began_runs_again_if_it_may(controlling, running, parts, tmp_path):
    (tmp_path / "begun").write_text("+a\n+b\n+b\n+c\n")
    await controlling.send(parts.task("a", retries=1), parts.task("b", retries=1), parts.task("c"))
    async with running() as (_, engine):
        await controlling.until(lambda: {"b", "c"} <= set(controlling.results))
        await engine.has("a")
        assert (tmp_path / "begun").read_text().count("+a") == 2
        engine.finish("a")
        await controlling.until(lambda: "a" in controlling.results)
        assert engine.ran == ["a"]
    assert [controlling.results[name].error.code for name in "bc"] == ["EndpointLost"] * 2
    [attempt] = controlling.results["a"].details["attempts"]
    assert attempt["began"] == 0
    assert "EndpointLost" in attempt["error"]


async def test_a_stop_during_a_pause_leaves_the_task_to_the_next_life(controlling, running, parts, tmp_path):
    await controlling.send(parts.task("a", retries=2, backoff_s=200.0))
    async with running() as (_, engine):
        await engine.has("a")
        engine.fail("a", WorkerLost("its worker died"))
        await controlling.until(lambda: any(notice.attempt == 2 for notice in controlling.notices))
    assert (tmp_path / "begun").read_text() == "+a\n"
    assert await controlling.waiting() == 1
    async with running() as (_, engine):
        await engine.has("a")
        engine.finish("a")
        await controlling.until(lambda: "a" in controlling.results)
    assert controlling.results["a"].error is None


async def test_a_timeout_is_told_by_its_name(controlling, running, parts):
    async with running() as (_, engine):
        await controlling.send(parts.task("a", timeout_s=3.0, retries=5))
        await controlling.send(parts.task("b", timeout_s=3.0, retries=1, retry_on=("afield.errors.TaskTimeout",),
                                          backoff_s=0.0))  # fmt: skip
        await engine.has("a", "b")
        for name in "ab":
            engine.fail(name, TaskTimeout(f"task {name} ran longer than 3 s and was stopped"))
        await controlling.until(lambda: "a" in controlling.results)
        await engine.until(lambda: engine.ran == ["a", "b", "b"])
        engine.finish("b")
        await controlling.until(lambda: "b" in controlling.results)
    error = controlling.results["a"].error
    assert (error.code, error.user_message) == ("TaskTimeout", "task a ran longer than 3 s and was stopped")
    assert controlling.results["b"].details["attempts"][0]["error"].startswith("TaskTimeout: task b ran longer")


async def test_what_is_asked_of_an_engine_arrives_there(controlling, running, parts):
    async with running() as (_, engine):
        await controlling.send(parts.task("a", timeout_s=3.5, cores=2, memory=1024, gpus=1), parts.task("b"))
        await engine.has("a", "b")
        a, b = engine.jobs["a"], engine.jobs["b"]
        assert (a.timeout_s, a.cores, a.memory, a.gpus) == (3.5, 2, 1024, 1)
        assert (b.timeout_s, b.cores, b.memory, b.gpus) == (None, 1, None, 0)


async def test_higher_priority_goes_first(controlling, running, parts):
    async with running(engine=parts.FakeEngine(1)) as (_, engine):
        await controlling.send(parts.task("first"), parts.task("low", priority=-5), parts.task("plain"))
        await engine.has("first")
        await controlling.send(parts.task("high", priority=5), parts.task("as high", priority=5))
        await controlling.cancel(Cancel("plain", running=False))
        await controlling.until(lambda: "plain" in controlling.results)
        for name in ("first", "high", "as high", "low"):
            await engine.has(name)
            engine.finish(name)
        assert engine.ran == ["first", "high", "as high", "low"]


async def test_an_engine_that_refuses_a_timeout_says_so_and_nothing_is_tried_again(controlling, running, parts):
    class Threads(parts.FakeEngine):
        def submit(self, job):
            raise ConfigurationError("threads cannot be stopped, so this engine takes no timeout")

    async with running(engine=Threads()):
        await controlling.send(parts.task("a", timeout_s=1.0, retries=3))
        await controlling.until(lambda: "a" in controlling.results)
    assert controlling.results["a"].error.code == "CouldNotExecuteUserTaskError"
    assert controlling.results["a"].details is None
