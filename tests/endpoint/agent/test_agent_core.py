"""The agent's decisions, as conversations: what happens, and what it does about it."""

from __future__ import annotations

from afield.endpoint.agent import commands as do
from afield.endpoint.agent import dispatch
from afield.endpoint.agent import events as on
from afield.endpoint.agent.core import FLUSH_S, AgentCore
from afield.endpoint.agent.tasks import History, Policy
from afield.wire.messages import ErrorDetails, Result, Task


def task(name, function="f"):
    return Task(task_id=name, function_id=function, code=b"code", payload=b"args")


def tasks(*names):
    return [task(name) for name in names]


def done(name, size=2):
    return Result(task_id=name, data=b"x" * size)


def said(commands):
    """Without the lines for the log."""
    return [command for command in commands if not isinstance(command, do.Tell)]


def started(capacity=4, policy=None, history=None):
    core = AgentCore(policy or Policy(), history or History())
    assert core.handle(on.CapacityIs(capacity)) == []
    assert said(core.handle(on.ConnectionUp()))[0] == do.SendHeartbeat()
    return core


def test_a_task_goes_its_way():
    core = started()
    assert core.handle(on.TasksArrived(1, [task("a")])) == [do.Run([task("a")])]
    assert core.handle(on.TasksFinished([done("a")])) == [do.Publish(1, [done("a")])]
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"]), do.Acknowledge([1])]


def test_the_engine_gets_what_keeps_it_busy():
    core = started(capacity=2)
    assert core.handle(on.TasksArrived(1, tasks("a", "b", "c", "d"))) == [do.Run(tasks("a", "b"))]
    assert core.waiting == 2
    assert core.handle(on.TasksFinished([done("b")])) == [do.Run(tasks("c")), do.Publish(1, [done("b")])]
    assert core.handle(on.CapacityIs(3)) == [do.Run(tasks("d"))]
    assert core.waiting == 0


def test_a_delivery_is_acknowledged_when_all_of_it_is_settled():
    core = started()
    core.handle(on.TasksArrived(7, tasks("a", "b")))
    core.handle(on.TasksFinished([done("a")]))
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"])]
    core.handle(on.TasksFinished([done("b")]))
    assert core.handle(on.BatchConfirmed(2)) == [do.MarkSettled(["b"]), do.Acknowledge([7])]


def test_what_finishes_while_messages_are_under_way_goes_with_the_next():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a", "b", "c", "d")))
    assert core.handle(on.TasksFinished([done("a")])) == [do.Publish(1, [done("a")])]
    assert core.handle(on.TasksFinished([done("b")])) == [do.Publish(2, [done("b")])]
    assert core.handle(on.TasksFinished([done("c")])) == []
    assert core.handle(on.TasksFinished([done("d")])) == []
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"]), do.Publish(3, [done("c"), done("d")])]


def test_a_message_of_results_has_a_size():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a", "b", "c")))
    big = [done(name, dispatch.BATCH_BYTES - 1) for name in "abc"]
    assert core.handle(on.TasksFinished(big)) == [do.Publish(1, big[:1]), do.Publish(2, big[1:2])]
    assert core.handle(on.BatchConfirmed(2))[-1] == do.Publish(3, big[2:])


def test_a_task_that_comes_twice_runs_once():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a")))
    assert core.handle(on.TasksArrived(2, tasks("a"))) == []
    core.handle(on.TasksFinished([done("a")]))
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"]), do.Acknowledge([1, 2])]
    assert core.handle(on.TasksArrived(3, tasks("a"))) == [do.Acknowledge([3])]


def test_a_task_that_is_twice_in_a_delivery_runs_once():
    core = started()
    assert core.handle(on.TasksArrived(1, tasks("a", "a"))) == [do.Run(tasks("a"))]
    core.handle(on.TasksFinished([done("a")]))
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"]), do.Acknowledge([1])]


