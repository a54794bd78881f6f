"""What an agent says of tasks that are not finished."""

from __future__ import annotations

from afield.endpoint.agent import commands as do
from afield.endpoint.agent import events as on
from afield.endpoint.agent.core import AgentCore
from afield.endpoint.agent.looks import EVERY_S, MOST
from afield.endpoint.agent.tasks import History, Policy
from afield.states import TaskState, may_move
from afield.wire.messages import CallOptions, ErrorDetails, Notice, Result, Task

LOOK = do.StartLook(EVERY_S)
WAITS, RUNS = TaskState.WAITING_FOR_LAUNCH, TaskState.RUNNING


def task(name, retries=0):
    return Task(name, "f", b"code", b"args", options=CallOptions(retries=retries) if retries else None)


def tasks(*names):
    return [task(name) for name in names]


def done(name):
    return Result(task_id=name, data=b"xx")


def started(capacity=1):
    core = AgentCore(Policy(notices=True), History())
    core.handle(on.CapacityIs(capacity))
    assert core.handle(on.ConnectionUp()) == [do.SendHeartbeat()], "there is nothing to look at"
    return core


def told(commands):
    """What is said, in short."""
    return [
        (notice.task_id, notice.state, notice.at, notice.attempt)
        for command in commands
        if isinstance(command, do.Notify)
        for notice in command.notices
    ]


def test_a_long_task_is_told_once_in_each_state():
    core = started()
    assert core.handle(on.TasksArrived(1, tasks("a", "b"))) == [do.Run(tasks("a")), LOOK]
    assert core.handle(on.LookDue(["a"], 10)) == [LOOK]
    assert core.handle(on.LookDue(["a"], 20)) == [do.Notify([Notice("a", RUNS, 10), Notice("b", WAITS, 10)])]
    assert core.handle(on.NoticesGone()) == [], "until something happens, nothing changes"
    assert core.handle(on.TasksFinished([done("a")])) == [do.Run(tasks("b")), LOOK, do.Publish(1, [done("a")])]
    assert core.handle(on.LookDue(["b"], 30)) == [LOOK]
    assert core.handle(on.LookDue(["b"], 40)) == [do.Notify([Notice("b", RUNS, 30)])]
    core.handle(on.TasksFinished([done("b")]))
    assert core.handle(on.NoticesGone()) == []


def test_of_short_tasks_nothing_is_told():
    core, looks = started(capacity=2), 0
    core.handle(on.TasksArrived(0, tasks("t0", "t1")))
    for number in range(2, 300):
        core.handle(on.TasksArrived(number, tasks(f"t{number}")))
        core.handle(on.TasksFinished([done(f"t{number - 2}")]))
        if number % 10 == 0:
            looks += 1
            commands = core.handle(on.LookDue([f"t{number - 1}"], number))
            assert told(commands) == []
            assert LOOK in commands
    assert looks == 29


def test_there_is_one_look_at_a_time():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a")))
    assert LOOK not in core.handle(on.TasksArrived(2, tasks("b")))
    core.handle(on.LookDue([], 10))
    core.handle(on.LookDue([], 20))
    assert LOOK not in core.handle(on.TasksArrived(3, tasks("c"))), "what was said is not out yet"
    assert core.handle(on.NoticesGone()) == [LOOK]


def test_a_task_that_waits_for_a_worker_within_the_engine_waits():
    core = started(capacity=2)
    core.handle(on.TasksArrived(1, tasks("a", "b")))
    core.handle(on.LookDue(["a"], 10))
    assert told(core.handle(on.LookDue(["a"], 20))) == [("a", RUNS, 10, 1), ("b", WAITS, 10, 1)]
    assert core.handle(on.NoticesGone()) == [LOOK], "b may begin at any time"
    assert core.handle(on.LookDue(["a"], 30)) == [LOOK]


def test_of_many_only_some_are_told_at_once_the_oldest_first():
    core = started()
    names = [f"t{number}" for number in range(MOST + 10)]
    core.handle(on.TasksArrived(1, tasks(*names)))
    core.handle(on.LookDue([], 10))
    assert [one[0] for one in told(core.handle(on.LookDue([], 20)))] == names[:MOST]
    core.handle(on.NoticesGone())
    assert told(core.handle(on.LookDue([], 30))) == [(name, WAITS, 10, 1) for name in names[MOST:]]


