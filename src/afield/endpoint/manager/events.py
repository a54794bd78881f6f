"""What happens to a manager, as records for :mod:`afield.endpoint.manager.core`."""

from __future__ import annotations

from dataclasses import dataclass

from afield.endpoint.manager.accounts import Tenant
from afield.wire.commands import StartCommand

__all__ = [
    "ChildExited",
    "Cleared",
    "CommandArrived",
    "ConnectionDown",
    "ConnectionUp",
    "Event",
    "GoodbyeSaid",
    "GraceOver",
    "HeartbeatDue",
    "Identified",
    "StartFailed",
    "StopRequested",
]


@dataclass(frozen=True, slots=True)
class ConnectionUp:
    """The command queue is being consumed."""


@dataclass(frozen=True, slots=True)
class ConnectionDown:
    """There is no connection any more, or still none."""


@dataclass(frozen=True, slots=True)
class CommandArrived:
    """A message from the command queue.

    :param timestamp: when it was sent, in unix seconds by the service's clock
    :param now: unix seconds by ours
    """

    tag: int
    body: bytes
    content_type: str | None
    timestamp: int | None
    now: float


@dataclass(frozen=True, slots=True)
class Identified:
    """It is known whose account a command is for.

    :param tenant: None: it is for nobody's here
    :param why: it is not, for whoever submitted
    :param now: unix seconds
    :param lost: the rules say so; otherwise it could just not be found out
    """

    command: StartCommand
    tenant: Tenant | None
    why: str
    now: float
    lost: bool = False


@dataclass(frozen=True, slots=True)
class StartFailed:
    """A user endpoint could not be started at all: its template or its options are wrong, or the machine refused."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class ChildExited:
    """A user endpoint's process ended.

    :param code: its exit status; negative: the signal that killed it
    :param tail: the end of what it wrote to its log
    :param now: unix seconds
    """

    name: str
    code: int
    tail: str
    now: float


@dataclass(frozen=True, slots=True)
class Cleared:
    """The owner has looked at user endpoints that are not started any more."""


@dataclass(frozen=True, slots=True)
class HeartbeatDue:
    """Another heartbeat period is over."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Somebody wants it to end.

    :param why: for people
    :param grace_s: how long running tasks may go on, in seconds
    """

    why: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class GraceOver:
    """User endpoints had their time to end."""


@dataclass(frozen=True, slots=True)
class GoodbyeSaid:
    """The last heartbeat is out, or could not be sent."""


Event = (
    ConnectionUp
    | ConnectionDown
    | CommandArrived
    | Identified
    | StartFailed
    | ChildExited
    | Cleared
    | HeartbeatDue
    | StopRequested
    | GraceOver
    | GoodbyeSaid
)
