"""What happened to a task, put together from what was kept of it.

Theory. Four sources, none of which holds all: when it was accepted; the moves that were reported while it was not
ended; what its worker wrote into its result; and its end. Short tasks have no moves, for nobody looks at what is over
within a fraction of a second; then the worker's own words are all there is. Times are of three clocks (service,
endpoint, worker's machine), so the order of what is close together may look wrong; it is told as it was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from afield.service.domain.records import EndpointRecord, FinishedTask, TaskStep, TaskView
from afield.states import Actor, TaskState
from afield.wire.rest_tasks import TaskHistory, ToldState

__all__ = ["SERVICE_ENDED", "task_history"]

#: In the details of an end that the service itself made.
SERVICE_ENDED: Final = {"actor": Actor.WEB_SERVICE.value}


def task_history(view: TaskView, steps: Sequence[TaskStep], endpoint: EndpointRecord | None) -> TaskHistory:
    """All of it.

    :param steps: the moves that were kept
    :param endpoint: None: it was deleted
    """
    end = view.finished
    states = [
        ToldState(TaskState.RECEIVED, view.created_at, Actor.WEB_SERVICE),
        ToldState(TaskState.WAITING_FOR_ENDPOINT, view.created_at, Actor.WEB_SERVICE),
        *(ToldState(step.state, step.at, step.actor, step.attempt, step.life or None) for step in steps),
    ]
    failed = _failed(end)
    attempt = max([1 + len(failed), *(state.attempt for state in states)])
    if end is not None:
        states += [ToldState(state, ns / 1e9, actor, attempt) for ns, state, actor in end.transitions]
        states.append(ToldState(end.state, end.completed_at, _ended_by(end), attempt))
    states.sort(key=lambda told: told.at)
    began = len(states) > 2 if end is None else bool(steps or end.transitions) or _ended_by(end) != Actor.WEB_SERVICE
    return TaskHistory(
        task_id=view.id,
        status=view.state,
        since=view.since,
        created_at=view.created_at,
        task_group_id=view.group_id,
        endpoint_id=view.endpoint_id,
        user_endpoint_id=view.user_endpoint_id,
        function_id=view.function_id,
        attempts=attempt if began else 0,
        states=states,
        failed_attempts=failed,
        label=view.label,
        hostname=None if endpoint is None else _text(endpoint.metadata.get("hostname")),
        endpoint_name=None if endpoint is None else endpoint.name,
        error_code=None if end is None or end.error is None else end.error.code,
        reason=None if end is None or end.error is None else end.error.user_message,
    )


def _failed(end: FinishedTask | None) -> list[dict[str, Any]]:
    said = (end.details or {}).get("attempts") if end is not None else None
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []


def _ended_by(end: FinishedTask) -> str:
    is_ours = end.details is not None and end.details.get("actor") == Actor.WEB_SERVICE
    return Actor.WEB_SERVICE if is_ours else Actor.ENDPOINT


def _text(said: object) -> str | None:
    return said if isinstance(said, str) else None
