"""Afield runs Python functions far from where they were written.

::

    from afield import Executor

    with Executor() as ex:
        print(ex.submit(pow, 2, 10).result())

The names below are resolved when they are first used: importing this package costs nothing, and a worker never loads
what only clients need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afield.errors import (
        ComputeAPIError,
        ComputeError,
        EndpointLost,
        NoEndpoint,
        ServiceUnreachable,
        TaskExecutionFailed,
        TaskPending,
        WorkerLost,
    )
    from afield.sdk.batch import Batch, UserRuntime
    from afield.sdk.client import Client
    from afield.sdk.executor import Executor
    from afield.sdk.future import ComputeFuture
    from afield.serialize import ComputeSerializer

    __version__: str

__all__ = [
    "Batch",
    "Client",
    "ComputeAPIError",
    "ComputeError",
    "ComputeFuture",
    "ComputeSerializer",
    "EndpointLost",
    "Executor",
    "NoEndpoint",
    "ServiceUnreachable",
    "TaskExecutionFailed",
    "TaskPending",
    "UserRuntime",
    "WorkerLost",
    "__version__",
    "errors",
]

_HOMES = {
    "Batch": "afield.sdk.batch",
    "Client": "afield.sdk.client",
    "ComputeFuture": "afield.sdk.future",
    "ComputeSerializer": "afield.serialize",
    "Executor": "afield.sdk.executor",
    "UserRuntime": "afield.sdk.batch",
} | dict.fromkeys(
    (
        "ComputeAPIError",
        "ComputeError",
        "EndpointLost",
        "NoEndpoint",
        "ServiceUnreachable",
        "TaskExecutionFailed",
        "TaskPending",
        "WorkerLost",
    ),
    "afield.errors",
)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "errors":
        return import_module("afield.errors")
    if name == "__version__":
        from importlib.metadata import version

        return version("afield")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'afield' has no attribute {name!r}")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
