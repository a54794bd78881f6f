"""What this machine offers to an engine."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from afield.errors import ConfigurationError

__all__ = ["bind", "memory", "numbers_of_processors", "open_log", "prepare", "processors", "time_limit"]


def processors() -> int:
    """How many processors this process may use; a batch system or a container may allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def numbers_of_processors() -> list[int]:
    """Their numbers, in order.

    :raises ConfigurationError: this system does not tell, nor bind anybody to them
    """
    if not hasattr(os, "sched_getaffinity"):
        raise ConfigurationError(
            f"engine.cpu_affinity binds workers to processors, which {sys.platform} does not offer: leave it out"
        )
    return sorted(os.sched_getaffinity(0))


def bind(pid: int, numbers: frozenset[int]) -> None:
    """Have a process run on these processors only; one that has ended does not mind."""
    if numbers:
        with suppress(ProcessLookupError):
            os.sched_setaffinity(pid, numbers)


def memory() -> int:
    """How many bytes this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def time_limit(text: str) -> float | None:
    """The longest that any task may run, in seconds, from the value of ``GC_TASK_TIMEOUT``; None: for ever.

    As published, nothing and 0 mean that there is no limit.

    :raises ConfigurationError: it is no number of seconds
    """
    try:
        seconds = float(text or 0)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigurationError(
            f"GC_TASK_TIMEOUT is {text!r} in the environment of the endpoint: it should be a number of seconds, or not "
            "be there"
        )
    return seconds or None


def prepare(directory: Path | None) -> None:
    """Make the directory in which tasks run.

    :param directory: None: they run where this process does
    :raises ConfigurationError: it cannot be made
    """
    if directory is not None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(error) from error


def open_log(path: Path | None) -> int:
    """Where the output of user code goes: a file, or if there is none, the stderr of this process.

    :returns: its descriptor
    :raises ConfigurationError: the file cannot be opened
    """
    if path is not None:
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise _unusable(error) from error
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _unusable(error: OSError) -> ConfigurationError:
    return ConfigurationError(f"the engine cannot use {error.filename}: {error.strerror}")
