"""What happens to a user endpoint, as records for :mod:`afield.endpoint.agent.core`.

They are msgspec's, as a process starts quicker with them than with dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from afield.wire.messages import Cancel, Result, Task

__all__ = [
    "BatchConfirmed",
    "BatchFailed",
    "BatchKept",
    "BatchNotKept",
    "CancelImpossible",
    "CancelsArrived",
    "CapacityIs",
    "ConnectionDown",
    "ConnectionUp",
    "EngineStopped",
    "Event",
    "FlushOver",
    "GoodbyeSaid",
    "GraceOver",
    "HeartbeatDue",
    "LookDue",
    "MalformedArrived",
    "NoticesGone",
    "PauseOver",
    "StopRequested",
    "TasksArrived",
    "TasksFinished",
]


class ConnectionUp(msgspec.Struct, frozen=True):
    """The queues can be reached, and tasks are being consumed. Tags begin anew."""


class ConnectionDown(msgspec.Struct, frozen=True):
    """The connection is gone, and with it every tag. The broker puts back what was not acknowledged."""


class TasksArrived(msgspec.Struct, frozen=True):
    """One message with tasks; ``tag`` acknowledges all of them at once."""

    tag: int
    tasks: Sequence[Task]


class MalformedArrived(msgspec.Struct, frozen=True):
    """One message that is not what it should be.

    :param task_id: whose message it was, where that could be read
    :param why: for whoever reads it
    """

    tag: int
    task_id: str | None
    why: str


class CancelsArrived(msgspec.Struct, frozen=True):
    """One message from the control queue; ``tag`` acknowledges it there."""

    tag: int
    cancels: Sequence[Cancel]


class CancelImpossible(msgspec.Struct, frozen=True):
    """The engine has a task and goes on with it.

    :param why: for people; empty: because it has begun, and was only to be cancelled if it had not
    :param at: unix time in nanoseconds
    """

    task_id: str
    why: str
    at: int


class CapacityIs(msgspec.Struct, frozen=True):
    """The engine can be kept busy by this many unfinished jobs."""

    count: int


class TasksFinished(msgspec.Struct, frozen=True):
    """The engine is done with these.

    :param never_begun: failures of tasks that were certainly not begun
    :param kinds: of those that failed, where it is known: the classes of what went wrong, as ``module.qualified name``
    :param at: unix time in nanoseconds
    """

    results: Sequence[Result]
    never_begun: Sequence[Result] = ()
    kinds: Mapping[str, Sequence[str]] = {}
    at: int = 0


class PauseOver(msgspec.Struct, frozen=True):
    """A task has waited for its next attempt.

    :param begun: how many attempts of it had begun when the pause was
    """

    task_id: str
    begun: int


class LookDue(msgspec.Struct, frozen=True):
    """It is time to say where tasks are.

    :param running: the tasks that the engine knows to be running
    :param at: unix time in nanoseconds
    """

    running: Sequence[str]
    at: int


class NoticesGone(msgspec.Struct, frozen=True):
    """What was said of tasks has arrived, or could not be sent."""


class BatchConfirmed(msgspec.Struct, frozen=True):
    """The results that :class:`~afield.endpoint.agent.commands.Publish` sent under this number are safe."""

    number: int


class BatchFailed(msgspec.Struct, frozen=True):
    """Nobody knows whether the results under this number arrived."""

    number: int


class BatchKept(msgspec.Struct, frozen=True):
    """The results under this number are on disk."""

    number: int


class BatchNotKept(msgspec.Struct, frozen=True):
    """The results under this number could not be written to the disk."""

    number: int
    why: str


class HeartbeatDue(msgspec.Struct, frozen=True):
    """Another heartbeat period is over."""


class StopRequested(msgspec.Struct, frozen=True):
    """Somebody wants it to end.

    :param why: for people: ``"its manager ended"``
    :param grace_s: how long running tasks may go on, in seconds
    """

    why: str
    grace_s: float


class GraceOver(msgspec.Struct, frozen=True):
    """Running tasks had their time."""


class EngineStopped(msgspec.Struct, frozen=True):
    """Nothing runs any more, and every job has been reported."""


class FlushOver(msgspec.Struct, frozen=True):
    """There was time enough to send results; what is not confirmed goes to the disk."""


class GoodbyeSaid(msgspec.Struct, frozen=True):
    """The last heartbeat is out, or could not be sent."""


Event = (
    ConnectionUp
    | ConnectionDown
    | TasksArrived
    | MalformedArrived
    | CancelsArrived
    | CancelImpossible
    | CapacityIs
    | TasksFinished
    | PauseOver
    | LookDue
    | NoticesGone
    | BatchConfirmed
    | BatchFailed
    | BatchKept
    | BatchNotKept
    | HeartbeatDue
    | StopRequested
    | GraceOver
    | EngineStopped
    | FlushOver
    | GoodbyeSaid
)
