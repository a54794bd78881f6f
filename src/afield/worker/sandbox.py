"""The surroundings of one task: its id in the environment and, where it is to have one, a directory of its own.

The names of the variables, ``GC_TASK_UUID`` and ``GC_TASK_SANDBOX_DIR``, are the published ones.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from afield.wire.jobs import Job

__all__ = ["TASK_ID", "Surroundings", "make_directory"]

#: The variable with the task's id.
TASK_ID: Final = "GC_TASK_UUID"
_DIRECTORY: Final = "GC_TASK_SANDBOX_DIR"

#: What they are outside of tasks. Looked up once: asking for a variable that is not there takes as long as setting two.
_OUTSIDE: Final = {name: os.environ.get(name) for name in (TASK_ID, _DIRECTORY)}


class Surroundings:
    """While it is open, the task's id is in the environment, and its directory is the working directory.

    Environment and working directory belong to the whole process: this is for a process that runs one task at a time.

    :param job: its ``sandbox`` is made if it is not there, and is not removed: it holds what the task wrote
    :raises OSError: when it opens: the directory cannot be made or entered
    """

    __slots__ = ("_home", "_job")

    def __init__(self, job: Job) -> None:
        self._job = job
        self._home: str | None = None

    def __enter__(self) -> None:
        directory = self._job.sandbox
        if directory is not None:
            make_directory(self._job)
            with suppress(OSError):  # where this process began may be gone
                self._home = os.getcwd()  # noqa: PTH109 - pathlib takes 5 ms to import
            os.chdir(directory)
            os.environ[_DIRECTORY] = directory
        elif _OUTSIDE[_DIRECTORY] is not None:
            os.environ.pop(_DIRECTORY, None)
        os.environ[TASK_ID] = self._job.task_id

    def __exit__(self, *_: object) -> None:
        _restore(TASK_ID)
        if self._job.sandbox is not None or _OUTSIDE[_DIRECTORY] is not None:
            _restore(_DIRECTORY)
        if self._home is not None:
            with suppress(OSError):  # somebody removed it in the meantime
                os.chdir(self._home)


def make_directory(job: Job) -> None:
    """Make the task's directory, if it is to have one.

    :raises OSError: it cannot be made
    """
    if job.sandbox is not None:
        os.makedirs(job.sandbox, exist_ok=True)  # noqa: PTH103 - pathlib takes 5 ms to import


def _restore(name: str) -> None:
    value = _OUTSIDE[name]
    if value is None:
        with suppress(KeyError):  # the task may have removed it
            del os.environ[name]
    else:
        os.environ[name] = value
