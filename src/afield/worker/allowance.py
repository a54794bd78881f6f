"""What one task was given beside its worker: processors, memory, accelerators, nodes, for as long as it runs.

All but memory are words in the environment, which libraries read when they are loaded. Memory is a limit that the
kernel keeps: an allocation beyond it fails, which Python tells as MemoryError. Programs that the task starts inherit
all of it, each with the whole limit for itself.

All of it belongs to the whole process: this is for a process that runs one task at a time.
"""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from types import TracebackType
from typing import Final

from afield.wire.jobs import Job

__all__ = ["PROCESSORS", "Allowance"]

#: The variable with the numbers of all processors of an engine that binds its workers to some of them.
PROCESSORS: Final = "AFIELD_ENGINE_PROCESSORS"

#: What the libraries of NVIDIA, AMD and Intel look at.
_DEVICES: Final = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
_CORES: Final = ("AFIELD_TASK_CORES", "OMP_NUM_THREADS")
_MIB: Final = 1 << 20


class Allowance:
    """While it is open, the task has what it was given, and no more memory than that."""

    __slots__ = ("_before", "_bound", "_cores", "_limit", "_memory", "_words")

    def __init__(self, job: Job) -> None:
        self._words: dict[str, str] = {}
        if job.cores > 1:
            self._words |= dict.fromkeys(_CORES, str(job.cores))
        if job.gpus:
            names = job.accelerators
            self._words |= dict.fromkeys(_DEVICES, ",".join(names))
        self._words |= job.environment or {}
        self._memory = job.memory
        self._cores = job.cores
        self._bound: set[int] | None = None
        self._before: dict[str, str | None] = {}
        self._limit: tuple[int, int] | None = None

    @staticmethod
    def is_needed(job: Job) -> bool:
        """Whether this job was given anything."""
        return job.memory is not None or job.cores > 1 or job.gpus > 0 or job.environment is not None

    def __enter__(self) -> None:
        for name, word in self._words.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = word
        if self._cores > 1 and PROCESSORS in os.environ:
            # It was given the shares of other workers, which are idle; nobody says which processors those have.
            self._bound = os.sched_getaffinity(0)
            os.sched_setaffinity(0, set(map(int, os.environ[PROCESSORS].split(","))))
        if self._memory is not None:
            self._limit = _limit_memory(self._memory)

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, self._limit)
        if self._bound is not None:
            os.sched_setaffinity(0, self._bound)
        for name, word in self._before.items():
            if word is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = word
        if self._limit is not None and isinstance(error, MemoryError):
            _explain(error, self._memory or 0)


def _limit_memory(amount: int) -> tuple[int, int] | None:
    """Let this process have so many bytes more than it has. Returns the limit that was; None: there is no such thing.

    It counts what can be written and is the process's own. So what earlier tasks left behind is not held against this
    one, nor is what is only reserved, as the libraries of accelerators do by the terabyte.
    """
    if sys.platform != "linux":  # macOS knows the limit and does not keep it
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - pathlib takes 5 ms to import
            pages = int(file.read().split()[5])
    except OSError:
        return None
    limit = amount + pages * resource.getpagesize()
    highest = min((bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY), default=limit)
    with suppress(OverflowError):  # more than the kernel can count is no limit
        resource.setrlimit(resource.RLIMIT_DATA, (min(limit, highest), hard))
    return soft, hard


def _explain(error: MemoryError, memory: int) -> None:
    text = (
        f"the task needed more memory than the {memory / _MIB:.1f} MiB ({memory} bytes) that its memory option allows; "
        "raise that, or have the task need less at a time"
    )
    if error.args:
        error.add_note(f"({text[0].upper()}{text[1:]}.)")
    else:
        error.args = (text,)
