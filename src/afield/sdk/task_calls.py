"""The part of ``Client`` that is about tasks: sending them, and what became of them."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from afield.errors import ComputeAPIError, SerdeError, TaskPending, VersionMismatch
from afield.ids import new_id, parse_id
from afield.sdk.batch import Batch, UserRuntime
from afield.sdk.checks import said, text
from afield.sdk.older import also, deprecated
from afield.sdk.outcome import Arrived
from afield.sdk.pages import paged
from afield.serialize import ComputeSerializer
from afield.states import TaskState
from afield.wire.rest import CancelRequest, SubmitRequest, TaskDocument, TaskGroupDocument

if TYPE_CHECKING:
    from afield.sdk.session import Session
    from afield.serialize.selection import Strategylike

__all__ = ["TaskCalls", "TaskIds"]

UUIDlike = uuid.UUID | str

#: What ``status=`` may be, beside the states.
_PENDING: Final = "pending"


class TaskIds(list[str]):
    """The answer to the older form of ``batch_run``: a list of task ids, in the order in which the calls were added.

    What the present form answers can be read from it too: ``answer["tasks"]``.

    :param ids: of the tasks
    :param answers: one for each endpoint
    """

    def __init__(self, ids: Iterable[str], answers: list[dict[str, Any]]) -> None:
        super().__init__(ids)
        self.answers = answers

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key == "tasks":
            functions = {function for answer in self.answers for function in answer[key]}
            return {function: [i for a in self.answers for i in a[key].get(function, ())] for function in functions}
        if len({str(answer[key]) for answer in self.answers}) > 1:
            raise KeyError(f"{key}: this batch went to several endpoints; see .answers")
        return self.answers[0][key]


def _run_older(client: TaskCalls, *given: Any, **named: Any) -> Any:
    """``batch_run(batch)``, which takes the endpoints from the calls."""
    if len(given) == 1 and not named and isinstance(given[0], Batch):
        batch = given[0]
    elif not given and named.keys() == {"batch"}:
        batch = named["batch"]
    else:
        return NotImplemented
    deprecated("batch_run(batch) is from an older generation: write batch_run(endpoint_id, batch) now", 2)
    return client._run_by_endpoint(batch)  # noqa: SLF001 - part of that class


class TaskCalls(ABC):
    """What a service can be asked about tasks."""

    #: how arguments become bytes, and results come back
    serializer: ComputeSerializer
    _group_id: str

    @abstractmethod
    def session(self) -> Session:
        """Where to ask."""

    # -- sending -----------------------------------------------------------------------------------------------------

    @property
    def session_task_group_id(self) -> str:
        """The group of this client's tasks, for ``Executor.reload_tasks``."""
        return self._group_id

    def create_batch(
        self,
        task_group_id: UUIDlike | None = None,
        resource_specification: dict[str, Any] | None = None,
        user_endpoint_config: dict[str, Any] | None = None,
        create_websocket_queue: bool = False,  # noqa: FBT001, FBT002 - as published
        result_serializers: list[Strategylike] | list[str] | None = None,
    ) -> Batch:
        """An empty batch, to be filled and given to :meth:`batch_run`; see :class:`~afield.sdk.batch.Batch`.

        :param task_group_id: None: :attr:`session_task_group_id`
        :param create_websocket_queue: whether results should be streamed, too
        """
        return Batch(
            task_group_id or self._group_id,
            resource_specification,
            user_endpoint_config,
            request_queue=create_websocket_queue,
            serializer=self.serializer,
            user_runtime=UserRuntime.here(),
            result_serializers=result_serializers,
        )

    @also(_run_older)
    def batch_run(self, endpoint_id: UUIDlike, batch: Batch) -> dict[str, Any]:
        """Send a batch.

        :return: ``tasks`` (function id -> task ids, in the order of the batch), ``task_group_id``, ``endpoint_id``,
            ``request_id``
        :raises ValueError: the batch is empty, or holds calls for another endpoint
        :raises VersionMismatch: the workers there have a Python that cannot read these functions
        """
        endpoint = parse_id(endpoint_id, "endpoint")
        _check(batch)
        others = {call.endpoint_id for call in batch.calls} - {None, endpoint}
        if others:
            raise ValueError(
                f"the batch holds calls for {', '.join(sorted(map(str, others)))}, and should go to {endpoint}: make "
                "a batch for each endpoint"
            )
        request, key = SubmitRequest(**batch.prepare()), new_id()
        try:
            answer = self.session().call(lambda service: service.submit(endpoint, request, key))
        except ComputeAPIError as refused:
            if refused.code != "PYTHON_MISMATCH":
                raise
            raise VersionMismatch(
                f"{refused.reason}. Register source instead: Client.register_source_code, or "
                "Client(code_serialization_strategy=AllCodeStrategies())"
            ) from refused
        return {name: getattr(answer, name) for name in ("request_id", "task_group_id", "endpoint_id", "tasks")}

    def run(self, *args: Any, endpoint_id: UUIDlike, function_id: UUIDlike, **kwargs: Any) -> str:
        """Send one call.

        :return: the task's id
        """
        batch = self.create_batch()
        batch.put(function_id, args, kwargs, None)
        answer = self.batch_run(endpoint_id, batch)
        ids: list[str] = next(iter(answer["tasks"].values()))
        return ids[0]

    def cancel_tasks(self, task_ids: Iterable[UUIDlike], running: bool = True) -> dict[str, dict[str, str]]:  # noqa: FBT001, FBT002
        """Ask that tasks are ended, wherever they are.

        :param task_ids: as for :meth:`get_batch_result`
        :param running: also those that have begun; their processes are stopped
        :return: for each id ``status``: ``"cancelled"``, or another end that it had before, or where it still is; then
            its endpoint was asked, and :meth:`get_task` will tell. ``reason``: why it cannot be cancelled, if that is
            known. Of a task that is not yours, the status is ``"unknown"``
        """
        ids = _ids_of(task_ids)
        if not ids:
            return {}
        answer = self.session().call(lambda service: service.cancel(CancelRequest(ids, running=running)))
        return {
            task_id: {"status": found.status} | ({"reason": found.reason} if found.reason else {})
            for task_id, found in answer.results.items()
        }

    # -- what became of them -----------------------------------------------------------------------------------------

    def list_tasks(
        self,
        status: str | None = None,
        *,
        endpoint_id: UUIDlike | None = None,
        function_id: UUIDlike | None = None,
        task_group_id: UUIDlike | None = None,
        search: str | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Your tasks, the newest first. The service is asked as far as you iterate.

        :param status: a state, such as ``"running"`` (:class:`~afield.states.TaskState`), or ``"pending"`` for all that
            have not ended
        :param search: part of the label, or of the function's name
        :param limit: how many at most; None: all
        :return: for each ``task_id``, ``status``, ``since`` and ``created_at`` (unix time in seconds),
            ``task_group_id``, ``endpoint_id``, ``function_id``, ``function_name``, ``label``
        :raises ValueError: there is no such status, or ``limit`` is less than 1
        :raises InvalidId: one of the ids is none
        """
        states = {_PENDING, *TaskState} - {TaskState.UNSENT}
        if status is not None and status not in states:
            raise ValueError(f"status should be one of {', '.join(sorted(states))}, not {status!r}")
        if search is not None:
            text("search", search)
        endpoint = None if endpoint_id is None else parse_id(endpoint_id, "endpoint")
        function = None if function_id is None else parse_id(function_id, "function")
        group = None if task_group_id is None else parse_id(task_group_id, "task group")

        def page(before: str | None, most: int) -> tuple[list[Any], str | None]:
            answer = self.session().call(
                lambda service: service.list_tasks(
                    status=status,
                    endpoint_id=endpoint,
                    function_id=function,
                    task_group_id=group,
                    search=search,
                    before=before,
                    limit=most,
                )
            )
            return answer.tasks, answer.next

        return paged(page, limit)

    def get_task(self, task_id: UUIDlike) -> dict[str, Any]:
        """How a task stands.

        :return: ``task_id``, ``pending``, ``status``; ``details`` where there are any; when it ended ``completion_t``
            (unix time in seconds, as text), and ``result``, or ``exception`` (an exception) with ``reason`` (its text)
        :raises ComputeAPIError: there is no such task, or it is not yours
        """
        return self._state(self._task(task_id))

    def get_result(self, task_id: UUIDlike) -> Any:
        """What a task returned.

        :raises TaskPending: it has not ended
        :raises TaskExecutionFailed: it failed
        """
        document = self._task(task_id)
        arrived = Arrived.from_document(document)
        if arrived is None:
            raise TaskPending(document.status)
        arrived.serializer = self.serializer
        value, error = arrived.open()
        if error is not None:
            raise error
        return value

    def get_batch_result(self, task_id_list: Iterable[UUIDlike] | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """How several tasks stand, failed ones among them.

        :param task_id_list: ids, or what :meth:`batch_run` answered
        :return: for each id what :meth:`get_task` says; of one that the service does not know, or that is not yours,
            ``status`` is ``"unknown"`` with a ``reason``
        """
        ids = _ids_of(task_id_list)
        if not ids:
            return {}
        answer = self.session().call(lambda service: service.tasks(ids))
        nothing = TaskDocument("", TaskState.FAILED)
        return {task_id: self._state(answer.results.get(task_id, nothing), task_id) for task_id in ids}

    def get_task_group(self, task_group_id: UUIDlike) -> TaskGroupDocument:
        """The tasks of a group."""
        found = parse_id(task_group_id, "task group")
        return self.session().call(lambda service: service.task_group(found))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _run_by_endpoint(self, batch: Batch) -> TaskIds:
        _check(batch)
        endpoints = list(dict.fromkeys(call.endpoint_id for call in batch.calls))
        if None in endpoints:
            raise ValueError("the batch does not say where to run: write batch_run(endpoint_id, batch)")
        answers: dict[str | None, dict[str, Any]] = {}
        for endpoint in endpoints:
            assert endpoint is not None
            try:
                answers[endpoint] = self.batch_run(endpoint, batch.sent_to(endpoint))
            except Exception as error:
                accepted = [i for answer in answers.values() for ids in answer["tasks"].values() for i in ids]
                if accepted:
                    error.add_note(f"accepted for other endpoints before that: {', '.join(accepted)}")
                raise
        waiting = {
            (endpoint, function): iter(ids)
            for endpoint, answer in answers.items()
            for function, ids in answer["tasks"].items()
        }
        ids = [next(waiting[call.endpoint_id, call.function_id]) for call in batch.calls]
        return TaskIds(ids, list(answers.values()))

    def _task(self, task_id: UUIDlike) -> TaskDocument:
        found = parse_id(task_id, "task")
        return self.session().call(lambda service: service.task(found))

    def _state(self, document: TaskDocument, task_id: str | None = None) -> dict[str, Any]:
        state: dict[str, Any] = {"task_id": task_id or document.task_id}
        if _is_unknown(document):
            reason = document.reason if isinstance(document.reason, str) else "the service knows no such task"
            return state | {"pending": False, "status": "unknown", "reason": reason}
        arrived = Arrived.from_document(document)
        state |= {"pending": arrived is None, "status": document.status}
        if isinstance(document.details, dict):
            state["details"] = document.details
        if arrived is None:
            return state
        arrived.serializer = self.serializer
        state["completion_t"] = arrived.completion_t
        value, error = arrived.open()
        if error is None:
            return state | {"result": value}
        reason = str(error) if isinstance(error, SerdeError) else arrived.data.decode(errors="replace")
        return state | {"exception": error, "reason": reason}


def _check(batch: Any) -> None:
    if not isinstance(batch, Batch):
        raise TypeError(f"batch should be what create_batch() gave, and is a {type(batch).__name__}")
    if not batch:
        raise ValueError("the batch is empty: add calls with batch.add(function_id, args, kwargs)")


def _ids_of(given: Any) -> list[str]:
    """Task ids of a list of them, or of an answer of ``batch_run``."""
    if isinstance(given, str | uuid.UUID):
        raise TypeError(f"task ids should come in a list, and {given} is one alone: write [task_id]")
    if isinstance(given, Mapping):
        if not isinstance(given.get("tasks"), Mapping):
            raise TypeError(f"task ids should come in a list, or in an answer of batch_run; this has {list(given)}")
        given = [task_id for ids in given["tasks"].values() for task_id in ids]
    if not isinstance(given, Iterable):
        raise TypeError(f"task ids should come in a list, and this is {said(given)}")
    return [parse_id(task_id, "task") for task_id in given]


def _is_unknown(document: TaskDocument) -> bool:
    """Whether the service knows of no such task: one that failed has an end and a traceback (wire contract 7.2)."""
    return (
        document.status == TaskState.FAILED
        and document.exception is msgspec.UNSET
        and document.completion_t is msgspec.UNSET
    )
