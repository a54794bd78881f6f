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
        DependencyFailed,
        EndpointLost,
        NoEndpoint,
        NoWorkers,
        ServiceUnreachable,
        TaskCancelled,
        TaskExecutionFailed,
        TaskPending,
        TaskTimeout,
        VersionMismatch,
        WorkerLost,
    )
    from afield.sdk.batch import Batch, UserRuntime
    from afield.sdk.client import Client
    from afield.sdk.executor import Executor
    from afield.sdk.future import ComputeFuture
    from afield.sdk.progress import progress
    from afield.serialize import ComputeSerializer
    from afield.shell import MPIFunction, ShellFunction, ShellResult
    from afield.states import TaskState

    __version__: str

__all__ = [
    "Batch",
    "Client",
    "ComputeAPIError",
    "ComputeError",
    "ComputeFuture",
    "ComputeSerializer",
    "DependencyFailed",
    "EndpointLost",
    "Executor",
    "MPIFunction",
    "NoEndpoint",
    "NoWorkers",
    "ServiceUnreachable",
    "ShellFunction",
    "ShellResult",
    "TaskCancelled",
    "TaskExecutionFailed",
    "TaskPending",
    "TaskState",
    "TaskTimeout",
    "UserRuntime",
    "VersionMismatch",
    "WorkerLost",
    "__version__",
    "errors",
    "progress",
]

_HOMES = {
    name: home
    for home, names in {
        "afield.errors": (
            "ComputeAPIError",
            "ComputeError",
            "DependencyFailed",
            "EndpointLost",
            "NoEndpoint",
            "NoWorkers",
            "ServiceUnreachable",
            "TaskCancelled",
            "TaskExecutionFailed",
            "TaskPending",
            "TaskTimeout",
            "VersionMismatch",
            "WorkerLost",
        ),
        "afield.sdk.batch": ("Batch", "UserRuntime"),
        "afield.sdk.client": ("Client",),
        "afield.sdk.executor": ("Executor",),
        "afield.sdk.future": ("ComputeFuture",),
        "afield.sdk.progress": ("progress",),
        "afield.serialize": ("ComputeSerializer",),
        "afield.shell": ("MPIFunction", "ShellFunction", "ShellResult"),
        "afield.states": ("TaskState",),
    }.items()
    for name in names
}


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
