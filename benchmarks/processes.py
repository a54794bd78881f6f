"""What a system costs the machine, summed over all its processes: the caller's and every one below it."""

from __future__ import annotations

import ctypes
import sys

import psutil

__all__ = ["adopt_orphans", "cpu_seconds", "end_all", "memory_mb", "running"]

MB = 1024 * 1024
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, instead of process 1.

    Some systems start their workers through a shell that ends at once; they would be in nobody's account, and could be
    left running. Only Linux can do this; elsewhere their share is missing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def running() -> frozenset[int]:
    """The ids of all processes below this one."""
    return frozenset(process.pid for process in psutil.Process().children(recursive=True))


def end_all(but: frozenset[int] = frozenset(), grace_s: float = 3.0) -> list[str]:
    """Wait a little for every process below this one to end, then end it; the names of those that had to be ended.

    :param but: the ids of those that are to go on
    """
    doomed = [process for process in psutil.Process().children(recursive=True) if process.pid not in but]
    _, alive = psutil.wait_procs(doomed, timeout=grace_s)
    names = []
    for process in alive:
        try:
            names.append(process.name())
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=10)
    return names


def cpu_seconds() -> float:
    """CPU time used so far by this process and all below it, also by those that have ended and were waited for."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        # Ended children are only in their parent's account, living ones only in their own: nothing counts twice.
        total += times.user + times.system
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def memory_mb() -> tuple[int, float, float | None]:
    """Number, resident size and proportional size (where the system tells) in MB of all processes below this one."""
    count, rss, pss = 0, 0, 0
    known = True
    for process in psutil.Process().children(recursive=True):
        try:
            info = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue
        count += 1
        rss += info.rss
        known = known and hasattr(info, "pss")
        pss += getattr(info, "pss", 0)
    return count, rss / MB, pss / MB if known else None
