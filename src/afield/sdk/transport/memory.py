"""A service in memory, for tests: it keeps the promises that clients rely on, and can be told to break down.

Tasks are stored; the same key accepts a submit once; functions may ride in it; results and notices go to the group's
queue of a broker in memory, and can be asked for afterwards. What an endpoint would do is a function that is handed in.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from afield.broker.base import Properties, Publication, QueueSpec
from afield.broker.memory import MemoryBroker
from afield.errors import ComputeAPIError
from afield.ids import new_id, new_ids
from afield.sdk.transport.kept import (
    Stop,
    StoredTask,
    Work,
    call_here,
    holds,
    packed_call,
    page_of,
    refuse_other_python,
    stop_here,
)
from afield.states import TERMINAL, TaskState
from afield.wire import v1, v2
from afield.wire.commands import ReadQueue, WriteQueue
from afield.wire.messages import CallOptions, Notice, Result
from afield.wire.rest import (
    AllowedFunctions,
    BatchStatus,
    CancelAnswer,
    Cancelled,
    CancelRequest,
    EndpointDocument,
    EndpointRegistered,
    EndpointRegistration,
    EndpointStatus,
    EndpointSummary,
    FunctionDocument,
    FunctionList,
    FunctionRegistered,
    FunctionRegistration,
    FunctionSummary,
    GroupTask,
    LockResponse,
    ResultQueue,
    SubmitRequest,
    SubmitResponse,
    TaskDocument,
    TaskGroupDocument,
    TaskList,
    VersionInfo,
)

__all__ = ["MemoryService", "StoredTask", "call_here", "packed_call", "stop_here"]

T = TypeVar("T")

_PREFIX = "somebody."


@dataclass
class MemoryService:
    """A :class:`~afield.sdk.transport.base.Transport` and all that is behind it.

    :param work: what endpoints do; by default they call the function, here and now
    """

    broker: MemoryBroker = field(default_factory=MemoryBroker)
    work: Work = field(default_factory=lambda: call_here)
    #: what endpoints do with wishes to cancel
    stop: Stop = field(default_factory=lambda: stop_here)
    #: the Python of endpoints' workers, by endpoint id; where there is none, it is not known
    pythons: dict[str, str] = field(default_factory=dict)
    #: which version of the envelope results come in
    wire: int = 2
    min_sdk_version: str = "4.0.0"
    #: as a service says it of itself, of the arguments of one task
    payload_bytes: int | None = None
    url: str = "memory://service"
    #: for each method, what the next calls raise before anything happens
    troubles: dict[str, deque[Exception]] = field(default_factory=lambda: defaultdict(deque))
    #: what the next submits raise after they were accepted: the answer is lost
    losses: deque[Exception] = field(default_factory=deque)
    #: awaited at the beginning of each request, with the method's name
    pause: Callable[[str], Awaitable[None]] | None = None
    #: awaited after a submit was accepted and before it is answered
    pause_answer: Callable[[], Awaitable[None]] | None = None
    #: the names of all requests, in order
    requests: list[str] = field(default_factory=list)
    #: every submit that was accepted
    submits: list[SubmitRequest] = field(default_factory=list)
    #: every wish to cancel that was answered
    cancels: list[CancelRequest] = field(default_factory=list)
    tasks_by_id: dict[str, StoredTask] = field(default_factory=dict)
    functions: dict[str, FunctionRegistration] = field(default_factory=dict)
    registered: dict[str, EndpointSummary] = field(default_factory=dict)
    #: results are not streamed: they are there to be asked for
    high_assurance: bool = False
    #: what answers about people: method and path -> the answer for a body
    people: dict[tuple[str, str], Callable[[object], object]] = field(default_factory=dict)
    closed: bool = False
    _answers: dict[str, SubmitResponse] = field(default_factory=dict)
    _groups: set[str] = field(default_factory=set)

    async def finish(self, *results: Result) -> None:
        """End tasks: keep the results, and put them into their groups' queues."""
        by_group: dict[str, list[Result]] = {}
        for result in results:
            task = self.tasks_by_id[result.task_id]
            if task.end(result):
                by_group.setdefault(task.group_id, []).append(result)
        for group_id, ended in by_group.items():
            if self.high_assurance:  # they are there to be asked for
                ended = [Result(each.task_id, b"") for each in ended]  # noqa: PLW2901
            bodies = [v2.encode_results(ended)] if self.wire > 1 else [v1.encode_result(each) for each in ended]
            for body in bodies:
                await self.publish(group_id, body, {v1.HIGH_ASSURANCE: True} if self.high_assurance else {})

    async def notice(self, *notices: Notice) -> None:
        """Say where tasks are: keep it, and pass it on to their groups' queues."""
        by_group: dict[str, list[Notice]] = {}
        for notice in notices:
            task = self.tasks_by_id[notice.task_id]
            task.moved(notice)
            by_group.setdefault(task.group_id, []).append(notice)
        for group_id, told in by_group.items():
            await self.publish(group_id, v2.encode_notices(told))

    async def publish(self, group_id: str, body: bytes, headers: Mapping[str, object] | None = None) -> None:
        """Put a message into a group's queue."""
        connection = await self.broker.connect("memory://service")
        properties = Properties(headers or {}, timestamp=1_700_000_000)
        await connection.publish(Publication("", _PREFIX + group_id, body, properties))
        await connection.close()

    # -- Transport ---------------------------------------------------------------------------------------------------

    async def version(self) -> VersionInfo:
        """What the service is and which clients it takes."""
        await self._begin("version")
        return VersionInfo("4.0.0", self.min_sdk_version, "4.0.0", "4.0.0", "memory")

    async def submit(self, endpoint_id: str, request: SubmitRequest, key: str) -> SubmitResponse:
        """Accept tasks; ``key`` names this submit."""
        await self._begin("submit")
        answer = self._answers.get(key)
        if answer is None:
            answer = await self._accept(endpoint_id, request)
            self._answers[key] = answer
        if self.pause_answer is not None:
            await self.pause_answer()
        if self.losses:
            raise self.losses.popleft()
        # Fresh each time, as credentials are: never part of what is kept under the key.
        queue = _queue() if request.create_queue else None
        return msgspec.structs.replace(answer, result_queue=queue)

    async def cancel(self, request: CancelRequest) -> CancelAnswer:
        """Ask that tasks are ended."""
        await self._begin("cancel")
        self.cancels.append(request)
        return CancelAnswer({task_id: await self._cancel(task_id, request.running) for task_id in request.task_ids})

    async def list_tasks(
        self,
        *,
        status: str | None = None,
        endpoint_id: str | None = None,
        function_id: str | None = None,
        task_group_id: str | None = None,
        search: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> TaskList:
        """The caller's tasks, the newest first."""
        await self._begin("list_tasks")
        ids = {"endpoint_id": endpoint_id, "function_id": function_id, "group_id": task_group_id}
        found = [task for task in self.tasks_by_id.values() if task.fits(status=status, search=search, **ids)]
        page, more = page_of([task.id for task in found], before, limit)
        return TaskList([self.tasks_by_id[task_id].summary() for task_id in page], more)

    async def task(self, task_id: str) -> TaskDocument:
        """One task."""
        await self._begin("task")
        if task_id not in self.tasks_by_id:
            raise ComputeAPIError(404, "TASK_NOT_FOUND", f"there is no task {task_id}")
        return self._document(task_id)

    async def tasks(self, task_ids: Sequence[str]) -> BatchStatus:
        """Several tasks."""
        await self._begin("tasks")
        return BatchStatus({task_id: self._document(task_id) for task_id in task_ids})

    async def task_group(self, group_id: str) -> TaskGroupDocument:
        """The tasks of a group."""
        await self._begin("task_group")
        if group_id not in self._groups:
            raise ComputeAPIError(404, "TASK_GROUP_NOT_FOUND", f"there is no task group {group_id}")
        found = [GroupTask(task.id, "") for task in self.tasks_by_id.values() if task.group_id == group_id]
        return TaskGroupDocument(group_id, found)

    async def result_queue(self, group_id: str | None = None) -> ResultQueue:
        """Fresh credentials for the result stream."""
        await self._begin("result_queue")
        if group_id is not None and group_id not in self._groups:
            raise ComputeAPIError(404, "TASK_GROUP_NOT_FOUND", f"there is no task group {group_id}")
        return _queue()

    async def register_function(self, registration: FunctionRegistration) -> FunctionRegistered:
        """Make a function."""
        await self._begin("register_function")
        function_id = new_id()
        self.functions[function_id] = registration
        return FunctionRegistered(function_id)

    async def function(self, function_id: str) -> FunctionDocument:
        """One function."""
        await self._begin("function")
        found = self._function(function_id)
        return FunctionDocument(
            function_id, found.function_name, found.function_code, found.description, found.meta, found.public
        )

    async def list_functions(
        self, *, search: str | None = None, before: str | None = None, limit: int | None = None
    ) -> FunctionList:
        """The caller's functions, the newest first."""
        await self._begin("list_functions")
        fit = [
            key
            for key, found in self.functions.items()
            if not search or holds(search, found.function_name, found.description)
        ]
        page, more = page_of(fit, before, limit)
        listed = [(key, self.functions[key]) for key in page]
        return FunctionList(
            [
                FunctionSummary(key, found.function_name, found.description, 1_700_000_000.0, found.public)
                for key, found in listed
            ],
            more,
        )

    async def delete_function(self, function_id: str) -> dict[str, Any]:
        """Remove it."""
        await self._begin("delete_function")
        self._function(function_id)
        del self.functions[function_id]
        return {"result": 302}

    async def register_endpoint(
        self, registration: EndpointRegistration, endpoint_id: str | None
    ) -> EndpointRegistered:
        """Make an endpoint, or change the one with this id."""
        await self._begin("register_endpoint")
        found = endpoint_id or new_id()
        hostname = registration.metadata.get("hostname")
        self.registered[found] = EndpointSummary(
            found, registration.endpoint_name, registration.display_name, "somebody", hostname
        )
        publish = {"exchange": "results", "routing_key": f"{found}.results", "mandatory": True}
        write = WriteQueue("memory://endpoint", "results", "results", publish)
        read = ReadQueue("memory://endpoint", "commands", f"{found}.commands")
        return EndpointRegistered(found, read, write, write)

    async def endpoints(self, role: str | None, search: str | None = None) -> list[EndpointSummary]:
        """Those that the caller owns, or may use."""
        await self._begin("endpoints")
        del role
        found = self.registered.values()
        return [each for each in found if not search or holds(search, each.name, each.display_name, each.hostname)]

    async def endpoint(self, endpoint_id: str) -> EndpointDocument:
        """One endpoint."""
        await self._begin("endpoint")
        found = self._endpoint(endpoint_id)
        return EndpointDocument(endpoint_id, found.name, found.owner, found.display_name, hostname=found.hostname)

    async def endpoint_status(self, endpoint_id: str) -> EndpointStatus:
        """Whether it is online, and what it is doing."""
        await self._begin("endpoint_status")
        return EndpointStatus(self._endpoint(endpoint_id).status, {})

    async def allowed_functions(self, endpoint_id: str) -> AllowedFunctions:
        """Which functions may run there."""
        await self._begin("allowed_functions")
        self._endpoint(endpoint_id)
        return AllowedFunctions(endpoint_id, restricted=False, functions=[])

    async def lock_endpoint(self, endpoint_id: str) -> LockResponse:
        """Drop its connections, and keep it out for a while."""
        await self._begin("lock_endpoint")
        self._endpoint(endpoint_id)
        return LockResponse(endpoint_id, 1_700_000_000.0)

    async def delete_endpoint(self, endpoint_id: str) -> dict[str, Any]:
        """Remove it."""
        await self._begin("delete_endpoint")
        self._endpoint(endpoint_id)
        del self.registered[endpoint_id]
        return {"result": 302}

    async def ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        """What is asked rarely, and is all ours: as :attr:`people` answers."""
        await self._begin("ask")
        answer = self.people.get((method, path))
        if answer is None:
            raise ComputeAPIError(404, "ROUTE_NOT_FOUND", f"Nothing here answers {method} {path}.")
        return msgspec.convert(msgspec.to_builtins(answer(body)), kind)

    async def close(self) -> None:
        """Let go of connections. Closing twice is fine."""
        self.closed = True

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _begin(self, name: str) -> None:
        self.requests.append(name)
        if self.pause is not None:
            await self.pause(name)
        if self.troubles[name]:
            raise self.troubles[name].popleft()

    async def _accept(self, endpoint_id: str, request: SubmitRequest) -> SubmitResponse:
        riding = request.functions or {}
        refuse_other_python(self.pythons.get(endpoint_id), request, lambda key: riding.get(key) or self._function(key))
        for function_id in request.tasks:
            if function_id not in riding:
                self._function(function_id)
        made = {key: new_id() for key in riding}
        self.functions |= {made[key]: registration for key, registration in riding.items()}
        group_id = request.task_group_id or new_id()
        self._groups.add(group_id)
        await self.broker.declare_queue(QueueSpec(_PREFIX + group_id))
        self.submits.append(request)
        ids = {key: new_ids(len(payloads)) for key, payloads in request.tasks.items()}
        options, now = request.options or CallOptions(), time.time()
        tasks = []
        for key, payloads in request.tasks.items():
            function_id = made.get(key, key)
            name = self.functions[function_id].function_name
            tasks += [
                StoredTask(task_id, group_id, endpoint_id, function_id, payload, options, name, now, now)
                for task_id, payload in zip(ids[key], payloads, strict=True)
            ]
        self.tasks_by_id |= {task.id: task for task in tasks}
        await self.finish(*(end for task in tasks if (end := self.work(self.functions[task.function_id], task))))
        return SubmitResponse(
            new_id(),
            group_id,
            endpoint_id,
            ids,
            functions=made,
            python_version=self.pythons.get(endpoint_id),
            min_sdk_version=self.min_sdk_version,
            payload_bytes=self.payload_bytes,
        )

    async def _cancel(self, task_id: str, running: bool) -> Cancelled:  # noqa: FBT001 - as it travels
        task = self.tasks_by_id.get(task_id)
        if task is None:
            return Cancelled("unknown")
        if task.state not in TERMINAL:
            said = self.stop(task, running)
            if isinstance(said, Result):
                await self.finish(said)
            elif said is not None:
                await self.notice(said)
        return Cancelled(task.state)

    def _document(self, task_id: str) -> TaskDocument:
        task = self.tasks_by_id.get(task_id)
        if task is None:
            return TaskDocument(task_id, TaskState.FAILED, reason=f"unknown task id {task_id}")
        return task.document()

    def _function(self, function_id: str) -> FunctionRegistration:
        found = self.functions.get(function_id)
        if found is None:
            raise ComputeAPIError(404, "FUNCTION_NOT_FOUND", f"there is no function {function_id}")
        return found

    def _endpoint(self, endpoint_id: str) -> EndpointSummary:
        found = self.registered.get(endpoint_id)
        if found is None:
            raise ComputeAPIError(404, "ENDPOINT_NOT_FOUND", f"there is no endpoint {endpoint_id}")
        return found


def _queue() -> ResultQueue:
    return ResultQueue(_PREFIX, "memory://client:secret@service")
