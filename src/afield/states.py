"""The states of a task and how it moves between them, as data.

Theory. A task only ever moves forward along the table below. Three kinds of party report where it is: the service (it
accepted, it queued), the endpoint (it holds it, it waits for nodes), the worker (it began, it ended). Reports may
arrive late, twice or in another order; so a move that the table does not hold changes nothing, it is not an error. The
names are the published ones, because clients compare them; ``unsent`` and ``cancelled`` are ours.

Two rules:

1. A terminal state is final. The first one wins; every later report is dropped.
2. Every state may be skipped: an endpoint that reports nothing but results is a good endpoint.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["TERMINAL", "TRANSITIONS", "Actor", "TaskState", "may_move", "next_state"]


class TaskState(StrEnum):
    """Where a task is; the values are what travels."""

    UNSENT = "unsent"  #: still in the program that made it; the service never says so
    RECEIVED = "received"  #: stored by the service
    WAITING_FOR_ENDPOINT = "waiting-for-ep"  #: queued; the endpoint does not hold it yet
    WAITING_FOR_NODES = "waiting-for-nodes"  #: the endpoint holds it and waits for machines
    WAITING_FOR_LAUNCH = "waiting-for-launch"  #: the engine holds it and waits for a free worker
    RUNNING = "running"  #: a worker began it
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"  #: ours; a published client is shown ``failed``


class Actor(StrEnum):
    """Who moved the task."""

    WEB_SERVICE = "web-service"
    ENDPOINT = "endpoint"
    INTERCHANGE = "interchange"  #: the published endpoint's name for its process
    MANAGER = "manager"
    WORKER = "worker"


TERMINAL: Final = frozenset({TaskState.SUCCESS, TaskState.FAILED, TaskState.CANCELLED})

_ORDER: Final = (
    TaskState.UNSENT,
    TaskState.RECEIVED,
    TaskState.WAITING_FOR_ENDPOINT,
    TaskState.WAITING_FOR_NODES,
    TaskState.WAITING_FOR_LAUNCH,
    TaskState.RUNNING,
)

#: From each state, the states it may move to. Two ways lead back: what an endpoint held and never began is queued again
#: when that endpoint's life ends; and what runs again after a failure waits for a worker again.
TRANSITIONS: Final[dict[TaskState, frozenset[TaskState]]] = {
    state: frozenset(_ORDER[i + 1 :]) | TERMINAL | ({TaskState.WAITING_FOR_ENDPOINT} if i > 2 else frozenset())
    for i, state in enumerate(_ORDER)
} | {state: frozenset() for state in TERMINAL}
TRANSITIONS[TaskState.RUNNING] |= {TaskState.WAITING_FOR_LAUNCH}


def may_move(state: TaskState, to: TaskState) -> bool:
    """Whether a task in ``state`` may move to ``to``."""
    return to in TRANSITIONS[state]


def next_state(state: TaskState, reported: TaskState) -> TaskState:
    """The state after a report: ``reported`` where the table allows it, else ``state`` unchanged."""
    return reported if reported in TRANSITIONS[state] else state
