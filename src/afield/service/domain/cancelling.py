"""What becomes of the wish to cancel a task: one table and one decision.

Theory. A task may be stopped only by whoever has it. Endpoints of ours can be asked, and answer; published ones cannot.
So there are three kinds of peer: ours and there, ours and away, published. And there are two kinds of wish: whatever
the task does, or only if it has not begun. Whether it has begun is known for certain from nobody but the endpoint. Ours
says so within a fraction of a second; of a published one it is known only that it has taken the task, so it may have.

===========  ===============  ================  ========================
peer         may have begun   any wish          only if it has not begun
===========  ===============  ================  ========================
ours, there  no               ask               ask
ours, there  yes              ask               leave
ours, away   no               end, and tell     end, and tell
ours, away   yes              end, and tell     leave
published    no               end               end
published    yes              end               leave
===========  ===============  ================  ========================

*Ask*: the endpoint is told, and ends the task or says why not. *End, and tell*: the task ends here and now; its
endpoint is told when it comes, so that it does not run it. *End*: the task ends here and now; what the endpoint sends
later is dropped, as every second end is. A task that has ended is left alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from afield.service.domain.liveness import is_online
from afield.service.domain.records import EndpointRecord, UserEndpointRecord
from afield.service.domain.user_endpoints import endpoint_wire
from afield.states import TERMINAL, TaskState
from afield.wire import v2

__all__ = ["TABLE", "Move", "Peer", "decide_cancel", "may_have_begun", "peer_of", "why_left"]


class Peer(StrEnum):
    """Who has the task."""

    OURS_THERE = "ours, there"
    OURS_AWAY = "ours, away"
    PUBLISHED = "published"


class Move(StrEnum):
    """What to do."""

    ASK = "ask"
    END_AND_TELL = "end, and tell"
    END = "end"
    LEAVE = "leave"


#: (peer, may have begun) -> (for any wish, for one that means only what has not begun)
TABLE: Final[dict[tuple[Peer, bool], tuple[Move, Move]]] = {
    (Peer.OURS_THERE, False): (Move.ASK, Move.ASK),
    (Peer.OURS_THERE, True): (Move.ASK, Move.LEAVE),
    (Peer.OURS_AWAY, False): (Move.END_AND_TELL, Move.END_AND_TELL),
    (Peer.OURS_AWAY, True): (Move.END_AND_TELL, Move.LEAVE),
    (Peer.PUBLISHED, False): (Move.END, Move.END),
    (Peer.PUBLISHED, True): (Move.END, Move.LEAVE),
}


def peer_of(endpoint: EndpointRecord | None, user_endpoint: UserEndpointRecord | None, now: float) -> Peer:
    """Who has the tasks of this user endpoint; None stands for one that was deleted."""
    if endpoint is None or user_endpoint is None or endpoint_wire(endpoint) < v2.VERSION[0]:
        return Peer.PUBLISHED
    return Peer.OURS_THERE if is_online(user_endpoint, now) else Peer.OURS_AWAY


def may_have_begun(state: TaskState, peer: Peer, *, taken: bool) -> bool:
    """Whether a task may be running.

    :param taken: its user endpoint has acknowledged it
    """
    return state is TaskState.RUNNING or (peer is Peer.PUBLISHED and taken)


def decide_cancel(state: TaskState, peer: Peer, *, taken: bool, running: bool) -> Move:
    """The one decision.

    :param state: where the task is
    :param taken: its user endpoint has acknowledged it
    :param running: the wish is meant for a running task, too
    """
    if state in TERMINAL:
        return Move.LEAVE
    anyhow, if_not_begun = TABLE[peer, may_have_begun(state, peer, taken=taken)]
    return anyhow if running else if_not_begun


def why_left(state: TaskState, peer: Peer) -> str:
    """For people: why a task that has not ended was left alone."""
    if state is TaskState.RUNNING or peer is not Peer.PUBLISHED:
        return "It has begun, and it was to be cancelled only if it had not."
    return (
        "Its endpoint has taken it and may have begun it, and it was to be cancelled only if it had not begun. "
        "Endpoints of this kind do not say when a task begins."
    )
