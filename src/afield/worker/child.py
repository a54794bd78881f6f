"""A worker process as its parent sees it, without a word about how the parent waits: started, fed, robbed, ended.

The other end is ``python -m afield.worker``. What permits are for is written in ``afield.endpoint.engines.schedule``.

A worker is the leader of a session of its own, so ending its process group ends what a task may have left behind. That
happens after the worker has ended and *before* it is reaped, while its number cannot belong to anybody else. ``trees``
finds what left the group. Each worker holds the reading end of a pipe whose other end is its parent's: on Linux the
kernel kills the worker's process group when that is closed.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import termios
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final
from uuid import uuid4

import msgspec

from afield.wire.jobs import JOB_VERSION
from afield.worker import trees
from afield.worker.frames import PERMIT, Frames, Hello, header
from afield.worker.launchers import ask_to_end
from afield.worker.sandbox import TASK_ID

__all__ = ["COMMAND", "Child", "ChildFault", "how_it_ended"]

#: How a worker is started; its arguments follow. ``-P``: a file that a task wrote must not pass for a module.
COMMAND: Final = (sys.executable, "-P", "-m", "afield.worker")
#: Buffers that one system call may take (IOV_MAX is 1024 on Linux and macOS).
_BUFFERS_MOST: Final = 512
#: Less than this is copied together before it is sent, in bytes.
_JOINED: Final = 1 << 16
#: How much of what a worker said before it was ready is told, in bytes.
_TAIL: Final = 2000


class ChildFault(Exception):  # noqa: N818 - it is the child's
    """It said what no worker says; the message is for people."""


class Child:
    """One started worker. Nothing in here blocks, except :meth:`reap`.

    :param command: how to start it; the descriptors are added
    :param log: where user code's output goes, a file descriptor
    :param directory: its working directory; None: ours
    :param environment: its whole environment, beside its mark
    :raises OSError: it could not be started
    """

    def __init__(
        self,
        *,
        log: int,
        directory: str | None,
        environment: Mapping[str, str],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._frames = Frames()
        self._unsent: deque[memoryview] = deque()
        self._log = log
        #: it said hello
        self.ready = False
        self._exit: int | None = None
        self._mark = uuid4().hex
        #: its channel; for whoever waits
        self.socket, theirs = socket.socketpair()
        self._permits, self._permit = os.pipe()
        life, self._life = os.pipe()
        # What it says before it is ready. Kept until then.
        self._birth = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close or when it is ready
        # If this process itself runs in a task, its workers do not run *as* that task.
        environment = {name: value for name, value in environment.items() if name != TASK_ID}
        try:
            self.socket.settimeout(0)
            os.set_blocking(self._permits, False)
            os.set_blocking(self._permit, False)
            self._process = subprocess.Popen(
                [*command, *map(str, (theirs.fileno(), self._permits, log, life))],
                stdin=subprocess.DEVNULL,
                stdout=self._birth,
                stderr=self._birth,
                pass_fds=(theirs.fileno(), self._permits, log, life),
                cwd=directory,
                env={**environment, trees.MARK: self._mark},
                start_new_session=True,
            )
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()
            os.close(life)
        self.pid = self._process.pid

    @property
    def unsent(self) -> bool:
        """Something waits for room in the channel: call :meth:`flush` when there is."""
        return bool(self._unsent)

    def send(self, epoch: int, jobs: Sequence[bytes]) -> None:
        """Hand over encoded jobs, each with a permit; what does not fit now waits for :meth:`flush`."""
        os.write(self._permit, PERMIT.pack(epoch) * len(jobs))
        buffers: list[bytes] = []
        for job in jobs:
            buffers += (header(len(job), epoch), job)
        waited = bool(self._unsent)
        if not waited and sum(map(len, buffers)) < _JOINED:
            buffers = [b"".join(buffers)]
        self._unsent.extend(map(memoryview, buffers))
        if not waited:
            self.flush()

    def flush(self) -> None:
        """Send as much as there is room for."""
        unsent = self._unsent
        while unsent:
            try:
                sent = self.socket.sendmsg([unsent[i] for i in range(min(len(unsent), _BUFFERS_MOST))])
            except BlockingIOError:
                return
            except OSError:
                # It has ended; the end of its process tells what that means.
                unsent.clear()
                return
            while unsent and sent >= len(unsent[0]):
                sent -= len(unsent.popleft())
            if sent:
                unsent[0] = unsent[0][sent:]

    def read(self) -> list[tuple[int, bytes]] | None:
        """What has arrived: microseconds and encoded Outcome of its oldest unanswered jobs. None: nothing more comes.

        :raises ChildFault: it makes no sense
        """
        try:
            count = self.socket.recv_into(self._frames.space())
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not count:
            return None
        try:
            frames = self._frames.filled(count)
        except ValueError as error:
            raise ChildFault(
                f"it sent something that is not an answer ({error}): code that it ran wrote into its channel"
            ) from error
        if frames and not self.ready:
            self._welcome(frames.pop(0)[1])
        return frames

    def take_back(self, count: int) -> int:
        """Take up to so many permits back. Returns how many it got."""
        try:
            return len(os.read(self._permits, PERMIT.size * count)) // PERMIT.size
        except BlockingIOError:
            return 0

    def unused(self) -> int:
        """How many permits it has not taken yet, right now."""
        count = fcntl.ioctl(self._permits, termios.FIONREAD, bytes(4))
        return int.from_bytes(count, sys.byteorder) // PERMIT.size

    def finish(self) -> None:
        """Have it end after the job it runs. All permits were taken back before."""
        # Whatever is unsent belongs to recalled jobs: a job that was begun had arrived whole.
        self._unsent.clear()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def has_answers(self) -> bool:
        """Whether :meth:`read` would find something now."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def end_launchers(self, task_id: str) -> None:
        """Have launchers of MPI programs end their ranks, wherever these are, before it is killed or reaped.

        :param task_id: the task that it runs, or ran when it ended
        """
        if self._exit is None:
            look = trees.marked(self._mark, task_id) if self.has_ended() else trees.below(self.pid, task_id)
            ask_to_end(look)

    def kill(self, task_id: str | None = None) -> None:
        """End it at once, with all that it started; then :meth:`reap` it.

        :param task_id: the task that it runs, if it runs one
        """
        if self._exit is None:
            # Looked for before it ends: those below it are nobody's then.
            others = trees.below(self.pid, task_id) if task_id is not None else ()
            _end_group(self.pid)
            trees.end(others)

    def reap(self) -> int:
        """Wait for its end, and end what is left of its group; its exit code as in subprocess."""
        if self._exit is None:
            # Left unreaped until its group is ended, so that nobody else can get its number.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            _end_group(self.pid)
            self._exit = self._process.wait()
        return self._exit

    def has_ended(self) -> bool:
        """Whether its process has ended, reaped or not."""
        if self._exit is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def clean_up(self, task_id: str) -> None:
        """It is gone; end what is left of the task that it ran."""
        trees.end_marked(self._mark, task_id)

    def last_words(self) -> str:
        """What it said before it was ready, for the end of a sentence."""
        if self.ready:
            return ""
        size = self._birth.seek(0, os.SEEK_END)
        self._birth.seek(max(0, size - _TAIL))
        text = self._birth.read().decode(errors="replace").strip()
        return f"; it said:\n{text}" if text else "; it said nothing"

    def close(self) -> None:
        """Let go of all files. It ends, if it has not."""
        self._unsent.clear()
        self.socket.close()
        self._birth.close()
        for descriptor in (self._permits, self._permit, self._life):
            with suppress(OSError):  # closed before
                os.close(descriptor)
        self._permits = self._permit = self._life = -1

    def _welcome(self, body: bytes) -> None:
        """It says hello."""
        try:
            hello = msgspec.msgpack.decode(body, type=Hello)
        except msgspec.MsgspecError as error:
            raise ChildFault(f"it did not introduce itself as a worker does ({error})") from error
        if hello.job_version != JOB_VERSION:
            raise ChildFault(
                f"it reads jobs of version {hello.job_version} and is sent version {JOB_VERSION}: install the same "
                "version of afield in both environments"
            )
        self.ready = True
        # Warnings of its start belong where all its output goes.
        self._birth.seek(0)
        with suppress(OSError):
            os.write(self._log, self._birth.read())
        self._birth.close()


def how_it_ended(exit_code: int) -> str:
    """As a person would say it: ``it was killed by signal SIGKILL (9)``.

    :param exit_code: as in subprocess: negative for a signal
    """
    if exit_code >= 0:
        return f"it ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        return f"it was killed by signal {-exit_code}"
    return f"it was killed by signal {name} ({-exit_code})"


def _end_group(pid: int) -> None:
    """Kill a process group, if there is any of it. macOS answers EPERM when only the dead leader is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
