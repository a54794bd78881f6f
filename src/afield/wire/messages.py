"""The records that travel through the queues, apart from how they are spelled there.

Payloads are opaque bytes to everybody but the SDK and the worker: neither the service nor the endpoint's agent looks
into them, let alone unpickles them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

__all__ = ["STOPPED", "Attempt", "CallOptions", "Cancel", "ErrorDetails", "Nanoseconds", "Notice", "Report", "Result",
           "Task", "Transition"]  # fmt: skip

#: In a report of a failed start: the endpoint will not start this user endpoint again soon. Ours; published services
#: do not look at it.
STOPPED: Final = "afield_stopped"

#: unix time; the bounds are those of every database's integers
Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


#: seconds; more than 30 years means that somebody did not mean it
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class CallOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a submitter asks for beyond the call itself. Ours; only our endpoints know what to do about it."""

    #: how long one attempt may run, in seconds, before it is stopped with all that it started; None: for ever
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None
    #: how often it may be run again when its worker or endpoint was lost, or for what ``retry_on`` says
    retries: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    #: exceptions after which it is run again too, as ``module.qualified name``; a class stands for its subclasses
    retry_on: tuple[str, ...] = ()
    #: seconds before the first repetition; each further one comes after twice as many
    backoff_s: _Seconds = 1.0
    #: among waiting tasks of one endpoint, higher goes first
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    #: processors that it needs; None: one worker's share
    cores: _Count | None = None
    #: bytes that it may use; None: no bound
    memory: Annotated[int, msgspec.Meta(ge=1, le=2**62)] | None = None
    #: accelerators that it needs
    gpus: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    #: for people
    label: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class Task(msgspec.Struct, frozen=True):
    """One call on its way to an endpoint."""

    task_id: str
    function_id: str
    #: the function: one packed buffer, as registered
    code: bytes
    #: the arguments: two packed buffers, a tuple and a dict
    payload: bytes
    #: what the engine should set aside for it; None: whatever one worker has
    resource_specification: dict[str, Any] | None = None
    #: import paths of strategies that the worker tries in order; empty: its default
    result_serializers: tuple[str, ...] = ()
    #: None: nothing was asked for
    options: CallOptions | None = None


class Cancel(msgspec.Struct, frozen=True):
    """Somebody wants a task ended. It comes in a user endpoint's control queue, before or after the task itself."""

    task_id: str
    #: False: only if it has not begun
    running: bool = True


class Notice(msgspec.Struct, frozen=True):
    """Where a task is now: endpoint to service, service to client. May be skipped, late or double."""

    task_id: str
    #: a value of :class:`afield.states.TaskState`
    state: str
    #: since when, unix time
    at: Nanoseconds
    #: 1: the first try
    attempt: int = 1
    #: for people; where somebody asked to cancel the task, and it cannot be, why
    refusal: str = ""


class Attempt(msgspec.Struct, frozen=True):
    """One try of a task that failed and was followed by another."""

    began: Nanoseconds  #: 0: not known
    ended: Nanoseconds  #: likewise
    error: str  #: one line


class Transition(msgspec.Struct, frozen=True):
    """One step of a task, reported by whoever saw it."""

    timestamp: Nanoseconds
    state: str
    actor: str


class ErrorDetails(msgspec.Struct, frozen=True):
    """Why a task failed, in short."""

    #: ``RemoteExecutionError``, ``MaxResultSizeExceeded``, ``WorkerLost``, ``TaskTimeout``, ``TaskCancelled``, …
    code: str
    user_message: str


class Result(msgspec.Struct, frozen=True):
    """How a task ended. It failed if and only if ``error`` is not None."""

    task_id: str
    #: the serialized value; of a failed task, the traceback as UTF-8 text
    data: bytes
    error: ErrorDetails | None = None
    #: the worker's environment: os, python_version, dill_version, globus_compute_sdk_version, endpoint_id; and, where
    #: there were earlier attempts, ``attempts``: a list of the fields of :class:`Attempt`
    details: dict[str, Any] | None = None
    statuses: tuple[Transition, ...] = ()
    #: the original exception, serialized, where it could be; only between our own parts
    exception: bytes | None = None


class Report(msgspec.Struct, frozen=True):
    """A heartbeat, a goodbye or a failure to start, from a core endpoint or a user endpoint."""

    endpoint_id: str
    #: published shape (reference: wire contract section 5.5): ``heartbeat_period`` in seconds with 0 for a goodbye of a
    #: core endpoint, ``active`` of a user endpoint, ``error`` where a start failed, and what the engine says of itself
    state: dict[str, Any]
