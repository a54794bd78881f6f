"""The one child that a worker of HTEX holds, from bundle to bundle: replaced when it ends, given up when it cannot be
started.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from typing import Final, NoReturn

from afield.worker.child import Child, ChildFault, how_it_ended

__all__ = ["ChildHolder", "NoChild"]

#: Children in a row that end before they are ready, until it is given up.
_TRIES: Final = 3
#: Seconds after which a child that did not say hello is given up: Python on a busy network file system is slow.
_READY_WITHIN_S: Final = 120.0


class NoChild(Exception):  # noqa: N818 - says what there is not
    """None can be started; the message says why, for people."""


class ChildHolder:
    """Has a child, always a ready one."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._directory: str | None = None
        self._epoch = 0

    @property
    def child(self) -> Child:
        """The one there is, after :meth:`have_one`."""
        assert self._child is not None
        return self._child

    def next_epoch(self) -> int:
        """For permits of jobs that must not run on permits of earlier ones."""
        self._epoch += 1
        return self._epoch

    def have_one(self, directory: str | None) -> None:
        """Make sure that there is one and that it runs in this directory, made if it is missing.

        :raises NoChild: there is none
        """
        if self._child is not None and (self._child.has_ended() or directory != self._directory):
            self.end(None)
        tries, why = _TRIES, ""
        while self._child is None and tries:
            tries -= 1
            why = self._start(directory)
        if self._child is None:
            raise NoChild(f"workers on {os.uname().nodename} cannot start the process that runs tasks: {why}")

    def end(self, task_id: str | None) -> int:
        """End it with all that it started, and forget it; its exit code.

        :param task_id: what it runs
        """
        child = self.child
        self._child = None
        if task_id is not None:
            child.end_launchers(task_id)
        child.kill(task_id)
        code = child.reap()
        child.close()
        if task_id is not None:
            child.clean_up(task_id)
        return code

    def leave(self) -> NoReturn:
        """End the child and then this process, at once: so whoever sees this one end knows that nothing is left."""
        child = self._child
        if child is not None:
            child.kill()
            child.reap()
        os._exit(128 + signal.SIGTERM)

    def _start(self, directory: str | None) -> str:
        """Try it once; why not, if there is none."""
        try:
            if directory is not None:
                os.makedirs(directory, exist_ok=True)  # noqa: PTH103 - as in sandbox
            child = Child(log=2, directory=directory, environment=os.environ)
        except OSError as error:
            return str(error)
        self._directory = directory
        self._epoch = 0
        try:
            ended = not _gets_ready(child)
        except ChildFault as error:
            child.kill()
            child.reap()
            why = str(error)
        else:
            if not ended:
                self._child = child
                return ""
            if not child.has_ended():
                why = f"it was not ready {_READY_WITHIN_S:g} s after its start"
                child.kill()
                child.reap()
            else:
                why = how_it_ended(child.reap())
        why += child.last_words()
        with suppress(OSError):
            child.close()
        return why


def _gets_ready(child: Child) -> bool:
    """Wait for its hello; False: it ended, or was too slow."""
    poll = select.poll()
    poll.register(child.socket, select.POLLIN)
    deadline = time.monotonic() + _READY_WITHIN_S
    while not child.ready:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return False
        if child.read() is None:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            return False
    return True
