"""What the service keeps, as the REST API shows it.

The rules for tasks (reference: wire contract section 7.2): a key that is not known is absent, never null, for clients
test for presence; a failed task has ``exception``, or published clients stumble; an ended one has ``completion_t``, as
text. Clients that do not speak our envelope know no ``cancelled``: they are shown ``failed``.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any, Final

from afield.service.domain.history import SERVICE_ENDED
from afield.service.domain.liveness import is_online
from afield.service.domain.records import (
    EndpointRecord,
    FinishedTask,
    FunctionRecord,
    ListedFunction,
    ListedTask,
    TaskRecord,
    TaskView,
    UserEndpointRecord,
)
from afield.states import TaskState
from afield.wire.messages import ErrorDetails, Result, Task, Transition
from afield.wire.rest import (
    EndpointDocument,
    EndpointStatus,
    EndpointSummary,
    FunctionDocument,
    FunctionSummary,
    GroupTask,
    TaskDocument,
    TaskSummary,
)

__all__ = [
    "cancelled_task",
    "endpoint_document",
    "endpoint_status",
    "endpoint_summary",
    "failed_task",
    "function_document",
    "function_summary",
    "group_task",
    "task_document",
    "task_summary",
    "to_finished",
    "to_result",
    "to_task",
    "unknown_task",
]

#: The short name under which endpoints and service end a task that somebody wanted cancelled.
_CANCELLED: Final = "TaskCancelled"

#: An endpoint says what it likes; no name of a phase is longer.
_PHASE_MOST: Final = 40

_COUNTS: Final = ("total_workers", "idle_workers", "pending_tasks", "outstanding_tasks")


def task_document(task: TaskView, wire: int) -> TaskDocument:
    """A task as it is now.

    :param wire: the highest version of the envelope that the client reads
    """
    end = task.finished
    document = TaskDocument(task.id, task.state)
    if wire >= 2:
        document.since = task.since
    if end is None:
        return document
    document.completion_t, document.details = str(end.completed_at), _details(end)
    text = end.data.decode(errors="replace")
    if end.state is TaskState.SUCCESS:
        document.result = text
        return document
    document.exception = text
    if end.error is not None:
        document.error_code = end.error.code
        document.reason = end.error.user_message
    if wire >= 2:
        if end.exception is not None:
            document.exception_object = b64encode(end.exception).decode()
    elif end.state is TaskState.CANCELLED:
        document.status = TaskState.FAILED
    return document


def unknown_task(task_id: str) -> TaskDocument:
    """What stands in a list for a task that is unknown, forgotten or somebody else's."""
    # No exception: published clients would take it for one of the task's own, and drop the entry.
    return TaskDocument(task_id, TaskState.FAILED, reason="Unknown task id")


def _details(end: FinishedTask) -> dict[str, Any]:
    return {**(end.details or {}), "task_transitions": {state: ns / 1e9 for ns, state, _ in end.transitions}}


def to_finished(result: Result, now: float) -> FinishedTask:
    """What is kept of a result that came at ``now``."""
    error, state, data = result.error, TaskState.SUCCESS, result.data
    if error is not None:
        state = TaskState.CANCELLED if error.code == _CANCELLED else TaskState.FAILED
        # Clients that know no cancelled tasks are shown a failed one, whose text is all that they have.
        data = data or (error.user_message or error.code).encode()
    return FinishedTask(
        id=result.task_id,
        state=state,
        completed_at=now,
        data=data,
        error=result.error,
        details=result.details,
        transitions=tuple((step.timestamp, step.state, step.actor) for step in result.statuses),
        exception=result.exception,
    )


def failed_task(task_id: str, code: str, message: str, now: float) -> FinishedTask:
    """What is kept of a task that the service itself fails.

    :param code: a short name of the reason
    """
    error = ErrorDetails(code, message)
    return FinishedTask(task_id, TaskState.FAILED, now, message.encode(), error, dict(SERVICE_ENDED))


def cancelled_task(task_id: str, message: str, now: float) -> FinishedTask:
    """What is kept of a task that the service itself ends because somebody wants it cancelled."""
    error = ErrorDetails(_CANCELLED, message)
    return FinishedTask(task_id, TaskState.CANCELLED, now, message.encode(), error, dict(SERVICE_ENDED))


def to_task(record: TaskRecord, code: bytes) -> Task:
    """A kept task as it goes to its endpoint.

    :param code: of its function
    """
    options = record.options
    return Task(
        task_id=record.id,
        function_id=record.function_id,
        code=code,
        payload=record.payload,
        resource_specification=options.resource_specification,
        result_serializers=options.result_serializers,
        options=options.call,
    )


