"""What happens to a user endpoint, as records for :mod:`afield.endpoint.agent.core`.

They are msgspec's, as a process starts quicker with them than with dataclasses.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afield.wire.messages import Result, Task

__all__ = [
    "BatchConfirmed",
    "BatchFailed",
    "BatchKept",
    "BatchNotKept",
    "CapacityIs",
    "ConnectionDown",
    "ConnectionUp",
    "EngineStopped",
    "Event",
    "FlushOver",
    "GoodbyeSaid",
    "GraceOver",
    "HeartbeatDue",
    "MalformedArrived",
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


class CapacityIs(msgspec.Struct, frozen=True):
    """The engine can be kept busy by this many unfinished jobs."""

    count: int


class TasksFinished(msgspec.Struct, frozen=True):
    """The engine is done with these.

    :param never_begun: failures of tasks that were certainly not begun
    """

    results: Sequence[Result]
    never_begun: Sequence[Result] = ()


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
    | CapacityIs
    | TasksFinished
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
