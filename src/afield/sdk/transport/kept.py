"""What the service in memory keeps, and what its endpoints would do: no queues, no answers to requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from afield.sdk.transport.base import Refusal
from afield.serialize import ComputeSerializer
from afield.states import TERMINAL, TaskState, next_state
from afield.wire.messages import CallOptions, ErrorDetails, Notice, Result
from afield.wire.rest import FunctionRegistration, SubmitRequest, TaskDocument, TaskSummary

__all__ = [
    "Stop",
    "StoredTask",
    "Work",
    "call_here",
    "holds",
    "packed_call",
    "page_of",
    "refuse_other_python",
    "stop_here",
]

#: The identifiers of what only the minor version of Python that made it can read.
_COMPILED = frozenset({"01", "02"})


@dataclass(slots=True)
class StoredTask:
    """A task as the service keeps it."""

    id: str
    group_id: str
    endpoint_id: str
    function_id: str
    payload: str
    options: CallOptions
    function_name: str
    #: unix time in seconds
    created_at: float
    since: float
    result: Result | None = None
    state: TaskState = TaskState.WAITING_FOR_ENDPOINT

    def end(self, result: Result) -> bool:
        """Whether this is its end: the first is."""
        if self.result is not None:
            return False
        self.result, self.since = result, time.time()
        if result.error is None:
            self.state = TaskState.SUCCESS
        else:
            self.state = TaskState.CANCELLED if result.error.code == "TaskCancelled" else TaskState.FAILED
        return True

    def moved(self, notice: Notice) -> None:
        """Its endpoint says where it is."""
        if (reached := next_state(self.state, TaskState(notice.state))) is not self.state:
            self.state, self.since = reached, notice.at / 1e9

    def document(self) -> TaskDocument:
        """As a client is shown it."""
        end = self.result
        if end is None:
            return TaskDocument(self.id, self.state, since=self.since)
        made = TaskDocument(self.id, self.state, completion_t="1700000000.5", since=self.since)
        if end.details is not None:
            made.details = end.details
        if end.error is None:
            made.result = end.data.decode()
        else:
            made.exception, made.error_code = end.data.decode(), end.error.code
        return made

    def summary(self) -> TaskSummary:
        """As it is listed."""
        return TaskSummary(
            task_id=self.id,
            status=self.state,
            task_group_id=self.group_id,
            endpoint_id=self.endpoint_id,
            function_id=self.function_id,
            function_name=self.function_name,
            created_at=self.created_at,
            since=self.since,
            label=self.options.label,
        )

    def fits(self, *, status: str | None, search: str | None, **ids: str | None) -> bool:
        """Whether it is among what somebody looks for.

        :param ids: attributes, and what they should be
        """
        pending = self.state not in TERMINAL
        return (
            (status is None or status == self.state or (status == "pending" and pending))
            and (search is None or search in self.function_name or search in (self.options.label or ""))
            and all(value is None or getattr(self, name) == value for name, value in ids.items())
        )


#: What an endpoint does with a task: its end, or None: not yet.
Work = Callable[[FunctionRegistration, StoredTask], Result | None]

#: What an endpoint does with the wish to cancel a task, and whether it should if the task has begun: its end; or a
#: notice that says why not; or None: not yet.
Stop = Callable[[StoredTask, bool], Result | Notice | None]


def packed_call(function: FunctionRegistration, task: StoredTask) -> str:
    """Function and arguments as a worker gets them."""
    if function.serialized:
        return function.function_code + task.payload
    source = f"st\n{function.function_name}:{function.function_code}"
    return f"{len(source)}\n{source}{task.payload}"


def call_here(function: FunctionRegistration, task: StoredTask) -> Result:
    """Call the function in this process, as a worker would."""
    serializer = ComputeSerializer()
    try:
        fn, args, kwargs = serializer.unpack_and_deserialize(packed_call(function, task))
        return Result(task.id, serializer.serialize(fn(*args, **kwargs)).encode())
    except Exception as error:  # noqa: BLE001 - a user's function raises what it likes
        from afield.serialize.exceptions import pack_exception

        text = f"{type(error).__name__}: {error}"
        return Result(
            task.id, text.encode(), ErrorDetails("RemoteExecutionError", text), exception=pack_exception(error)
        )


def stop_here(task: StoredTask, running: bool) -> Result | None:  # noqa: FBT001 - as it is called
    """End a task as cancelled, as an endpoint would that can stop what runs."""
    if not running and task.state is TaskState.RUNNING:
        return None
    text = "cancelled before it had a result"
    return Result(task.id, text.encode(), ErrorDetails("TaskCancelled", text))


def refuse_other_python(
    there: str | None, request: SubmitRequest, function_of: Callable[[str], FunctionRegistration]
) -> None:
    """What a service does before it accepts anything.

    :param there: the Python of the endpoint's workers, where it is known
    :param function_of: the function of a key of ``request.tasks``
    :raises Refusal: something compiled would come to a Python that cannot read it
    """
    if there is None or request.user_runtime is None:
        return
    here = ".".join(map(str, request.user_runtime["python"]["version_tuple"]))
    if _minor(here) == _minor(there):
        return
    keys = [key for key in request.tasks if _compiled_elsewhere(function_of(key), there)]
    if keys or request.compiled:
        reason = f"compiled by Python {here}, and the workers run Python {there}"
        raise Refusal(422, "PYTHON_MISMATCH", reason, (there, *keys))


def _compiled_elsewhere(function: FunctionRegistration, there: str) -> bool:
    meta = function.meta or {}
    return meta.get("serde_identifier") in _COMPILED and _minor(str(meta.get("python_version"))) != _minor(there)


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def page_of(ids: list[str], before: str | None, limit: int | None) -> tuple[list[str], str | None]:
    """Some of what was made in this order, the newest first, and where to go on."""
    newest = ids[::-1]
    if before is not None:
        newest = newest[newest.index(before) + 1 :] if before in newest else []
    page = newest[:limit]
    return page, page[-1] if page and len(page) < len(newest) else None


def holds(part: str, *texts: str | None) -> bool:
    """Whether one of the texts has this in it."""
    return any(part in text for text in texts if text is not None)