def to_result(end: FinishedTask) -> Result:
    """A kept result as it goes to whoever waits for it."""
    return Result(
        task_id=end.id,
        data=end.data,
        error=end.error,
        details=end.details,
        statuses=tuple(Transition(*step) for step in end.transitions),
        exception=end.exception,
    )


def group_task(task: TaskView) -> GroupTask:
    """One line of a task group."""
    return GroupTask(task.id, datetime.fromtimestamp(task.created_at, UTC).isoformat())


def task_summary(task: ListedTask) -> TaskSummary:
    """One line of a list of tasks."""
    return TaskSummary(
        task_id=task.id,
        status=task.state,
        task_group_id=task.group_id,
        endpoint_id=task.endpoint_id,
        function_id=task.function_id,
        function_name=task.function_name,
        created_at=task.created_at,
        since=task.since,
        label=task.label,
    )


def function_summary(function: ListedFunction) -> FunctionSummary:
    """One line of a list of functions."""
    return FunctionSummary(
        function_uuid=function.id,
        function_name=function.name,
        description=function.description,
        created_at=function.created_at,
        public=function.public,
        group=function.group_id,
    )


def function_document(function: FunctionRecord) -> FunctionDocument:
    """A function with its code."""
    return FunctionDocument(
        function_uuid=function.id,
        function_name=function.name,
        function_code=function.code.decode(),
        description=function.description,
        metadata=function.metadata,
        public=function.public,
        group=function.group_id,
    )


def endpoint_summary(endpoint: EndpointRecord, now: float) -> EndpointSummary:
    """One line of a list of endpoints."""
    return EndpointSummary(
        uuid=endpoint.id,
        name=endpoint.name,
        display_name=endpoint.display_name,
        owner=endpoint.owner_id,
        hostname=_text(endpoint, "hostname"),
        status=_status(endpoint, now),
    )


def endpoint_document(endpoint: EndpointRecord) -> EndpointDocument:
    """An endpoint as it described itself."""
    return EndpointDocument(
        uuid=endpoint.id,
        name=endpoint.name,
        owner=endpoint.owner_id,
        display_name=endpoint.display_name,
        multi_user=endpoint.multi_user,
        high_assurance=endpoint.high_assurance,
        public=endpoint.public,
        endpoint_config=endpoint.metadata.get("endpoint_config"),
        user_config_template=_text(endpoint, "user_config_template"),
        user_config_schema=endpoint.metadata.get("user_config_schema"),
        description=_text(endpoint, "description"),
        hostname=_text(endpoint, "hostname"),
        local_user=_text(endpoint, "local_user"),
        ip_address=_text(endpoint, "ip_address"),
        endpoint_version=_text(endpoint, "endpoint_version"),
        sdk_version=_text(endpoint, "sdk_version"),
        python_version=_text(endpoint, "python_version"),
        subscription_uuid=endpoint.subscription_uuid or _text(endpoint, "subscription_uuid"),
        authentication_policy=endpoint.authentication_policy,
    )


def endpoint_status(endpoint: EndpointRecord, user_endpoints: list[UserEndpointRecord], now: float) -> EndpointStatus:
    """Whether it is there, and what its user endpoints that are there say, summed up."""
    there = [one for one in user_endpoints if is_online(one, now)]
    details: dict[str, Any] = {name: sum(_count(one, name) for one in there) for name in _COUNTS}
    # A published thread engine does not say how many of its workers are idle.
    silent = [one for one in there if "idle_workers" not in one.state]
    details["idle_workers"] += sum(
        max(0, _count(one, "total_workers") - _count(one, "outstanding_tasks")) for one in silent
    )
    details["managers"] = len(there)
    # Why is for the owner of the endpoint and for whose tasks fail: it is the output of somebody's job.
    stopped = [one for one in there if one.state.get("blocks_stopped")]
    if stopped:
        details["blocks_stopped"] = len(stopped)
        details["blocks_stopped_in"] = sorted({phase for one in stopped if (phase := _phase(one)) is not None})
    return EndpointStatus(_status(endpoint, now), details)


def _count(user_endpoint: UserEndpointRecord, name: str) -> int:
    said = user_endpoint.state.get(name)
    return said if isinstance(said, int) else 0


def _phase(user_endpoint: UserEndpointRecord) -> str | None:
    """How far its last block came, such as ``queue``."""
    last = user_endpoint.state.get("last_block_death")
    phase = last.get("phase") if isinstance(last, dict) else None
    return phase[:_PHASE_MOST] if isinstance(phase, str) else None


def _status(endpoint: EndpointRecord, now: float) -> str:
    return "online" if is_online(endpoint, now) else "offline"


def _text(endpoint: EndpointRecord, name: str) -> str | None:
    said = endpoint.metadata.get(name)
    return said if isinstance(said, str) else None
