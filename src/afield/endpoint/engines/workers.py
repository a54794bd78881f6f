"""One worker process as its engine sees it: started, fed, robbed, ended. Only hands; ``schedule`` decides.

A worker is the leader of a session of its own. So a Ctrl-C in the endpoint's terminal does not reach it, and ending its
process group ends what a task may have left behind. That happens after the worker has ended and *before* it is reaped,
while its number cannot belong to anybody else. ``trees`` finds what left the group.

Each worker holds the reading end of a pipe whose other end is ours. On Linux the kernel kills the worker's process
group when that is closed: so workers, and the programs of their tasks, end with this process, however that ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

import msgspec

from afield.wire.jobs import JOB_VERSION
from afield.worker import trees
from afield.worker.frames import PERMIT, Frames, Hello, header
from afield.worker.sandbox import TASK_ID

__all__ = ["COMMAND", "Listener", "WorkerProcess", "how_it_ended"]

#: How a worker is started; its arguments follow. ``-P``: a file that a task wrote must not pass for a module.
COMMAND: Final = (sys.executable, "-P", "-m", "afield.worker")
#: Buffers that one system call may take (IOV_MAX is 1024 on Linux and macOS).
_BUFFERS_MOST: Final = 512
#: How much of what a worker said before it was ready is told, in bytes.
_TAIL: Final = 2000


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
        self._frames = Frames()
        self._unsent: deque[memoryview] = deque()
        self._ready = False
        self._fault = ""
        self._log = log
        self._socket, theirs = socket.socketpair()
        self._permits, self._permit = os.pipe()
        life, self._life = os.pipe()
        # What it says before it is ready. Kept until then.
        self._birth = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _close or when it is ready
        self._exit: int | None = None
        self._mark = uuid4().hex
        # If the endpoint itself runs in a task, its workers do not run *as* that task.
        environment = {name: value for name, value in environment.items() if name != TASK_ID}
        try:
            self._socket.settimeout(0)
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
            self._close()
            raise
        finally:
            theirs.close()
            os.close(life)
        self.pid = self._process.pid
        self._loop.add_reader(self._socket, self._readable)
        self._watch()

    # what the engine does with it

    def send(self, epoch: int, jobs: Sequence[bytes]) -> None:
        """Hand over encoded jobs, each with a permit. Never blocks; what does not fit now goes out later."""
        os.write(self._permit, PERMIT.pack(epoch) * len(jobs))
        buffers: list[bytes] = []
        for job in jobs:
            buffers += (header(len(job), epoch), job)
        if self._unsent:
            self._unsent.extend(map(memoryview, buffers))
            return
        if sum(map(len, buffers)) < 65536:
            buffers = [b"".join(buffers)]
        self._unsent.extend(map(memoryview, buffers))
        self._flush()
        if self._unsent:
            self._loop.add_writer(self._socket, self._writable)

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
        self._forget_unsent()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def kill(self, task_id: str | None = None) -> None:
        """End it at once, with all that it started. ``worker_gone`` follows.

        :param task_id: the task that it runs, if it runs one
        """
        # Not reaped yet, so the number is still its own.
        if self._exit is None:
            # Looked for before it ends: those below it are nobody's then.
            others = trees.below(self.pid, task_id) if task_id is not None else ()
            _end_group(self.pid)
            trees.end(others)

    def fail(self, why: str, task_id: str | None = None) -> None:
        """It is of no use; end it as :meth:`kill` does, and say why when it is gone."""
        self._fault = why
        self.kill(task_id)

    def clean_up(self, task_id: str) -> None:
        """It is gone; end what is left of the task that it ran."""
        trees.end_marked(self._mark, task_id)

    def read(self) -> None:
        """Tell the listener all that has arrived."""
        # What a worker started may keep the other end open: no waiting here.
        while self._available() and self._read():
            pass

    # what the event loop tells

    def _readable(self) -> None:
        """There is something to read."""
        if not self._read():
            self._loop.remove_reader(self._socket)

    def _read(self) -> bool:
        """Read once. False: there will be nothing more, or nothing that makes sense."""
        try:
            count = self._socket.recv_into(self._frames.space())
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not count:
            return False
        try:
            frames = self._frames.filled(count)
        except ValueError as error:
            self.fail(f"it sent something that is not an answer ({error}): code that it ran wrote into its channel")
            return False
        if frames and not self._ready and not self._welcome(frames.pop(0)[1]):
            return False
        if frames:
            self._listener.worker_answered(self.number, frames)
        return True

    def _welcome(self, body: bytes) -> bool:
        """It says hello."""
        try:
            hello = msgspec.msgpack.decode(body, type=Hello)
        except msgspec.MsgspecError as error:
            self.fail(f"it did not introduce itself as a worker does ({error})")
            return False
        if hello.job_version != JOB_VERSION:
            self.fail(
                f"it reads jobs of version {hello.job_version} and this endpoint sends version {JOB_VERSION}: install "
                "the same version of afield in both environments"
            )
            return False
        self._ready = True
        # Warnings of its start belong where all its output goes.
        self._birth.seek(0)
        with suppress(OSError):
            os.write(self._log, self._birth.read())
        self._birth.close()
        self._listener.worker_ready(self.number)
        return True

    def _writable(self) -> None:
        """There is room again."""
        self._flush()
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def _flush(self) -> None:
        """Send as much as there is room for."""
        unsent = self._unsent
        while unsent:
            try:
                sent = self._socket.sendmsg([unsent[i] for i in range(min(len(unsent), _BUFFERS_MOST))])
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

    def _forget_unsent(self) -> None:
        if self._unsent:
            self._unsent.clear()
            self._loop.remove_writer(self._socket)

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
        self._loop.remove_reader(self._socket)
        self._forget_unsent()
        # Whatever it had sent is in the socket.
        self.read()
        _end_group(self.pid)
        self._exit = self._process.wait()
        permits = self.take_back(1 << 14)
        why = self._fault or how_it_ended(self._exit)
        if not self._ready:
            why += self._last_words()
        self._close()
        self._listener.worker_gone(self.number, permits, why)

    def _available(self) -> bool:
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _last_words(self) -> str:
        """What it said before it was ready, for the end of a sentence."""
        size = self._birth.seek(0, os.SEEK_END)
        self._birth.seek(max(0, size - _TAIL))
        text = self._birth.read().decode(errors="replace").strip()
        return f"; it said:\n{text}" if text else "; it said nothing"

    def _close(self) -> None:
        """Let go of all files."""
        self._socket.close()
        self._birth.close()
        os.close(self._permits)
        os.close(self._permit)
        os.close(self._life)


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
