"""Which tasks run again, when, and how often over all lives of an agent."""

from __future__ import annotations

import pytest

from afield.endpoint.agent import commands as do
from afield.endpoint.agent import events as on
from afield.endpoint.agent.core import AgentCore
from afield.endpoint.agent.tasks import History, Policy
from afield.wire.messages import CallOptions, ErrorDetails, Result, Task, Transition


def task(name, **options):
    return Task(name, "f", b"code", b"args", options=CallOptions(**options) if options else None)


def done(name):
    return Result(task_id=name, data=b"xx", details={"os": "x"})


def failure(name, code="WorkerLost", message="gone", steps=()):
    return Result(name, message.encode(), ErrorDetails(code, message), statuses=steps)


def started(capacity=1, history=None, **policy):
    core = AgentCore(Policy(**policy), history or History())
    core.handle(on.CapacityIs(capacity))
    core.handle(on.ConnectionUp())
    return core


def codes(commands):
    return [
        result.error and result.error.code
        for command in commands
        if isinstance(command, do.Publish)
        for result in command.results
    ]


def test_a_lost_worker_is_tried_again_after_a_pause_and_the_record_says_so():
    core = started()
    again = task("a", retries=2, backoff_s=3.0)
    assert core.handle(on.TasksArrived(1, [again])) == [do.Run([again])]
    assert core.handle(on.TasksFinished([failure("a")], at=50)) == [do.StartPause("a", 1, 3.0)]
    assert (core.waiting, core.unfinished) == (1, 1)
    assert core.handle(on.PauseOver("a", 1)) == [do.Run([again])]
    steps = (Transition(60, "execution-start", "worker"), Transition(70, "execution-end", "worker"))
    second = failure("a", "WorkerLost", "gone\nagain", steps)
    assert core.handle(on.TasksFinished([second], at=80)) == [do.StartPause("a", 2, 6.0)]
    core.handle(on.PauseOver("a", 2))
    [publish] = core.handle(on.TasksFinished([done("a")]))
    [result] = publish.results
    assert result.error is None
    assert result.details == {
        "os": "x",
        "attempts": [
            {"began": 0, "ended": 50, "error": "WorkerLost: gone"},
            {"began": 60, "ended": 70, "error": "WorkerLost: gone"},
        ],
    }
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"]), do.Acknowledge([1])]
    assert core.names() == ({}, ["a"])


def test_when_retries_are_used_up_the_failure_goes_out():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", retries=1)]))
    core.handle(on.TasksFinished([failure("a")], at=50))
    core.handle(on.PauseOver("a", 1))
    [publish] = core.handle(on.TasksFinished([failure("a", message="gone again")]))
    [result] = publish.results
    assert result.error == ErrorDetails("WorkerLost", "gone again")
    assert len(result.details["attempts"]) == 1


def test_while_a_task_pauses_another_runs():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", retries=1), task("b"), task("c")]))
    commands = core.handle(on.TasksFinished([failure("a")]))
    assert commands == [do.StartPause("a", 1, 1.0), do.Run([task("b")])]
    core.handle(on.PauseOver("a", 1))
    assert core.handle(on.TasksFinished([done("b")]))[0] == do.Run([task("c")]), "it goes to the end of the line"


