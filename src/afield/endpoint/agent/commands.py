"""What a user endpoint decides to do, as records for :mod:`afield.endpoint.agent.loop` to perform."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afield.wire.messages import Notice, Result, Task

__all__ = [
    "Acknowledge",
    "AcknowledgeCancels",
    "CancelJob",
    "Command",
    "DropKept",
    "Exit",
    "Keep",
    "MarkNeverBegun",
    "MarkSettled",
    "Notify",
    "Publish",
    "PublishKept",
    "Run",
    "SayGoodbye",
    "SendHeartbeat",
    "StartFlush",
    "StartGrace",
    "StartLook",
    "StartPause",
    "StopEngine",
    "Tell",
]


class Run(msgspec.Struct, frozen=True):
    """Write down that these are about to begin, then hand them to the engine, in this order."""

    tasks: Sequence[Task]


class CancelJob(msgspec.Struct, frozen=True):
    """Have the engine stop a task; answer with CancelImpossible if it does not.

    :param running: False: only if it has not begun
    """

    task_id: str
    running: bool


class StartPause(msgspec.Struct, frozen=True):
    """Answer with PauseOver of this task and count after this many seconds."""

    task_id: str
    begun: int
    seconds: float


class StartLook(msgspec.Struct, frozen=True):
    """Answer with LookDue after this many seconds."""

    seconds: float


class Notify(msgspec.Struct, frozen=True):
    """Say where these tasks are, if that is possible; answer with NoticesGone."""

    notices: Sequence[Notice]


class AcknowledgeCancels(msgspec.Struct, frozen=True):
    """Everything in these messages of the control queue is answered."""

    tags: Sequence[int]


class Publish(msgspec.Struct, frozen=True):
    """Send these in one message; answer with BatchConfirmed or BatchFailed."""

    number: int
    results: Sequence[Result]


class Keep(msgspec.Struct, frozen=True):
    """Put these on disk under this number; answer with BatchKept."""

    number: int
    results: Sequence[Result]


class PublishKept(msgspec.Struct, frozen=True):
    """Send what is on disk under this number; answer with BatchConfirmed or BatchFailed."""

    number: int


class DropKept(msgspec.Struct, frozen=True):
    """What is on disk under this number is safe elsewhere."""

    number: int


class MarkSettled(msgspec.Struct, frozen=True):
    """Write down that the results of these are safe elsewhere, so that no later life reports them lost."""

    task_ids: Sequence[str]


class MarkNeverBegun(msgspec.Struct, frozen=True):
    """Write down that these were handed over and given back untouched: a later life may run them."""

    task_ids: Sequence[str]


class Acknowledge(msgspec.Struct, frozen=True):
    """All tasks of these messages are settled."""

    tags: Sequence[int]


class SendHeartbeat(msgspec.Struct, frozen=True):
    """Say that it lives."""


class StartGrace(msgspec.Struct, frozen=True):
    """Answer with GraceOver after this many seconds."""

    seconds: float


class StopEngine(msgspec.Struct, frozen=True):
    """End what runs now. Report every job, then answer with EngineStopped."""


class StartFlush(msgspec.Struct, frozen=True):
    """Answer with FlushOver after this many seconds."""

    seconds: float


class SayGoodbye(msgspec.Struct, frozen=True):
    """Say that it ends, if that is possible; answer with GoodbyeSaid."""


class Exit(msgspec.Struct, frozen=True):
    """Close everything and end the process with this status."""

    code: int


class Tell(msgspec.Struct, frozen=True):
    """Write a line to the log.

    :param alarm: somebody should do something about it
    """

    text: str
    alarm: bool = False


Command = (
    Run
    | CancelJob
    | StartPause
    | StartLook
    | Notify
    | AcknowledgeCancels
    | Publish
    | Keep
    | PublishKept
    | DropKept
    | MarkSettled
    | MarkNeverBegun
    | Acknowledge
    | SendHeartbeat
    | StartGrace
    | StopEngine
    | StartFlush
    | SayGoodbye
    | Exit
    | Tell
)
