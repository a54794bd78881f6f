"""What an agent does when somebody wants a task cancelled, wherever the task is."""

from __future__ import annotations

import pytest

from afield.endpoint.agent import commands as do
from afield.endpoint.agent import events as on
from afield.endpoint.agent.core import AgentCore
from afield.endpoint.agent.tasks import History, Policy
from afield.endpoint.agent.wishes import EARLY, Wishes
from afield.states import TaskState
from afield.wire.messages import CallOptions, Cancel, ErrorDetails, Notice, Result, Task

RETRIES = CallOptions(retries=1, backoff_s=4.0)


def task(name, options=None):
    return Task(task_id=name, function_id="f", code=b"code", payload=b"args", options=options)


def done(name):
    return Result(task_id=name, data=b"xx")


def lost(name):
    return Result(task_id=name, data=b"gone", error=ErrorDetails("WorkerLost", "gone"))


def started(capacity=1, history=None):
    core = AgentCore(Policy(), history or History())
    core.handle(on.CapacityIs(capacity))
    core.handle(on.ConnectionUp())
    return core


def ended(commands):
    """Name and code of what is published."""
    return [
        (result.task_id, result.error and result.error.code)
        for command in commands
        if isinstance(command, do.Publish)
        for result in command.results
    ]


def test_a_waiting_task_is_dropped_and_its_wish_acknowledged_when_that_is_known():
    core = started()
    core.handle(on.TasksArrived(1, [task("a"), task("b")]))
    [publish] = core.handle(on.CancelsArrived(7, [Cancel("b")]))
    [result] = publish.results
    assert result.error == ErrorDetails("TaskCancelled", "task b was cancelled before it began")
    assert result.data == b"task b was cancelled before it began"
    assert core.waiting == 0
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["b"]), do.AcknowledgeCancels([7])]
    assert core.handle(on.TasksFinished([done("a")])) == [do.Publish(2, [done("a")])], "b does not begin"
    assert core.handle(on.BatchConfirmed(2)) == [do.MarkSettled(["a"]), do.Acknowledge([1])]


def test_a_task_with_the_engine_is_stopped():
    core = started()
    core.handle(on.TasksArrived(1, [task("a")]))
    assert core.handle(on.CancelsArrived(7, [Cancel("a")])) == [do.CancelJob("a", running=True)]
    result = Result("a", b"x", ErrorDetails("TaskCancelled", "task a was cancelled"))
    assert core.handle(on.TasksFinished([result])) == [do.Publish(1, [result])]
    commands = core.handle(on.BatchConfirmed(1))
    assert commands == [do.MarkSettled(["a"]), do.Acknowledge([1]), do.AcknowledgeCancels([7])]


def test_a_task_that_was_faster_than_its_cancel_has_its_result():
    core = started()
    core.handle(on.TasksArrived(1, [task("a")]))
    core.handle(on.CancelsArrived(7, [Cancel("a")]))
    assert core.handle(on.TasksFinished([done("a")])) == [do.Publish(1, [done("a")])]
    assert core.handle(on.BatchConfirmed(1))[-1] == do.AcknowledgeCancels([7])


def test_an_engine_that_cannot_is_quoted():
    core = started()
    core.handle(on.TasksArrived(1, [task("a")]))
    core.handle(on.CancelsArrived(7, [Cancel("a")]))
    commands = core.handle(on.CancelImpossible("a", "threads cannot be stopped", 99))
    notice = Notice("a", TaskState.RUNNING, 99, 1, "threads cannot be stopped")
    assert commands == [do.Notify([notice]), do.AcknowledgeCancels([7])]
    assert core.handle(on.TasksFinished([done("a")])) == [do.Publish(1, [done("a")])]


def test_a_refusal_that_comes_after_the_end_is_not_told():
    core = started()
    core.handle(on.TasksArrived(1, [task("a")]))
    core.handle(on.CancelsArrived(7, [Cancel("a")]))
    core.handle(on.TasksFinished([done("a")]))
    assert core.handle(on.CancelImpossible("a", "threads cannot be stopped", 99)) == [do.AcknowledgeCancels([7])]


