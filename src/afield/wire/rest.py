"""The bodies of the REST API, defined once and used by SDK, endpoint and service.

Names and shapes are the published ones (reference: wire contract sections 3, 5.1, 7.2 and 8). Fields that we add are
marked so; a client that does not know them ignores them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from afield.wire.commands import ReadQueue, WriteQueue
from afield.wire.messages import CallOptions

__all__ = [
    "AllowedFunctions",
    "BatchStatus",
    "BatchStatusRequest",
    "CancelAnswer",
    "CancelRequest",
    "Cancelled",
    "EndpointDocument",
    "EndpointRegistered",
    "EndpointRegistration",
    "EndpointStatus",
    "EndpointSummary",
    "ErrorBody",
    "FunctionDocument",
    "FunctionList",
    "FunctionRegistered",
    "FunctionRegistration",
    "FunctionSummary",
    "GroupTask",
    "LockResponse",
    "Ready",
    "ResultQueue",
    "SubmitRequest",
    "SubmitResponse",
    "TaskDocument",
    "TaskGroupDocument",
    "TaskList",
    "TaskSummary",
    "VersionInfo",
    "VersionLimits",
]


class FunctionRegistration(msgspec.Struct, omit_defaults=True):
    """POST /v3/functions."""

    function_name: str
    function_code: str
    #: True: ``function_code`` is one packed buffer; False: raw Python source, which the service packs
    serialized: bool = True
    #: python_version, sdk_version, serde_identifier
    meta: dict[str, Any] | None = None
    #: the same, as SDKs before 3.16 call it
    metadata: dict[str, Any] | None = None
    description: str | None = None
    public: bool = False
    group: str | None = None
    ha_endpoint_id: str | None = None


class ResultQueue(msgspec.Struct):
    """GET /v2/get_amqp_result_connection_url: fresh credentials for each connect.

    The queue of a task group is ``queue_prefix`` followed by its id.
    """

    queue_prefix: str
    connection_url: str


class SubmitRequest(msgspec.Struct, omit_defaults=True):
    """POST /v3/endpoints/{id}/submit."""

    #: function id -> packed arguments, one string per task. Ours: a key of ``functions`` may stand for a function id
    tasks: dict[str, list[str]]
    create_queue: bool = False
    task_group_id: str | None = None
    resource_specification: dict[str, Any] | None = None
    user_endpoint_config: dict[str, Any] | None = None
    user_runtime: dict[str, Any] | None = None
    result_serializers: list[str] | None = None
    #: ours: what is asked for each of these tasks
    options: CallOptions | None = None
    #: ours: functions to be registered with this submit; nothing of it happens unless all of it does
    functions: dict[str, FunctionRegistration] | None = None
    #: ours: arguments of these tasks hold compiled code, which only the submitter's minor version of Python can read
    compiled: bool = False


class SubmitResponse(msgspec.Struct, omit_defaults=True):
    """The accepted tasks, per function in the order of the request."""

    request_id: str
    task_group_id: str
    endpoint_id: str
    tasks: dict[str, list[str]]
    #: ours, as all below, for clients that sent the wire header: the ids of the functions that came along
    functions: dict[str, str] = {}
    #: how to reach the results; where ``create_queue`` was asked for
    result_queue: ResultQueue | None = None
    #: the Python of the endpoint's workers, such as ``3.12.1``, where it is known
    python_version: str | None = None
    #: the oldest published SDK that the service takes
    min_sdk_version: str | None = None
    #: bytes of one task's serialized arguments beyond which it is refused
    payload_bytes: int | None = None


class FunctionRegistered(msgspec.Struct):
    """The new function."""

    function_uuid: str


class FunctionDocument(msgspec.Struct):
    """GET /v2/functions/{id}. Published clients hand it to the caller as it is, so every key is there, null or not."""

    function_uuid: str
    function_name: str
    function_code: str
    description: str | None = None
    metadata: dict[str, Any] | None = None
    public: bool = False
    group: str | None = None


class FunctionSummary(msgspec.Struct):
    """Ours: one of the caller's functions, as GET /afield/v1/functions lists them."""

    function_uuid: str
    function_name: str
    description: str | None
    created_at: float  #: unix time in seconds
    public: bool = False
    group: str | None = None


class FunctionList(msgspec.Struct):
    """Ours: GET /afield/v1/functions?search=&before=&limit=, the newest first."""

    functions: list[FunctionSummary]
    #: for ``before``, to get the next ones; None: there are no more
    next: str | None = None


class EndpointRegistration(msgspec.Struct, omit_defaults=True):
    """POST /v3/endpoints and PUT /v3/endpoints/{id}."""

    endpoint_name: str
    #: endpoint_version, python_version, hostname, local_user, endpoint_config, user_config_template,
    #: user_config_schema; ours adds ``afield_wire``, the highest version of the envelope that it reads
    metadata: dict[str, Any] = {}
    display_name: str | None = None
    multi_user: bool = False
    public: bool = False
    high_assurance: bool = False
    allowed_functions: list[str] | None = None
    authentication_policy: str | None = None
    subscription_uuid: str | None = None
    admins: list[str] | None = None


class EndpointRegistered(msgspec.Struct):
    """How the endpoint reaches its queues. The credentials hold for as long as the process may live."""

    endpoint_id: str
    command_queue_info: ReadQueue
    heartbeat_queue_info: WriteQueue
    result_queue_info: WriteQueue
    warnings: list[str] = []


class EndpointSummary(msgspec.Struct):
    """One entry of GET /v2/endpoints."""

    uuid: str
    name: str
    display_name: str | None
    owner: str
    #: ours: the machine it was registered from
    hostname: str | None = None
    #: ours: ``"online"`` or ``"offline"``
    status: str = "offline"


