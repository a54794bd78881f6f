"""The processes of one task, wherever they went, and how they are ended.

A task may start programs that start others. Those that stay in the worker's process group end with it. Three things let
the others be found:

* They are below the worker, as long as every process between lives.
* They have the worker's mark in the environment that they began with (:data:`MARK`); so has a copy of the worker that
  a fork made, since an environment is only written anew when a program is started.
* A program that the task started has the task's id there too. One that has another task's id is left alone: it was
  left behind by an earlier task of this worker that ended well, and may be meant to stay.

A program escapes only if it left the group, its parents ended, and somebody emptied its environment.

Where the endpoint's own process was killed, nobody was left to look for any. Its next life does, by the name of the
user endpoint that all of them have in their environment too (:data:`ENDPOINT`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from afield.worker.sandbox import TASK_ID

if TYPE_CHECKING:
    import psutil  # takes 20 ms to import, and most engines never need it

__all__ = ["ENDPOINT", "MARK", "below", "end", "end_left_behind", "end_marked", "marked"]

#: The variable that a worker and all that comes of it have in their environment.
MARK: Final = "AFIELD_WORKER"
#: Likewise, for all workers of a user endpoint: its directory.
ENDPOINT: Final = "AFIELD_USER_ENDPOINT"
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


def marked(mark: str, task_id: str) -> list[psutil.Process]:
    """What is left of a task whose worker has ended.

    :param mark: the worker's
    """
    return [process for process, environment in _with(MARK, mark) if environment.get(TASK_ID, task_id) == task_id]


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
    _end_all(MARK, mark, lambda environment: environment.get(TASK_ID, task_id) == task_id)


def end_left_behind(endpoint: str, task_ids: Container[str]) -> None:
    """Kill what is left of tasks whose endpoint's process was killed, before it begins any anew.

    :param endpoint: the value of :data:`ENDPOINT`
    :param task_ids: those that were begun and did not end. Others may have left something that is meant to stay; but
        of what is a mere copy of a worker nobody can tell whose it is, so it ends too
    """
    _end_all(ENDPOINT, endpoint, lambda environment: TASK_ID not in environment or environment[TASK_ID] in task_ids)


def _end_all(name: str, value: str, wanted: Callable[[Mapping[str, str]], bool]) -> None:
    """Kill those that have this variable in their environment, and are wanted by the rest of it."""
    seen: set[psutil.Process] = set()
    for _ in range(_LOOKS):
        found = {process for process, environment in _with(name, value) if wanted(environment)} - seen
        if not found:
            return
        end(found)
        seen |= found


def _with(name: str, value: str) -> Iterator[tuple[psutil.Process, Mapping[str, str]]]:
    """The processes that began with this variable, and all that they began with."""
    import psutil

    entry = os.fsencode(f"{name}={value}")
    for pid in psutil.pids():
        try:
            # There may be thousands, and psutil takes several times as long for each.
            if sys.platform == "linux" and entry not in Path(f"/proc/{pid}/environ").read_bytes():
                continue
            process = psutil.Process(pid)  # from now on the number cannot pass to another unnoticed
            environment = process.environ()
        except (psutil.Error, OSError):  # it has ended, or is another user's and could not be ended either
            continue
        if environment.get(name) == value:
            yield process, environment


def _is_foreign(process: psutil.Process, task_id: str) -> bool:
    """Whether it is known to belong to another task."""
    import psutil

    try:
        return bool(process.environ().get(TASK_ID, task_id) != task_id)
    except (psutil.Error, OSError):
        return False  # it has ended, or is another user's and cannot be ended either