def test_after_a_reconnection_everything_is_told_again():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a", "b")))
    core.handle(on.LookDue(["a"], 10))
    core.handle(on.LookDue(["a"], 20))
    core.handle(on.ConnectionDown())
    assert core.handle(on.NoticesGone()) == []
    assert core.handle(on.ConnectionUp()) == [do.SendHeartbeat(), LOOK]
    assert told(core.handle(on.LookDue(["a"], 30))) == [("a", RUNS, 10, 1)]
    core.handle(on.NoticesGone())
    assert told(core.handle(on.LookDue(["a"], 40))) == [("b", WAITS, 30, 1)]


def test_without_a_connection_nothing_is_said():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a")))
    core.handle(on.ConnectionDown())
    assert core.handle(on.LookDue(["a"], 10)) == []
    assert LOOK in core.handle(on.ConnectionUp())


def test_another_attempt_is_told():
    core = started()
    again = task("a", retries=1)
    core.handle(on.TasksArrived(1, [again]))
    core.handle(on.LookDue(["a"], 10))
    core.handle(on.LookDue(["a"], 20))
    core.handle(on.NoticesGone())
    lost = Result("a", b"gone", ErrorDetails("WorkerLost", "gone"))
    assert core.handle(on.TasksFinished([lost])) == [do.StartPause("a", 1, 1.0), LOOK]
    core.handle(on.LookDue([], 30))
    assert told(core.handle(on.LookDue([], 40))) == [("a", WAITS, 30, 2)]
    assert core.handle(on.NoticesGone()) == []
    assert core.handle(on.PauseOver("a", 1)) == [do.Run([again]), LOOK]
    core.handle(on.LookDue(["a"], 50))
    assert told(core.handle(on.LookDue(["a"], 60)))[-1] == ("a", RUNS, 50, 2)


def test_another_attempt_that_begins_at_once_is_news_to_whoever_heard_that_it_runs():
    assert not may_move(RUNS, RUNS), "so it has to be told to wait in between"
    core = started()
    core.handle(on.TasksArrived(1, [task("a", retries=1)]))
    core.handle(on.LookDue(["a"], 10))
    assert told(core.handle(on.LookDue(["a"], 20))) == [("a", RUNS, 10, 1)]
    core.handle(on.NoticesGone())
    core.handle(on.TasksFinished([Result("a", b"gone", ErrorDetails("WorkerLost", "gone"))]))
    core.handle(on.PauseOver("a", 1))
    core.handle(on.LookDue(["a"], 30))
    assert told(core.handle(on.LookDue(["a"], 40))) == [("a", WAITS, 30, 2), ("a", RUNS, 30, 2)]


def test_so_is_one_in_a_later_life():
    core = AgentCore(Policy(notices=True), History(begun={"a": 1}))
    core.handle(on.CapacityIs(1))
    core.handle(on.ConnectionUp())
    core.handle(on.TasksArrived(1, [task("a", retries=1)]))
    core.handle(on.LookDue(["a"], 10))
    assert told(core.handle(on.LookDue(["a"], 20))) == [("a", WAITS, 10, 2), ("a", RUNS, 10, 2)]


def test_an_end_is_never_told():
    core = started(capacity=3)
    core.handle(on.TasksArrived(1, tasks("a", "b", "c")))
    core.handle(on.LookDue(["a"], 10))
    core.handle(on.TasksFinished([done("a"), done("b"), done("c")]))
    assert told(core.handle(on.LookDue(["a", "b"], 20))) == []


def test_an_agent_that_ends_says_nothing_more():
    core = started()
    core.handle(on.TasksArrived(1, tasks("a", "b")))
    core.handle(on.LookDue(["a"], 10))
    core.handle(on.StopRequested("x", 5.0))
    assert core.handle(on.LookDue(["a"], 20)) == []
    assert LOOK not in core.handle(on.ConnectionUp())