class EndpointDocument(msgspec.Struct):
    """GET /v2/endpoints/{id}. Published clients hand it to the caller as it is, so every key is there, null or not."""

    uuid: str
    name: str
    owner: str
    display_name: str | None = None
    multi_user: bool = False
    high_assurance: bool = False
    public: bool = False
    endpoint_config: Any = None
    user_config_template: str | None = None
    user_config_schema: Any = None
    description: str | None = None
    hostname: str | None = None
    local_user: str | None = None
    ip_address: str | None = None
    endpoint_version: str | None = None
    sdk_version: str | None = None
    python_version: str | None = None
    subscription_uuid: str | None = None
    #: how one must have logged in to run there
    authentication_policy: str | None = None


class EndpointStatus(msgspec.Struct):
    """GET /v2/endpoints/{id}/status."""

    status: str  #: ``"online"`` or ``"offline"``
    #: total_workers, idle_workers, pending_tasks, outstanding_tasks, managers
    details: dict[str, Any]


class AllowedFunctions(msgspec.Struct):
    """GET /v3/endpoints/{id}/allowed_functions."""

    endpoint_id: str
    restricted: bool
    functions: list[str]


class LockResponse(msgspec.Struct):
    """POST /v3/endpoints/{id}/lock."""

    endpoint_id: str
    lock_expiration_timestamp: float


class TaskDocument(msgspec.Struct, omit_defaults=True):
    """GET /v2/tasks/{id}. A key that is absent is not known; none is ever null."""

    task_id: str
    status: str
    #: the serialized value
    result: str | msgspec.UnsetType = msgspec.UNSET
    #: traceback text; always there when the task failed
    exception: str | msgspec.UnsetType = msgspec.UNSET
    #: unix time in seconds, as text; always there when the task ended
    completion_t: str | msgspec.UnsetType = msgspec.UNSET
    #: the worker's environment and ``task_transitions``: state -> unix time in seconds
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET
    #: ours, for clients that sent the wire header: the original exception, serialized and base64
    exception_object: str | msgspec.UnsetType = msgspec.UNSET
    #: ours: the short name of the failure, such as ``WorkerLost``
    error_code: str | msgspec.UnsetType = msgspec.UNSET
    #: ours: since when it is in that state, unix time in seconds
    since: float | msgspec.UnsetType = msgspec.UNSET


class TaskSummary(msgspec.Struct, omit_defaults=True):
    """Ours: one of the caller's tasks, as GET /afield/v1/tasks lists them."""

    task_id: str
    status: str
    task_group_id: str
    endpoint_id: str
    function_id: str
    function_name: str
    created_at: float  #: unix time in seconds, as all below
    #: since when it is in that state
    since: float
    label: str | None = None


class TaskList(msgspec.Struct):
    """Ours: GET /afield/v1/tasks, the newest first.

    Query: ``status`` (a state, or ``pending`` for all that have not ended), ``endpoint_id``, ``function_id``,
    ``task_group_id``, ``search`` (part of the label or of the function's name), ``before`` (a task id), ``limit``.
    """

    tasks: list[TaskSummary]
    #: for ``before``, to get the next ones; None: there are no more
    next: str | None = None


class CancelRequest(msgspec.Struct, omit_defaults=True):
    """Ours: POST /afield/v1/tasks/cancel."""

    task_ids: list[str]
    #: False: only those that have not begun
    running: bool = True


class Cancelled(msgspec.Struct, omit_defaults=True):
    """Ours: what became of the wish to cancel one task."""

    #: a state: ``cancelled`` (confirmed), another terminal one (it had ended), or where it still is: then its endpoint
    #: was asked, and a result or a notice follows
    status: str
    #: why it cannot be cancelled, where that is known already
    reason: str = ""


class CancelAnswer(msgspec.Struct):
    """The answer to it; ids that are unknown or not the caller's have status ``unknown``."""

    results: dict[str, Cancelled]


class BatchStatusRequest(msgspec.Struct):
    """POST /v2/batch_status."""

    task_ids: list[str]


class BatchStatus(msgspec.Struct):
    """The answer to it; ids that are unknown or not the caller's have status ``failed`` and a reason."""

    results: dict[str, TaskDocument]
    response: str = "batch"


class GroupTask(msgspec.Struct):
    """One task of a group."""

    id: str
    created_at: str


class TaskGroupDocument(msgspec.Struct):
    """GET /v2/taskgroup/{id}."""

    taskgroup_id: str
    tasks: list[GroupTask]


class VersionInfo(msgspec.Struct):
    """GET /v2/version?service=all."""

    api: str
    min_sdk_version: str
    min_ep_version: str
    #: an older name of min_ep_version that some fixtures still carry
    min_endpoint_version: str
    #: ours: the version of this service, absent elsewhere
    afield: str | None = None
    #: ours: bytes of one task's serialized arguments, of a function's code and of one request's body, and tasks in one
    #: submit, beyond which it is refused
    limits: VersionLimits | None = None


class VersionLimits(msgspec.Struct):
    """Ours: what a client need not send, for it would be refused."""

    payload_bytes: int
    function_bytes: int
    request_bytes: int
    submit_tasks: int


class Ready(msgspec.Struct):
    """Ours: GET /ready. Where a part is not well, the status is 503, and the body an error that names it."""

    status: str
    #: store, broker, loops -> ``"ok"``
    parts: dict[str, str]


class ErrorBody(msgspec.Struct):
    """Every answer from 400 up."""

    code: str
    http_status_code: int
    detail: str
    reason: str  #: the same as detail; the name is deprecated upstream and still read
    status: str = "Failed"
    error_args: list[Any] = []
    #: how to log in so that the answer may be yes: with ``code``, an authorization-requirements document as published
    authorization_parameters: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
