"""One worker process in an event loop: what it says is told, what it is told waits for nobody. ``schedule`` decides.

How a worker is started, fed, robbed and ended: :mod:`afield.worker.child`. It leads a session of its own, so a
Ctrl-C in the endpoint's terminal does not reach it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from afield.worker.child import COMMAND, Child, ChildFault, how_it_ended

__all__ = ["COMMAND", "Listener", "WorkerProcess", "how_it_ended"]


class Listener(Protocol):
    """Whom a worker tells. All are called by the event loop."""

    def worker_ready(self, number: int) -> None:
        """It said hello."""

    def worker_answered(self, number: int, answers: Sequence[tuple[int, bytes]]) -> None:
        """Microseconds and encoded Outcome of its oldest unanswered jobs, in order."""

    def worker_gone(self, number: int, permits: int, why: str) -> None:
        """Its process has ended; everything that it had said was told before.

        :param permits: how many it left unused
        :param why: how it ended and what it said, for people
        """


class WorkerProcess:
    """One started worker.

    :param number: its name among the workers of this engine
    :param command: how to start it; the descriptors are added
    :param log: where user code's output goes, a file descriptor
    :param directory: its working directory; None: ours
    :param environment: its whole environment, beside its mark
    :raises OSError: it could not be started
    """

    def __init__(
        self,
        number: int,
        listener: Listener,
        *,
        command: Sequence[str],
        log: int,
        directory: Path | None,
        environment: Mapping[str, str],
    ) -> None:
        self.number = number
        #: its place among those that live, from 0
        self.rank = 0
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._fault = ""
        self._writing = False
        where = None if directory is None else str(directory)
        self._child = Child(log=log, directory=where, environment=environment, command=command)
        self.pid = self._child.pid
        self.take_back = self._child.take_back
        self.unused = self._child.unused
        self.clean_up = self._child.clean_up
        self._loop.add_reader(self._child.socket, self._readable)
        self._watch()

    # what the engine does with it

    def send(self, epoch: int, jobs: Sequence[bytes]) -> None:
        """Hand over encoded jobs, each with a permit. Never blocks; what does not fit now goes out later."""
        self._child.send(epoch, jobs)
        if self._child.unsent and not self._writing:
            self._writing = True
            self._loop.add_writer(self._child.socket, self._writable)

    def finish(self) -> None:
        """Have it end after the job it runs. All permits were taken back before."""
        self._child.finish()
        self._stop_writing()

    def kill(self, task_id: str | None = None) -> None:
        """End it at once, with all that it started. ``worker_gone`` follows.

        :param task_id: the task that it runs, if it runs one
        """
        self._child.kill(task_id)

    def fail(self, why: str, task_id: str | None = None) -> None:
        """It is of no use; end it as :meth:`kill` does, and say why when it is gone."""
        self._fault = why
        self.kill(task_id)

    def read(self) -> None:
        """Tell the listener all that has arrived."""
        # What a worker started may keep the other end open: no waiting here.
        while self._child.has_answers() and self._read():
            pass

    # what the event loop tells

    def _readable(self) -> None:
        """There is something to read."""
        if not self._read():
            self._loop.remove_reader(self._child.socket)

    def _read(self) -> bool:
        """Read once. False: there will be nothing more, or nothing that makes sense."""
        new = not self._child.ready
        try:
            frames = self._child.read()
        except ChildFault as error:
            self.fail(str(error))
            return False
        if frames is None:
            return False
        if new and self._child.ready:
            self._listener.worker_ready(self.number)
        if frames:
            self._listener.worker_answered(self.number, frames)
        return True

    def _writable(self) -> None:
        """There is room again."""
        self._child.flush()
        if not self._child.unsent:
            self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._child.socket)

    def _watch(self) -> None:
        """Have ``_ended`` called when the process ends."""
        if sys.platform == "linux":
            self._pidfd = os.pidfd_open(self.pid)
            self._loop.add_reader(self._pidfd, self._ended)
        else:
            threading.Thread(target=self._wait, name=f"afield-worker-{self.number}", daemon=True).start()

    def _wait(self) -> None:
        """Where a process is no file: wait for its end, without reaping it."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with suppress(RuntimeError):  # the loop may be closed
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        """Its process has ended."""
        if sys.platform == "linux":
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        self._loop.remove_reader(self._child.socket)
        self._stop_writing()
        # Whatever it had sent is in the socket.
        self.read()
        exit_code = self._child.reap()
        permits = self.take_back(1 << 14)
        why = (self._fault or how_it_ended(exit_code)) + self._child.last_words()
        self._child.close()
        self._listener.worker_gone(self.number, permits, why)