def test_after_a_reconnection_tags_are_new():
    core = started(capacity=1)
    core.handle(on.TasksArrived(1, tasks("a", "b")))
    core.handle(on.TasksFinished([done("a")]))
    core.handle(on.BatchConfirmed(1))
    core.handle(on.ConnectionDown())
    assert core.handle(on.ConnectionUp()) == [do.SendHeartbeat()]
    assert core.handle(on.TasksArrived(1, tasks("a", "b"))) == [], "a is settled, b runs"
    core.handle(on.TasksFinished([done("b")]))
    assert core.handle(on.BatchConfirmed(2)) == [do.MarkSettled(["b"]), do.Acknowledge([1])]


def test_without_a_connection_tasks_go_on_and_results_go_to_the_disk():
    core = started(capacity=1)
    core.handle(on.TasksArrived(1, tasks("a", "b", "c")))
    core.handle(on.ConnectionDown())
    assert core.handle(on.TasksFinished([done("a")])) == [do.Run(tasks("b")), do.Keep(1, [done("a")])]
    assert core.handle(on.TasksFinished([done("b")])) == [do.Run(tasks("c"))], "one write at a time"
    assert core.handle(on.BatchKept(1)) == [do.Keep(2, [done("b")])]
    assert core.handle(on.BatchKept(2)) == []
    assert core.handle(on.ConnectionUp()) == [do.SendHeartbeat(), do.PublishKept(1)]
    assert core.handle(on.TasksArrived(1, tasks("a", "b", "c"))) == []
    confirmed = core.handle(on.BatchConfirmed(1))
    assert confirmed == [do.MarkSettled(["a"]), do.DropKept(1), do.PublishKept(2)]
    assert core.handle(on.BatchConfirmed(2)) == [do.MarkSettled(["b"]), do.DropKept(2)]
    core.handle(on.TasksFinished([done("c")]))
    assert core.handle(on.BatchConfirmed(3)) == [do.MarkSettled(["c"]), do.Acknowledge([1])]


def test_what_was_under_way_when_the_connection_broke_goes_to_the_disk():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a")))
    core.handle(on.TasksFinished([done("a")]))
    assert core.handle(on.ConnectionDown()) == []
    assert core.handle(on.BatchFailed(1)) == [do.Keep(2, [done("a")])]


def test_a_broker_that_refuses_is_not_asked_in_a_loop():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a", "b")))
    core.handle(on.TasksFinished([done("a")]))
    assert core.handle(on.BatchFailed(1)) == [do.Keep(2, [done("a")])]
    assert core.handle(on.BatchKept(2)) == []
    core.handle(on.ConnectionDown())
    assert core.handle(on.ConnectionUp())[1:] == [do.PublishKept(2)]
    assert core.handle(on.BatchFailed(2)) == []
    core.handle(on.ConnectionDown())
    assert core.handle(on.ConnectionUp())[1:] == [do.PublishKept(2)]


def test_too_many_results_for_memory_go_to_the_disk():
    core = started(capacity=100)
    names = [f"t{i}" for i in range(20)]
    core.handle(on.TasksArrived(1, tasks(*names)))
    size = dispatch.BATCH_BYTES
    commands = core.handle(on.TasksFinished([done(name, size) for name in names]))
    assert [type(command) for command in commands] == [do.Publish, do.Publish, do.Keep]
    again = core.handle(on.BatchKept(3))
    assert [type(command) for command in again] == [do.PublishKept, do.Keep]


def test_a_disk_that_refuses_is_asked_once_in_a_heartbeat():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a")))
    core.handle(on.ConnectionDown())
    core.handle(on.TasksFinished([done("a")]))
    [told] = core.handle(on.BatchNotKept(1, "no space left"))
    assert "no space left" in told.text
    assert core.handle(on.HeartbeatDue()) == [do.Keep(2, [done("a")])]
    core.handle(on.BatchNotKept(2, "no space left"))
    assert core.handle(on.ConnectionUp()) == [do.SendHeartbeat(), do.Publish(3, [done("a")])]