def test_only_if_it_has_not_begun():
    core = started()
    core.handle(on.TasksArrived(1, [task("a"), task("b")]))
    cancels = [Cancel("a", running=False), Cancel("b", running=False)]
    commands = core.handle(on.CancelsArrived(7, cancels))
    assert commands[0] == do.CancelJob("a", running=False)
    assert ended(commands) == [("b", "TaskCancelled")]
    assert core.handle(on.CancelImpossible("a", "", 99)) == [], "it has begun: nothing is said"
    assert core.handle(on.BatchConfirmed(1))[-1] == do.AcknowledgeCancels([7])


def test_a_task_between_two_attempts_has_begun():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", RETRIES)]))
    assert core.handle(on.TasksFinished([lost("a")], at=50)) == [do.StartPause("a", 1, 4.0)]
    assert core.handle(on.CancelsArrived(6, [Cancel("a", running=False)])) == [do.AcknowledgeCancels([6])]
    [publish] = core.handle(on.CancelsArrived(7, [Cancel("a")]))
    [result] = publish.results
    assert result.error == ErrorDetails("TaskCancelled", "task a was cancelled between two attempts")
    assert result.details == {"attempts": [{"began": 0, "ended": 50, "error": "WorkerLost: gone"}]}
    assert core.handle(on.PauseOver("a", 1)) == []
    commands = core.handle(on.BatchConfirmed(1))
    assert commands == [do.MarkSettled(["a"]), do.Acknowledge([1]), do.AcknowledgeCancels([7])]


def test_a_task_that_waits_for_its_next_attempt_is_dropped():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", RETRIES), task("b")]))
    core.handle(on.TasksFinished([lost("a")]))
    core.handle(on.PauseOver("a", 1))
    assert core.waiting == 1
    assert core.handle(on.CancelsArrived(6, [Cancel("a", running=False)])) == [do.AcknowledgeCancels([6])]
    assert ended(core.handle(on.CancelsArrived(7, [Cancel("a")]))) == [("a", "TaskCancelled")]
    assert core.waiting == 0


def test_what_somebody_wants_cancelled_is_not_tried_again():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", RETRIES)]))
    core.handle(on.CancelsArrived(7, [Cancel("a")]))
    [publish] = core.handle(on.TasksFinished([lost("a")], at=50))
    assert publish.results[0].error.code == "TaskCancelled"
    assert publish.results[0].details["attempts"][0]["error"] == "WorkerLost: gone"


def test_a_wish_only_for_what_has_not_begun_is_answered_when_it_began_and_is_tried_again():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", RETRIES)]))
    assert core.handle(on.CancelsArrived(6, [Cancel("a", running=False)])) == [do.CancelJob("a", running=False)]
    assert core.handle(on.TasksFinished([lost("a")])) == [do.StartPause("a", 1, 4.0), do.AcknowledgeCancels([6])]


def test_what_could_not_be_cancelled_may_be_tried_again():
    core = started()
    core.handle(on.TasksArrived(1, [task("a", RETRIES)]))
    core.handle(on.CancelsArrived(7, [Cancel("a")]))
    core.handle(on.CancelImpossible("a", "no", 99))
    assert core.handle(on.TasksFinished([lost("a")])) == [do.StartPause("a", 1, 4.0)]


def test_a_finished_task_keeps_its_result():
    core = started()
    core.handle(on.TasksArrived(1, [task("a")]))
    core.handle(on.TasksFinished([done("a")]))
    assert core.handle(on.CancelsArrived(7, [Cancel("a")])) == []
    commands = core.handle(on.BatchConfirmed(1))
    assert commands == [do.MarkSettled(["a"]), do.Acknowledge([1]), do.AcknowledgeCancels([7])]
    assert core.handle(on.CancelsArrived(8, [Cancel("a")])) == [do.AcknowledgeCancels([8])], "settled"


@pytest.mark.parametrize("running", [True, False])
def test_a_cancel_that_comes_first_waits_for_its_task(running):
    core = started()
    assert core.handle(on.CancelsArrived(7, [Cancel("a", running)])) == []
    [publish, run] = sorted(core.handle(on.TasksArrived(1, [task("a"), task("b")])), key=lambda c: type(c).__name__)
    assert run == do.Run([task("b")])
    assert publish.results[0].error == ErrorDetails("TaskCancelled", "task a was cancelled before it began")
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"]), do.AcknowledgeCancels([7])]


