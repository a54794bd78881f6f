"""The processes of one task, wherever they went, and how they are ended.

A task may start programs that start others. Those that stay in the worker's process group end with it. Three things let
the others be found:

* They are below the worker, as long as every process between lives.
* They have the worker's mark in the environment that they began with (:data:`MARK`); so has a copy of the worker that
  a fork made, since an environment is only written anew when a program is started.
* A program that the task started has the task's id there too. One that has another task's id is left alone: it was
  left behind by an earlier task of this worker that ended well, and may be meant to stay.

A program escapes only if it left the group, its parents ended, and somebody emptied its environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from afield.worker.sandbox import TASK_ID

if TYPE_CHECKING:
    import psutil  # takes 20 ms to import, and most engines never need it

__all__ = ["MARK", "below", "end", "end_marked"]

#: The variable that a worker and all that comes of it have in their environment.
MARK: Final = "AFIELD_WORKER"
#: How often to look again, for what was started in the meantime by those that were ended the time before.
_LOOKS: Final = 10


def below(worker: int, task_id: str) -> list[psutil.Process]:
    """What is below a worker that lives and has not been reaped.

    :param worker: its process id
    :param task_id: what it runs
    """
    import psutil

    try:
        found = psutil.Process(worker).children(recursive=True)
    except psutil.Error:
        return []
    return [process for process in found if not _is_foreign(process, task_id)]


def end(processes: Iterable[psutil.Process]) -> None:
    """Kill them, as far as they are still there."""
    import psutil

    for process in processes:
        with suppress(psutil.Error, OSError):
            process.kill()  # which first makes sure that the number has not been given to another


def end_marked(mark: str, task_id: str) -> None:
    """Kill what is left of a task whose worker has ended.

    :param mark: the worker's
    """
    seen: set[psutil.Process] = set()
    for _ in range(_LOOKS):
        found = set(_marked(mark, task_id)) - seen
        if not found:
            return
        end(found)
        seen |= found


def _marked(mark: str, task_id: str) -> Iterator[psutil.Process]:
    import psutil

    for process in _own():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if environment.get(MARK) == mark and environment.get(TASK_ID, task_id) == task_id:
            yield process


def _own() -> Iterator[psutil.Process]:
    """All processes of this user; nobody else's could be ended."""
    import psutil

    user = os.geteuid()
    for pid in psutil.pids():
        try:
            # Most processes of a shared machine are other people's, and this is the quick way to know.
            if sys.platform == "linux" and os.stat(f"/proc/{pid}").st_uid != user:  # noqa: PTH116 - thousands of them
                continue
            yield psutil.Process(pid)
        except (psutil.Error, OSError):
            continue


def _is_foreign(process: psutil.Process, task_id: str) -> bool:
    """Whether it is known to belong to another task."""
    import psutil

    try:
        return bool(process.environ().get(TASK_ID, task_id) != task_id)
    except (psutil.Error, OSError):
        return False  # it has ended, or is another user's and cannot be ended either