def test_only_allowed_functions_run():
    core = started(policy=Policy(allowed_functions=frozenset({"good"})))
    commands = core.handle(on.TasksArrived(1, [task("a", "bad"), task("b", "GOOD")]))
    [run, publish] = commands
    assert run == do.Run([task("b", "GOOD")])
    [result] = publish.results
    assert (result.task_id, result.error.code) == ("a", "FUNCTION_NOT_ALLOWED")
    assert b"bad" in result.data


def test_what_an_earlier_life_began_is_lost():
    core = started(history=History(begun={"a": 1}))
    [run, publish] = core.handle(on.TasksArrived(1, tasks("a", "b")))
    assert run == do.Run(tasks("b"))
    [result] = publish.results
    assert (result.task_id, result.error.code) == ("a", "EndpointLost")
    assert b"not run again" in result.data
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"])]
    assert core.names() == ({"b": 1}, ["a"])


def test_what_an_earlier_life_settled_is_acknowledged():
    core = started(history=History(settled=("a",)))
    assert core.handle(on.TasksArrived(1, tasks("a"))) == [do.Acknowledge([1])]


def test_what_an_earlier_life_finished_is_sent():
    core = AgentCore(Policy(), History(begun={"a": 1, "b": 1}, kept={3: ("a",)}))
    assert core.handle(on.ConnectionUp()) == [do.SendHeartbeat(), do.PublishKept(3)]
    core.handle(on.CapacityIs(1))
    [publish] = core.handle(on.TasksArrived(1, tasks("a", "b")))
    assert publish.number == 4
    assert [result.task_id for result in publish.results] == ["b"]
    core.handle(on.BatchConfirmed(4))
    assert core.handle(on.BatchConfirmed(3)) == [do.MarkSettled(["a"]), do.DropKept(3), do.Acknowledge([1])]


def test_a_malformed_task_with_an_id_fails():
    core = started()
    [told, publish] = core.handle(on.MalformedArrived(1, "a", "its buffer is truncated"))
    assert "truncated" in told.text
    [result] = publish.results
    assert (result.task_id, result.error.code) == ("a", "MalformedTask")
    assert b"its buffer is truncated" in result.data
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"]), do.Acknowledge([1])]


def test_a_malformed_message_without_an_id_does_not_come_again():
    core = started()
    [told, acknowledge] = core.handle(on.MalformedArrived(1, None, "version 9"))
    assert "version 9" in told.text
    assert acknowledge == do.Acknowledge([1])


def test_it_ends_when_idle():
    core = started(policy=Policy(idle_soft=2))
    assert core.handle(on.HeartbeatDue()) == [do.SendHeartbeat()]
    assert said(core.handle(on.HeartbeatDue())) == [do.SendHeartbeat(), do.StopEngine()]
    assert core.handle(on.EngineStopped()) == [do.SayGoodbye()]
    assert core.handle(on.GoodbyeSaid()) == [do.Exit(0)]


def test_a_task_starts_the_count_anew():
    core = started(policy=Policy(idle_soft=2))
    core.handle(on.HeartbeatDue())
    core.handle(on.TasksArrived(1, tasks("a")))
    core.handle(on.TasksFinished([done("a")]))
    core.handle(on.BatchConfirmed(1))
    assert core.handle(on.HeartbeatDue()) == [do.SendHeartbeat()]
    assert core.handle(on.HeartbeatDue()) == [do.SendHeartbeat()]
    assert do.StopEngine() in core.handle(on.HeartbeatDue())


def test_it_does_not_end_while_a_task_runs_until_nothing_moved_for_long():
    core = started(policy=Policy(idle_soft=1, idle_hard=3))
    core.handle(on.TasksArrived(1, tasks("a")))
    for _ in range(3):
        assert core.handle(on.HeartbeatDue()) == [do.SendHeartbeat()]
    assert said(core.handle(on.HeartbeatDue())) == [do.SendHeartbeat(), do.StartGrace(0.0)]
    assert core.handle(on.GraceOver()) == [do.StopEngine()]


def test_it_never_ends_by_itself_when_told_so():
    core = started(policy=Policy(idle_soft=0, idle_hard=1))
    for _ in range(10):
        assert core.handle(on.HeartbeatDue()) == [do.SendHeartbeat()]


