"""What a manager decides to do, as records for :mod:`afield.endpoint.manager.loop` to perform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from afield.endpoint.breaker import Open
from afield.endpoint.manager.accounts import Tenant
from afield.wire.commands import QueueCredentials, StartCommand

__all__ = [
    "Acknowledge",
    "Command",
    "Exit",
    "Identify",
    "KeepStopped",
    "KillChildren",
    "RefreshCredentials",
    "ReportFailure",
    "ReportGone",
    "SayGoodbye",
    "SendHeartbeat",
    "Spawn",
    "StartGrace",
    "StopChild",
    "StopChildren",
    "Tell",
]


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A command is taken care of."""

    tag: int


@dataclass(frozen=True, slots=True)
class Identify:
    """Find the account that a command is for; answer with Identified."""

    command: StartCommand


@dataclass(frozen=True, slots=True)
class KeepStopped:
    """Write down which user endpoints are not started any more, and why: it holds for the next manager, too."""

    stopped: Mapping[str, Open]


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a user endpoint; answer with StartFailed, or one day with ChildExited.

    :param tenant: as whom it runs; None: as the manager does
    """

    command: StartCommand
    tenant: Tenant | None = None


@dataclass(frozen=True, slots=True)
class RefreshCredentials:
    """Give a running user endpoint fresh credentials."""

    name: str
    credentials: QueueCredentials


@dataclass(frozen=True, slots=True)
class ReportFailure:
    """Tell the service that a user endpoint did not start; whoever submitted hears it.

    :param stopped: it will not be started again soon, so those who wait for it shall hear it, too
    """

    credentials: QueueCredentials
    text: str
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class ReportGone:
    """Tell the service that a user endpoint is gone, for it could not say so itself."""

    credentials: QueueCredentials


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Say that it lives."""


@dataclass(frozen=True, slots=True)
class StopChildren:
    """Ask every user endpoint to end, giving its tasks this many seconds."""

    why: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class StopChild:
    """Ask one user endpoint to end, giving its tasks this many seconds."""

    name: str
    why: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class StartGrace:
    """Answer with GraceOver after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class KillChildren:
    """End every user endpoint now."""


@dataclass(frozen=True, slots=True)
class SayGoodbye:
    """Say that it ends, if that is possible; answer with GoodbyeSaid."""


@dataclass(frozen=True, slots=True)
class Exit:
    """Close everything."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Write a line to the log."""

    text: str


Command = (
    Acknowledge
    | Identify
    | KeepStopped
    | Spawn
    | RefreshCredentials
    | ReportFailure
    | ReportGone
    | SendHeartbeat
    | StopChild
    | StopChildren
    | StartGrace
    | KillChildren
    | SayGoodbye
    | Exit
    | Tell
)
