"""PURE: what a job needs of its engine, and what no engine of this kind and size can give."""

from __future__ import annotations

from typing import Final

from afield.endpoint.engines.line import Needs
from afield.errors import ConfigurationError
from afield.wire.jobs import Job
from afield.worker.frames import BODY_MOST

__all__ = ["needs_of", "refuse_in_executor", "refuse_in_process", "refuse_in_thread"]

_GIB: Final = 1 << 30


def needs_of(job: Job, *, workers: int, accelerators: int, memory: int) -> Needs | None:
    """What a job needs beside one worker; None: nothing.

    :param workers: how many the engine has, idle or not
    :param accelerators: likewise
    :param memory: bytes of this machine
    :raises ConfigurationError: it asks for more than there ever is; the message says what there is
    """
    if not 1 <= job.cores <= workers:
        raise ConfigurationError(
            f"task {job.task_id} asks for {_count(job.cores, 'core')}, and this endpoint has "
            f"{_count(workers, 'worker')}, each with the share of one: ask for 1 to {workers}, or use a larger endpoint"
        )
    if not 0 <= job.gpus <= accelerators:
        if accelerators:
            had = f"{_count(accelerators, 'accelerator')}: ask for at most {accelerators}"
        else:
            had = "none: its owner sets them with engine.available_accelerators. Leave it out"
        raise ConfigurationError(
            f"task {job.task_id} asks for {_count(job.gpus, 'accelerator')}, and this endpoint has {had}, or use "
            "another endpoint"
        )
    if job.memory is not None and job.memory > memory:
        raise ConfigurationError(
            f"task {job.task_id} asks for {job.memory} bytes of memory ({job.memory / _GIB:.1f} GiB), and the machine "
            f"of this endpoint has {memory} ({memory / _GIB:.1f} GiB): ask for less, or use another endpoint"
        )
    return Needs(job.cores, job.gpus) if job.cores > 1 or job.gpus else None


def refuse_in_process(job: Job, size: int) -> None:
    """Refuse what one process cannot be given.

    :param size: of its code and arguments, in bytes
    :raises ConfigurationError: with the reason
    """
    if job.resource_specification:
        raise _refusal_of_specification(job, "ProcessPoolEngine runs every task in one process on one machine")
    if size >= BODY_MOST:
        raise ConfigurationError(f"task {job.task_id} is {size} bytes long, more than a worker can take")


def refuse_in_thread(job: Job) -> None:
    """Refuse what a thread cannot be given.

    :raises ConfigurationError: with the reason
    """
    if job.resource_specification:
        raise _refusal_of_specification(job, "ThreadPoolEngine runs every task in one thread")
    _refuse_options(
        job,
        "tasks in threads (ThreadPoolEngine)",
        timeout="a timeout, and a thread cannot be ended from outside",
        memory="a memory limit, and threads share the memory of one process",
        gpus="accelerators, and which ones a process may see cannot differ between its threads",
        cores=f"{job.cores} cores, and threads share the processors of one process",
    )


def refuse_in_executor(job: Job, executor: str) -> None:
    """Refuse what ``concurrent.futures.Executor`` has no words for.

    :param executor: its name
    :raises ConfigurationError: with the reason
    """
    if job.resource_specification:
        raise _refusal_of_specification(job, f"the executor {executor} runs every task in one of its workers")
    _refuse_options(
        job,
        f"tasks in an executor of another make ({executor})",
        timeout="a timeout, and an executor of this kind cannot stop what it runs",
        memory="a memory limit, and an executor of this kind knows none",
        gpus="accelerators, and an executor of this kind does not say which ones",
        cores=f"{job.cores} cores, and an executor of this kind gives one worker to each task",
    )


def _refuse_options(job: Job, where: str, *, timeout: str, memory: str, gpus: str, cores: str) -> None:
    for asked, why in (
        (job.timeout_s is not None, timeout),
        (job.memory is not None, memory),
        (job.gpus > 0, gpus),
        (job.cores > 1, cores),
    ):
        if asked:
            raise ConfigurationError(
                f"task {job.task_id} asks for {why}. This endpoint runs {where}: leave it out, or use an endpoint with "
                "ProcessPoolEngine"
            )


def _refusal_of_specification(job: Job, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"task {job.task_id} has a resource_specification, and {why}: leave it out, or send the task to an endpoint "
        "with an MPI engine"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
