"""PURE: the words for jobs that an engine could not finish."""

from __future__ import annotations

from afield.endpoint.engines.base import Died, NeverBegun
from afield.errors import TaskCancelled, TaskTimeout, WorkerLost

__all__ = [
    "cancelled",
    "died_under_it",
    "ended_its_worker",
    "never_begun",
    "no_worker",
    "ran_too_long",
    "stopped_under_it",
]


def cancelled(task_id: str) -> TaskCancelled:
    """Somebody wanted it so."""
    return TaskCancelled(f"task {task_id} was cancelled")


def ran_too_long(task_id: str, limit_s: float, *, by_endpoint: bool) -> TaskTimeout:
    """Its time was over.

    :param by_endpoint: the owner of the endpoint set the limit, not who submitted the task
    """
    whose = "this endpoint allows (its owner set GC_TASK_TIMEOUT)" if by_endpoint else "its timeout allows"
    return TaskTimeout(
        f"Task {task_id} ran for longer than the {limit_s:g} s that {whose}, and was stopped with every process that "
        "it had started."
    )


def died_under_it(task_id: str, pid: int, why: str, host: str | None = None) -> Died:
    """The worker died while it ran this job.

    :param why: how, as ``it was killed by signal SIGKILL (9)``
    :param host: where it ran, as far as that is known
    """
    facts = {"worker_pid": pid, "exit_reason": why} | ({} if host is None else {"hostname": host})
    return Died(
        f"Task {task_id} is lost with the worker process that ran it (pid {pid}): {why}. {_hint(why)}"
        "The endpoint started another worker, and no other task was harmed.",
        facts,
    )


def ended_its_worker(task_id: str, error: BaseException) -> WorkerLost:
    """The task raised what is meant to end a worker, and the worker is a thread."""
    return WorkerLost(f"Task {task_id} raised {type(error).__name__}, which ends the worker that runs it.")


def stopped_under_it(task_id: str, why: str) -> WorkerLost:
    """The engine was stopped, and the job did not end in time."""
    return WorkerLost(f"Task {task_id} was running when its endpoint was stopped: {why}.")


def never_begun(task_id: str) -> NeverBegun:
    """The engine was stopped before it began this job."""
    return NeverBegun(f"Task {task_id} had not begun when its endpoint was stopped.")


def no_worker(task_id: str, why: str) -> WorkerLost:
    """Workers cannot be started.

    :param why: what became of the last one
    """
    return WorkerLost(
        f"Task {task_id} could not run: the worker processes of this endpoint end before they can take a task. This is "
        f"for the owner of the endpoint to mend; it tries again with later tasks. Of the last worker: {why}"
    )


def _hint(why: str) -> str:
    """What people usually find to be the cause."""
    if "SIGKILL" in why:
        return "Usually it used more memory than the machine or its batch job had. "
    if any(name in why for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL")):
        return (
            "Usually this is a fault in compiled code that the function uses; the endpoint's log may show where. A "
            "function or data that was pickled by another minor version of Python can cause it too: compare this "
            "endpoint's with that of the program that submitted the task. "
        )
    if "SIGFPE" in why:
        return "Usually this is a fault in compiled code that the function uses; the endpoint's log may show where. "
    if "exit code" in why:
        return "Usually the function, or a library that it uses, ended the process, as with os._exit. "
    return ""
