"""PURE: the words for jobs that an engine on Parsl could not finish."""

from __future__ import annotations

from afield.errors import ConfigurationError, NoWorkers, WorkerLost
from afield.wire.jobs import Job

__all__ = [
    "InterchangeGone",
    "cannot_cancel",
    "environment_lacks",
    "interchange_ended",
    "lost",
    "no_workers",
    "refuse",
    "refused_by_worker",
]

_GIB = 1 << 30


class InterchangeGone(Exception):  # noqa: N818 - jobs wait for the next one
    """Parsl's interchange has ended, and nobody was told yet. What was handed to it now has not left."""


def lost(task_id: str, where: str, why: str) -> WorkerLost:
    """Its worker, node or batch job ended under it.

    :param where: such as ``host n3, block 2``; empty: nobody knows
    :param why: what is known of the end
    """
    place = f" ({where})" if where else ""
    return WorkerLost(
        f"Task {task_id} is lost with the worker that had it{place}: {why}. It had begun or was about to, so it was "
        "not run again. Usually the batch job ended, the node failed or its memory ran out."
    )


def interchange_ended(task_id: str, how: str) -> WorkerLost:
    """Parsl's interchange has ended.

    :param how: as a person would say it
    """
    return WorkerLost(
        f"Task {task_id} is lost with the process through which its endpoint reaches workers (Parsl's interchange): "
        f"{how}. The endpoint's log may say why; submit again."
    )


def refused_by_worker(task_id: str, why: str) -> WorkerLost:
    """The workers of this endpoint cannot run it, nor any other.

    :param why: with what mends it
    """
    return WorkerLost(f"Task {task_id} could not run: {why}. This is for the owner of the endpoint to mend.")


def no_workers(task_id: str, why: str) -> NoWorkers:
    """There is no block, and none is asked for.

    :param why: for people
    """
    return NoWorkers(f"Task {task_id} was not begun: {why}")


def environment_lacks(error: BaseException, version: str) -> str:
    """What HTEX's workers lack, and the command that mends it.

    :param error: what they raised when they should have run a bundle
    :param version: of Afield, at the endpoint
    """
    said = f"{type(error).__name__}: {error}"
    name = getattr(error, "name", None) or ""
    if isinstance(error, ImportError) and name.partition(".")[0] not in ("", "afield"):
        return (
            f'in the phase "import": the workers\' Python cannot import {name}, which afield needs ({said}). Install '
            "what is missing where workers run, in their environment or the image of their container, until "
            "`python3 -c 'import afield.worker.bundle'` works there"
        )
    return (
        f"the Python environment of the workers has no afield that knows this endpoint ({said}): run "
        f"`pip install 'afield[parsl]=={version}'` in it"
    )


def cannot_cancel(task_id: str, why: str) -> str:
    """For people: it goes on."""
    return f"task {task_id} cannot be ended: {why}. It goes on to its end"


def refuse(job: Job, *, cores: int, accelerators: int, memory: int) -> None:
    """Refuse what no worker of this endpoint can be given.

    :param cores: of each worker
    :param accelerators: of each worker, 0 or 1
    :param memory: bytes of the largest node, as far as is known
    :raises ConfigurationError: with the reason
    """
    task = f"task {job.task_id} asks for"
    if job.resource_specification:
        raise ConfigurationError(
            f"task {job.task_id} has a resource_specification, and GlobusComputeEngine runs every task in one process: "
            "leave it out, or send the task to an endpoint with an MPI engine"
        )
    if not 1 <= job.cores <= cores:
        raise ConfigurationError(
            f"{task} {job.cores} core{'' if job.cores == 1 else 's'}, and each worker of this endpoint has {cores} "
            f"(engine.cores_per_worker): ask for 1 to {cores}, or use another endpoint"
        )
    if job.gpus > accelerators:
        if accelerators:
            had = "each worker of this endpoint has one"
        else:
            had = "this endpoint has none: its owner sets them with engine.available_accelerators"
        raise ConfigurationError(
            f"{task} {job.gpus} accelerator{'' if job.gpus == 1 else 's'}, and {had}. Ask for at most {accelerators}, "
            "or use another endpoint"
        )
    if job.memory is not None and job.memory > memory:
        raise ConfigurationError(
            f"{task} {job.memory} bytes of memory ({job.memory / _GIB:.1f} GiB), and the nodes of this endpoint have "
            f"{memory} ({memory / _GIB:.1f} GiB): ask for less, or use another endpoint"
        )
