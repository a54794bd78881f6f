"""The records that travel through the queues, apart from how they are spelled there.

Payloads are opaque bytes to everybody but the SDK and the worker: neither the service nor the endpoint's agent looks
into them, let alone unpickles them.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

__all__ = ["ErrorDetails", "Nanoseconds", "Report", "Result", "Task", "Transition"]

#: unix time; the bounds are those of every database's integers
Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


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


class Transition(msgspec.Struct, frozen=True):
    """One step of a task, reported by whoever saw it."""

    timestamp: Nanoseconds
    state: str
    actor: str


class ErrorDetails(msgspec.Struct, frozen=True):
    """Why a task failed, in short."""

    code: str  #: ``RemoteExecutionError``, ``MaxResultSizeExceeded``, ``WorkerLost``, …
    user_message: str


class Result(msgspec.Struct, frozen=True):
    """How a task ended. It failed if and only if ``error`` is not None."""

    task_id: str
    #: the serialized value; of a failed task, the traceback as UTF-8 text
    data: bytes
    error: ErrorDetails | None = None
    #: the worker's environment: os, python_version, dill_version, globus_compute_sdk_version, endpoint_id
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
