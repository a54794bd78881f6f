"""What a user endpoint says of its tasks for the audit log: a line each time that one comes into another state.

The log is the manager's: a user endpoint runs as the user whose tasks it runs, who must not be able to write to it. So
the lines go through a pipe, and the manager adds what it knows itself: the time, whose process said so, and its number.

=============  =====================================================================
state          when
=============  =====================================================================
``RECEIVED``   the task is here
``EXEC_START`` it goes to the engine; from now on it may run
``RUNNING``    a worker began it; told when it has ended, with ``at``
``EXEC_END``   it has ended: how, where, and what it used
=============  =====================================================================

These are the published names, as are ``fid`` and ``tid`` (function and task), ``bid`` and ``jid`` (the engine's block,
and the batch system's job).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from afield.wire.messages import Result, Task

__all__ = ["Audit"]

#: What a worker's environment says of where it is -> as it stands in a line.
_PLACE: Final = {"hostname": "host", "worker_pid": "wpid", "cpu_s": "cpu_s", "peak_memory": "mem"}


class Audit:
    """Writes lines into a pipe, and never waits for its reader.

    :param descriptor: the writing end; it is ours from now on
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the os module's signature
        self._pipe = descriptor
        self._unwritten = b""
        # task id -> function id, of tasks that are with the engine or on their way there
        self._functions: dict[str, str] = {}
        self._watching = False

    def received(self, tasks: Iterable[Task]) -> None:
        """Tasks came."""
        tasks = list(tasks)
        self._functions.update((task.task_id, task.function_id) for task in tasks)
        self._say(_line("RECEIVED", task.function_id, task.task_id) for task in tasks)

    def handed(self, tasks: Iterable[Task]) -> None:
        """Tasks go to the engine."""
        tasks = list(tasks)
        self._functions.update((task.task_id, task.function_id) for task in tasks)
        self._say(_line("EXEC_START", task.function_id, task.task_id) for task in tasks)

    def ended(self, results: Iterable[Result]) -> None:
        """Tasks have ended, one way or another. Of those whose end was told before, nothing is."""
        lines: list[str] = []
        for result in results:
            function = self._functions.pop(result.task_id, None)
            if function is None:
                continue
            details = result.details or {}
            job = {"bid": details.get("block_id", "-"), "jid": details.get("job_id", "-")}
            if result.statuses:
                at = datetime.fromtimestamp(result.statuses[0].timestamp / 1e9, UTC).isoformat()
                lines.append(_line("RUNNING", function, result.task_id, **job, at=at))
            used = {word: details[name] for name, word in _PLACE.items() if name in details}
            outcome = result.error.code if result.error is not None else "ok"
            lines.append(_line("EXEC_END", function, result.task_id, **job, outcome=outcome, **used))
        self._say(lines)

    def close(self) -> None:
        """Write what is left, waiting for the reader if need be, and let go."""
        if self._pipe < 0:
            return
        self._unwatch()
        os.set_blocking(self._pipe, True)
        with suppress(OSError):  # the manager is gone
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._pipe, self._unwritten) :]
        os.close(self._pipe)
        self._pipe = -1

    def _say(self, lines: Iterable[str]) -> None:
        if self._pipe >= 0 and (text := "".join(f"{line}\n" for line in lines)):
            self._unwritten += text.encode()
            self._write()

    def _write(self) -> None:
        try:
            self._unwritten = self._unwritten[os.write(self._pipe, self._unwritten) :]
        except BlockingIOError:
            pass
        except OSError:  # the manager is gone, and so are we, soon
            self._unwritten = b""
        if not self._unwritten:
            self._unwatch()
        elif not self._watching:
            self._watching = True
            asyncio.get_running_loop().add_writer(self._pipe, self._write)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            asyncio.get_running_loop().remove_writer(self._pipe)


def _line(state: str, function: str, task: str, **more: Any) -> str:
    words: Mapping[str, Any] = {"fid": function, "tid": task, "bid": "-", "jid": "-", **more}
    return " ".join([state, *(f"{name}={_word(value)}" for name, value in words.items())])


def _word(value: object) -> str:
    """One word, whatever it is."""
    return "".join(letter if letter.isprintable() and not letter.isspace() else "_" for letter in str(value)) or "-"