def test_a_stop_lets_running_tasks_finish_and_leaves_the_rest():
    core = started(capacity=1)
    core.handle(on.TasksArrived(1, tasks("a", "b")))
    assert said(core.handle(on.StopRequested("its manager ended", 5.0))) == [do.StartGrace(5.0)]
    assert core.waiting == 0
    assert core.handle(on.TasksArrived(2, tasks("c"))) == []
    assert core.handle(on.TasksFinished([done("a")])) == [do.Publish(1, [done("a")]), do.StopEngine()]
    assert core.handle(on.EngineStopped()) == [do.StartFlush(FLUSH_S)]
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"]), do.SayGoodbye()]
    assert core.handle(on.GoodbyeSaid()) == [do.Exit(0)]


def test_what_outlasts_its_grace_is_lost_and_what_never_began_is_not():
    core = started(capacity=2)
    core.handle(on.TasksArrived(1, tasks("a", "b")))
    core.handle(on.StopRequested("somebody stopped it", 5.0))
    assert core.handle(on.GraceOver()) == [do.StopEngine()]
    killed = Result("a", b"gone", ErrorDetails("WorkerLost", "gone"))
    killed_too = Result("b", b"gone", ErrorDetails("WorkerLost", "gone"))
    [mark, publish] = core.handle(on.TasksFinished([killed], never_begun=[killed_too]))
    assert mark == do.MarkNeverBegun(["b"])
    assert publish.results[0].error.code == "EndpointLost"
    assert b"somebody stopped it" in publish.results[0].data
    assert core.names() == ({"a": 1}, [])
    core.handle(on.EngineStopped())
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"]), do.SayGoodbye()], "b comes again elsewhere"


def test_an_engine_that_cannot_begin_anything_says_why():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a")))
    why = Result("a", b"no worker starts here: no module named x", ErrorDetails("WorkerLost", "x"))
    assert core.handle(on.TasksFinished([], never_begun=[why])) == [do.Publish(1, [why])]


def test_results_that_cannot_be_sent_before_the_end_are_on_disk():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a", "b")))
    core.handle(on.TasksFinished([done("a")]))
    core.handle(on.StopRequested("x", 5.0))
    core.handle(on.TasksFinished([done("b")]))
    assert core.handle(on.EngineStopped()) == [do.StartFlush(FLUSH_S)]
    assert core.handle(on.FlushOver()) == [do.Keep(3, [done("a"), done("b")])]
    assert core.handle(on.BatchConfirmed(1)) == [], "too late to matter: it will be sent again, and dropped there"
    assert core.handle(on.BatchKept(3)) == [do.SayGoodbye()]


def test_a_stop_without_a_connection_ends_too():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a")))
    core.handle(on.ConnectionDown())
    core.handle(on.StopRequested("x", 0.0))
    assert core.handle(on.GraceOver()) == [do.StopEngine()]
    [keep] = core.handle(on.TasksFinished([done("a")]))
    core.handle(on.EngineStopped())
    assert core.handle(on.BatchKept(keep.number)) == [do.SayGoodbye()]


def test_a_stop_with_neither_connection_nor_disk_ends_too():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a")))
    core.handle(on.ConnectionDown())
    [keep] = core.handle(on.TasksFinished([done("a")]))
    core.handle(on.BatchNotKept(keep.number, "no space left"))
    core.handle(on.StopRequested("x", 0.0))
    assert core.handle(on.EngineStopped()) == [do.StartFlush(FLUSH_S)], "the service or the disk may come back"
    [keep] = core.handle(on.FlushOver())
    assert keep.results == [done("a")]
    *_, told, goodbye = core.handle(on.BatchNotKept(keep.number, "no space left"))
    assert told.alarm
    assert "1 results can be neither sent nor written" in told.text
    assert goodbye == do.SayGoodbye()


def test_a_second_stop_changes_nothing():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a")))
    core.handle(on.StopRequested("x", 5.0))
    assert core.handle(on.StopRequested("y", 1.0)) == []
