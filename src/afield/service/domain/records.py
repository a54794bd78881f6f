"""What the service keeps. Times are unix seconds; ids are canonical text; payloads are opaque bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from afield.states import Actor, TaskState
from afield.wire.messages import CallOptions, ErrorDetails

__all__ = [
    "CancelRecord",
    "Departure",
    "EndpointRecord",
    "FinishedTask",
    "FunctionRecord",
    "HandOver",
    "ListedFunction",
    "ListedTask",
    "SubmitRecord",
    "TakenTask",
    "TaskGroupRecord",
    "TaskMove",
    "TaskOptions",
    "TaskRecord",
    "TaskStep",
    "TaskView",
    "UserEndpointRecord",
    "WaitingTasks",
]


class FunctionRecord(msgspec.Struct, frozen=True):
    """A registered function. It never changes; registering again makes another."""

    id: str
    owner_id: str
    name: str
    #: one packed buffer: ``<length>\\n<strategy id>\\n<payload>``
    code: bytes
    created_at: float
    description: str | None = None
    metadata: dict[str, Any] | None = None
    public: bool = False
    #: the group of people who may run it too
    group_id: str | None = None
    #: the one endpoint, of high assurance, where it may run; None: not bound
    ha_endpoint_id: str | None = None


class ListedFunction(msgspec.Struct, frozen=True):
    """A function as lists show it: without its code, which may be large."""

    id: str
    owner_id: str
    name: str
    created_at: float
    description: str | None = None
    public: bool = False
    group_id: str | None = None


class EndpointRecord(msgspec.Struct, frozen=True):
    """A core endpoint: what a machine's owner started."""

    id: str
    owner_id: str
    name: str
    created_at: float
    display_name: str | None = None
    #: as it registered: hostname, versions, template and schema text, ``afield_wire``
    metadata: dict[str, Any] = {}
    multi_user: bool = False
    public: bool = False
    high_assurance: bool = False
    #: function ids that may run there; None: all
    allowed_functions: list[str] | None = None
    admins: list[str] = []
    #: goes up when its queue credentials are revoked: those of earlier generations no longer log in
    generation: int = 1
    #: when it last registered
    registered_at: float = 0.0
    last_report_at: float = 0.0
    #: seconds, from its last report; 0: it said goodbye
    heartbeat_period: float = 0.0
    locked_until: float = 0.0
    #: how one must have logged in to run there; see :mod:`afield.service.domain.policies`
    authentication_policy: str | None = None
    #: kept as the endpoint says it; nothing depends on it
    subscription_uuid: str | None = None


class UserEndpointRecord(msgspec.Struct, frozen=True):
    """A user endpoint: one process for one identity and one configuration on a core endpoint."""

    id: str
    endpoint_id: str
    identity_id: str
    created_at: float
    user_opts: dict[str, Any] = {}
    user_runtime: dict[str, Any] = {}
    #: highest version of the envelope that it reads
    wire: int = 1
    generation: int = 1
    last_report_at: float = 0.0
    heartbeat_period: float = 0.0
    #: False after its goodbye
    active: bool = False
    #: its last report
    state: dict[str, Any] = {}


class Departure(msgspec.Struct, frozen=True):
    """An endpoint that was deleted, while something of it may be left elsewhere: tasks that wait, queues."""

    #: the endpoint's
    id: str
    name: str
    user_endpoint_ids: tuple[str, ...]
    deleted_at: float


class HandOver(msgspec.Struct, frozen=True):
    """Tasks of one submit that are not known to be in their user endpoint's queue yet.

    Kept where the queues survive the service: there it must be known, and cannot be seen, what is still to be sent.
    """

    user_endpoint_id: str
    task_ids: tuple[str, ...]
    #: when they were accepted
    created_at: float

    @property
    def id(self) -> str:
        """That of the first task."""
        return self.task_ids[0]