@pytest.mark.parametrize(
    ("options", "code", "kinds", "again"),
    [
        ({}, "WorkerLost", (), False),
        ({"retries": 1}, "WorkerLost", (), True),
        ({"retries": 1}, "RemoteExecutionError", ("m.E", "builtins.ValueError"), False),
        ({"retries": 1, "retry_on": ("m.E",)}, "RemoteExecutionError", ("m.E", "builtins.ValueError"), True),
        ({"retries": 1, "retry_on": ("builtins.ValueError",)}, "RemoteExecutionError", ("m.E", "builtins.ValueError"),
         True),
        ({"retry_on": ("m.E",)}, "RemoteExecutionError", ("m.E",), False),
        ({"retries": 1}, "TaskTimeout", ("afield.errors.TaskTimeout",), False),
        ({"retries": 1, "retry_on": ("afield.errors.TaskTimeout",)}, "TaskTimeout", ("afield.errors.TaskTimeout",),
         True),
        ({"retries": 1, "retry_on": ("builtins.Exception",)}, "TaskTimeout", ("afield.errors.TaskTimeout",), False),
        ({"retries": 1, "retry_on": ("builtins.Exception",)}, "TaskCancelled", (), False),
        ({"retries": 1}, "CouldNotExecuteUserTaskError", (), False),
        ({"retries": 1}, "MaxResultSizeExceeded", (), False),
    ],
)  # fmt: skip
def test_what_is_covered(options, code, kinds, again):
    core = started()
    core.handle(on.TasksArrived(1, [task("a", **options)]))
    commands = core.handle(on.TasksFinished([failure("a", code)], kinds={"a": kinds} if kinds else {}))
    assert [type(command) for command in commands] == [do.StartPause if again else do.Publish]


def test_a_job_that_the_engine_could_not_begin_is_tried_again():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", retries=1)]))
    assert core.handle(on.TasksFinished([], never_begun=[failure("a")])) == [do.StartPause("a", 1, 1.0)]


def test_pauses_double_up_to_a_bound():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", retries=1000, backoff_s=100.0)]))
    pauses = []
    for attempt in range(1, 1001):
        [pause] = core.handle(on.TasksFinished([failure("a")]))
        pauses.append(pause.seconds)
        core.handle(on.PauseOver("a", attempt))
    assert pauses[:4] == [100.0, 200.0, 300.0, 300.0]
    assert set(pauses[4:]) == {300.0}


def test_an_old_pause_changes_nothing():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", retries=5)]))
    core.handle(on.TasksFinished([failure("a")]))
    core.handle(on.PauseOver("a", 1))
    assert core.handle(on.PauseOver("a", 1)) == []
    core.handle(on.TasksFinished([failure("a")]))
    assert core.handle(on.PauseOver("a", 1)) == [], "the second pause is not over"
    assert core.handle(on.PauseOver("b", 1)) == []


def test_a_stop_leaves_what_pauses_to_the_next_life():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", retries=3)]))
    core.handle(on.TasksFinished([failure("a")]))
    commands = core.handle(on.StopRequested("x", 5.0))
    assert commands[-1] == do.StopEngine()
    assert (core.waiting, core.unfinished) == (0, 0)
    assert core.handle(on.PauseOver("a", 1)) == []
    assert core.handle(on.EngineStopped()) == [do.SayGoodbye()]
    assert core.names() == ({"a": 1}, [])


def test_what_a_stop_interrupts_is_left_to_the_next_life_if_that_may_run_it():
    core = started(capacity=3)
    core.handle(on.TasksArrived(1, [task("a", retries=1), task("b"), task("c", retries=1)]))
    core.handle(on.StopRequested("x", 0.0))
    core.handle(on.GraceOver())
    commands = core.handle(on.TasksFinished([failure("a"), failure("b")], never_begun=[failure("c")]))
    assert commands[0] == do.MarkNeverBegun(["c"])
    assert codes(commands) == ["EndpointLost"]
    assert core.names() == ({"a": 1, "b": 1}, [])


def test_a_failure_after_a_stop_is_left_to_the_next_life_too():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", retries=1)]))
    core.handle(on.StopRequested("x", 5.0))
    assert core.handle(on.TasksFinished([failure("a")])) == [do.StopEngine()]
    assert core.names() == ({"a": 1}, [])