def test_a_task_that_an_earlier_life_began_is_cancelled_when_it_comes():
    core = started(history=History(begun={"a": 1, "b": 1, "c": 1}))
    cancels = [Cancel("a"), Cancel("b", running=False), Cancel("c", running=False)]
    core.handle(on.CancelsArrived(7, cancels))
    commands = core.handle(on.TasksArrived(1, [task("a", RETRIES), task("b", RETRIES), task("c")]))
    assert commands[0] == do.Run([task("b", RETRIES)]), "it has begun, and was to be cancelled only if it had not"
    assert ended(commands) == [("a", "TaskCancelled"), ("c", "EndpointLost")]
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a", "c"]), do.AcknowledgeCancels([7])]


def test_a_cancel_that_comes_twice_is_one():
    core = started()
    core.handle(on.TasksArrived(1, [task("a"), task("b")]))
    assert ended(core.handle(on.CancelsArrived(7, [Cancel("b"), Cancel("b")]))) == [("b", "TaskCancelled")]
    assert core.handle(on.CancelsArrived(8, [Cancel("b")])) == []
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["b"]), do.AcknowledgeCancels([7, 8])]


def test_a_stronger_wish_counts():
    core = started()
    core.handle(on.TasksArrived(1, [task("a")]))
    core.handle(on.CancelsArrived(7, [Cancel("a", running=True)]))
    assert core.handle(on.CancelsArrived(8, [Cancel("a", running=False)])) == [do.CancelJob("a", running=True)]


def test_after_a_reconnection_a_wish_comes_again_under_its_new_tag():
    core = started()
    core.handle(on.CancelsArrived(1, [Cancel("late")]))
    core.handle(on.TasksArrived(1, [task("a")]))
    core.handle(on.CancelsArrived(2, [Cancel("a")]))
    core.handle(on.ConnectionDown())
    core.handle(on.ConnectionUp())
    assert core.handle(on.CancelsArrived(1, [Cancel("late")])) == []
    assert core.handle(on.CancelsArrived(2, [Cancel("a")])) == [do.CancelJob("a", running=True)]
    core.handle(on.TasksArrived(1, [task("a"), task("late")]))
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["late"]), do.AcknowledgeCancels([1])]


def test_an_agent_that_ends_leaves_wishes_to_the_next_life():
    core = started()
    core.handle(on.TasksArrived(1, [task("a"), task("b")]))
    core.handle(on.StopRequested("x", 5.0))
    assert core.handle(on.CancelsArrived(7, [Cancel("b"), Cancel("unknown")])) == []
    assert core.handle(on.CancelsArrived(8, [Cancel("a")])) == [do.CancelJob("a", running=True)]
    cancelled = Result("a", b"x", ErrorDetails("TaskCancelled", "task a was cancelled"))
    assert core.handle(on.TasksFinished([cancelled])) == [do.Publish(1, [cancelled]), do.StopEngine()]
    core.handle(on.EngineStopped())
    assert core.handle(on.BatchConfirmed(1)) == [do.MarkSettled(["a"]), do.AcknowledgeCancels([8]), do.SayGoodbye()]


def test_a_malformed_task_answers_its_wish():
    core = started()
    core.handle(on.CancelsArrived(7, [Cancel("a")]))
    core.handle(on.MalformedArrived(1, "a", "truncated"))
    assert core.handle(on.BatchConfirmed(1))[-1] == do.AcknowledgeCancels([7])


def test_a_wish_is_kept_until_its_task_is_settled_however_many_others_come():
    core = started()
    core.handle(on.CancelsArrived(1, [Cancel("a")]))
    core.handle(on.TasksArrived(1, [task("a")]))
    assert core.handle(on.CancelsArrived(2, [Cancel(f"t{number}") for number in range(EARLY)])) == []
    commands = core.handle(on.BatchConfirmed(1))
    assert commands == [do.MarkSettled(["a"]), do.Acknowledge([1]), do.AcknowledgeCancels([1])]


def test_of_wishes_whose_tasks_never_come_the_oldest_are_forgotten():
    wishes = Wishes(early=2)
    for tag, name in enumerate("abc"):
        wishes.begin_delivery(tag)
        wishes.add(tag, Cancel(name), early=True)
        wishes.end_delivery(tag)
    assert wishes.answered == [0]
    assert [wishes.wants(name) is not None for name in "abc"] == [False, True, True]


def test_a_wish_whose_task_came_is_not_forgotten():
    wishes = Wishes(early=1)
    for tag, name in enumerate("ab"):
        wishes.begin_delivery(tag)
        wishes.add(tag, Cancel(name), early=True)
        wishes.end_delivery(tag)
        wishes.here(name)
    assert wishes.answered == []