class TaskGroupRecord(msgspec.Struct, frozen=True):
    """Tasks that one Executor watches together."""

    id: str
    owner_id: str
    created_at: float
    #: highest version of the envelope that everybody who watches it reads; 0: nobody watches it, they ask instead
    wire: int = 1
    #: True: some of its tasks are of high assurance, so what streams in says only that a result can be asked for
    high_assurance: bool | None = None
    #: seconds for which its tasks are kept from their end on; None: the service's
    retention_s: float | None = None
    #: seconds for which its tasks wait for their endpoint; None: the service's
    waiting_s: float | None = None


class TaskOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a submit said for all its tasks."""

    resource_specification: dict[str, Any] | None = None
    result_serializers: tuple[str, ...] = ()
    #: what was asked for each call; None: nothing
    call: CallOptions | None = None

    @property
    def label(self) -> str | None:
        """What people call these tasks."""
        return None if self.call is None else self.call.label


class TaskRecord(msgspec.Struct, frozen=True):
    """A task as it was accepted, with its payload."""

    id: str
    group_id: str
    owner_id: str
    endpoint_id: str
    user_endpoint_id: str
    function_id: str
    payload: bytes
    created_at: float
    options: TaskOptions = TaskOptions()
    state: TaskState = TaskState.WAITING_FOR_ENDPOINT


class WaitingTasks(msgspec.Struct, frozen=True):
    """How many tasks of a user endpoint are in one state, of those that have not ended."""

    user_endpoint_id: str
    state: TaskState
    count: int
    #: when the oldest of them was accepted, unix time in seconds
    oldest_at: float


class TaskMove(msgspec.Struct, frozen=True):
    """A task that has not ended was seen in another state."""

    id: str
    state: TaskState
    #: since when it is in it
    at: float
    #: who says so: a value of :class:`afield.states.Actor`
    actor: str = Actor.ENDPOINT
    #: 1: the first try
    attempt: int = 1
    #: which process of its user endpoint has taken it for good: what is queued anew when the service starts does not
    #: include it. None: as it was, or, when it waits for its endpoint, none
    life: str | None = None


class TaskStep(msgspec.Struct, frozen=True):
    """A move that was made."""

    state: str
    at: float
    actor: str
    attempt: int = 1
    life: str | None = None


class TakenTask(msgspec.Struct, frozen=True):
    """A task that has not ended, and that a process of its user endpoint has taken for good."""

    id: str
    group_id: str
    user_endpoint_id: str
    #: since when it is where it is
    at: float
    #: which process, as far as is known
    life: str


class FinishedTask(msgspec.Struct, frozen=True):
    """How a task ended."""

    id: str
    state: TaskState
    completed_at: float
    #: serialized value, or traceback text
    data: bytes
    error: ErrorDetails | None = None
    details: dict[str, Any] | None = None
    #: (unix nanoseconds, state, actor)
    transitions: tuple[tuple[int, str, str], ...] = ()
    exception: bytes | None = None


class TaskView(msgspec.Struct, frozen=True):
    """A task as it is now, without its payload; ``finished`` when it has ended."""

    id: str
    group_id: str
    owner_id: str
    endpoint_id: str
    user_endpoint_id: str
    function_id: str
    #: where it is, or how it ended
    state: TaskState
    created_at: float
    finished: FinishedTask | None = None
    #: when it came into that state
    since: float = 0.0
    label: str | None = None


class ListedTask(msgspec.Struct, frozen=True):
    """A task as lists show it."""

    id: str
    state: TaskState
    #: when it came into that state
    since: float
    created_at: float
    group_id: str
    endpoint_id: str
    function_id: str
    #: empty if the function is not known any more
    function_name: str
    label: str | None = None


class CancelRecord(msgspec.Struct, frozen=True):
    """Somebody wants a task ended, and its user endpoint was asked, or will be when it is there."""

    task_id: str
    user_endpoint_id: str
    asked_at: float
    #: False: only if it has not begun
    running: bool = True


class SubmitRecord(msgspec.Struct, frozen=True):
    """An answered submit, kept for a while so that its repetition gets the same answer."""

    #: digest of (identity, endpoint, idempotency key)
    key: bytes
    response: bytes
    created_at: float