def test_the_next_life_goes_on_counting():
    core = started(history=History(begun={"a": 1, "b": 2, "c": 3, "d": 1}))
    assert core.names()[0] == {"a": 1, "b": 2, "c": 3, "d": 1}
    names = [task(name, retries=2) for name in "abc"] + [task("d")]
    commands = core.handle(on.TasksArrived(1, names))
    assert commands[0] == do.Run([names[0]])
    publish = commands[1]
    assert [(result.task_id, result.error.code) for result in publish.results] == [
        ("c", "EndpointLost"), ("d", "EndpointLost")
    ]  # fmt: skip
    assert b"begun 3 times" in publish.results[0].data
    assert len(publish.results[0].details["attempts"]) == 2
    assert b"may have had effects" in publish.results[1].data
    assert core.names()[0] == {"a": 2, "b": 2, "c": 3, "d": 1}
    assert core.handle(on.TasksFinished([failure("a")], at=9)) == [do.StartPause("a", 2, 2.0), do.Run([names[1]])]
    core.handle(on.PauseOver("a", 2))
    [run, publish] = core.handle(on.TasksFinished([failure("b")]))
    assert run == do.Run([names[0]])
    assert publish.results[0].error.code == "WorkerLost", "the third time was the last"
    unknown, _ = publish.results[0].details["attempts"]
    assert unknown["began"] == 0
    assert "EndpointLost" in unknown["error"]
    core.handle(on.BatchConfirmed(publish.number))
    assert core.names() == ({"a": 3, "c": 3, "d": 1}, ["b"])


def test_a_task_that_was_given_back_unbegun_counts_as_before():
    core = started(history=History(begun={"a": 1}))
    core.handle(on.TasksArrived(1, [task("a", retries=2)]))
    core.handle(on.StopRequested("x", 0.0))
    core.handle(on.GraceOver())
    assert core.handle(on.TasksFinished([], never_begun=[failure("a")]))[0] == do.MarkNeverBegun(["a"])
    assert core.names() == ({"a": 1}, [])


def test_redelivery_while_it_pauses_changes_nothing():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", retries=1)]))
    core.handle(on.TasksFinished([failure("a")]))
    core.handle(on.ConnectionDown())
    core.handle(on.ConnectionUp())
    assert core.handle(on.TasksArrived(1, [task("a", retries=1)])) == []
    assert core.handle(on.PauseOver("a", 1)) == [do.Run([task("a", retries=1)])]


def test_an_idle_agent_does_not_end_while_a_task_pauses():
    core = AgentCore(Policy(idle_soft=1), History())
    core.handle(on.CapacityIs(1))
    core.handle(on.ConnectionUp())
    core.handle(on.TasksArrived(1, [task("a", retries=1)]))
    core.handle(on.TasksFinished([failure("a")]))
    for _ in range(5):
        assert core.handle(on.HeartbeatDue()) == [do.SendHeartbeat()]


@pytest.mark.parametrize(
    ("options", "code", "often"),
    [
        ({}, "WorkerLost", 2),
        ({"retries": 1}, "WorkerLost", 2),
        ({"retries": 3}, "WorkerLost", 3),
        ({}, "RemoteExecutionError", 0),
        ({"retry_on": ("m.E",)}, "RemoteExecutionError", 0),
        ({"retries": 1, "retry_on": ("m.E",)}, "RemoteExecutionError", 1),
    ],
)
def test_what_the_owner_allows_is_for_lost_workers_only(options, code, often):
    core = started(retries_when_lost=2)
    core.handle(on.TasksArrived(1, [task("a", **options)]))
    again = 0
    while True:
        [command] = core.handle(on.TasksFinished([failure("a", code)], kinds={"a": ("m.E",)}))
        if not isinstance(command, do.StartPause):
            break
        again += 1
        core.handle(on.PauseOver("a", again))
    assert again == often


@pytest.mark.parametrize(("begun", "runs"), [(1, True), (2, True), (3, False)])
def test_what_the_owner_allows_holds_over_lives(begun, runs):
    core = started(retries_when_lost=2, history=History({"a": begun}))
    [command] = core.handle(on.TasksArrived(1, [task("a")]))
    assert isinstance(command, do.Run) is runs
