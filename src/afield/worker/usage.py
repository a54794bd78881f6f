"""What a task used of its machine: processor time and memory, for its record.

Processor time is that of the worker and of the programs that it started and that ended, over the time of the task.

Memory is the highest resident size of the worker while the task ran, or that of the largest program which it started,
if that was more than any before. The kernel keeps the highest size of a process for its whole life; so after a task
that raised it, it is set back (``/proc/self/clear_refs``, Linux 4.0 on). To read it takes some 20 us, which is much for
the shortest tasks: of these the last known size is told, for they had no time to make it much larger. Where there is no
such file, what the process had at most so far is told.
"""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from time import perf_counter
from typing import Final, NamedTuple

__all__ = ["Meter", "Used"]

#: Tasks that run for less than this, in seconds, are not asked for their memory.
_SHORT_S: Final = 0.002
#: So much more than before is worth setting back, in bytes.
_MUCH: Final = 1 << 20
#: In what ``ru_maxrss`` counts.
_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class Used(NamedTuple):
    """What a task used.

    :param cpu_us: processor time, in microseconds
    :param memory: bytes
    """

    cpu_us: int
    memory: int


class Meter:
    """Measures the tasks of a process that runs one at a time."""

    __slots__ = ("_began", "_children", "_cpu", "_highest")

    def __init__(self) -> None:
        self._highest = _highest()
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self._began = 0.0
        self._cpu = 0.0

    def start(self) -> None:
        """A task begins."""
        self._began = perf_counter()
        self._cpu = _cpu(resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))

    def stop(self) -> Used:
        """The task is over; what it used."""
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        memory = self._highest
        if perf_counter() - self._began >= _SHORT_S:
            memory = _highest()
            if memory > self._highest + _MUCH:
                _set_back()
                self._highest = _highest()
            else:
                self._highest = memory
        if children.ru_maxrss > self._children:
            self._children = children.ru_maxrss
            memory = max(memory, children.ru_maxrss * _UNIT)
        return Used(max(0, round((_cpu(own, children) - self._cpu) * 1e6)), memory)


def _cpu(own: resource.struct_rusage, children: resource.struct_rusage) -> float:
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _highest() -> int:
    """The highest resident size of this process, in bytes."""
    try:
        descriptor = os.open("/proc/self/status", os.O_RDONLY)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
    try:
        text = os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
    _, found, rest = text.partition(b"VmHWM:")
    return int(rest.split(None, 1)[0]) * 1024 if found else 0


def _set_back() -> None:
    with suppress(OSError), open("/proc/self/clear_refs", "wb") as file:  # noqa: PTH123 - pathlib takes 5 ms to import
        file.write(b"5")
