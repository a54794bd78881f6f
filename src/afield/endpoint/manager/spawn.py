"""The process of a user endpoint, as its manager holds it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from afield.endpoint.agent.orders import Order, Start, Stop, encode_order

__all__ = ["COMMAND", "Child"]

#: How a user endpoint is started.
COMMAND: Final = (sys.executable, "-m", "afield.endpoint.agent")
#: A log that is longer than this is put aside at the next start, in bytes.
_LOG_MOST: Final = 10 * 1024 * 1024
#: How much of the end of a log is told, in characters.
_TAIL: Final = 2000


class Child:
    """A user endpoint's process. What is said to it before it has started is said when it has.

    :param start: what it is told first
    :param log: the file to which it writes
    """

    def __init__(self, start: Start, log: Path) -> None:
        self._start = start
        self._log = log
        self._log_from = 0
        self._process: asyncio.subprocess.Process | None = None
        self._unsaid: list[bytes] = [encode_order(start)]
        self._killed = False

    @property
    def pid(self) -> int | None:
        """Its process id, once it has started."""
        return self._process.pid if self._process else None

    async def run(self, environment: Mapping[str, str], command: Sequence[str] = COMMAND) -> int:
        """Start it, and wait until it has ended; its exit status, negative for the signal that killed it.

        :param environment: all of it
        :raises OSError: it cannot be started
        """
        with self._open_log() as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                self._start.name,  # it is told its name through the pipe; this is for whoever lists processes
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._start.directory,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C in the manager's terminal is for the manager
            )
        unsaid, self._unsaid = self._unsaid, []
        for frame in unsaid:
            self._write(frame)
        if self._killed:
            self.kill()
        try:
            return await self._process.wait()
        except asyncio.CancelledError:
            self.kill()
            await self._process.wait()
            raise
        finally:
            if self._process.stdin is not None:
                self._process.stdin.close()

    def say(self, order: Order) -> None:
        """Tell it something."""
        if self._process is None:
            self._unsaid.append(encode_order(order))
        else:
            self._write(encode_order(order))

    def stop(self, why: str, grace_s: float) -> None:
        """Ask it to end."""
        self.say(Stop(why, grace_s))

    def kill(self) -> None:
        """End it and what it started, now."""
        self._killed = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def tail(self) -> str:
        """The end of what this process wrote, without the remarks of a good day; or why it could not write."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(self._log_from, file.seek(0, os.SEEK_END) - 8 * _TAIL))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        told = [line for line in lines if " INFO " not in line and " DEBUG " not in line]
        if not told and not os.statvfs(self._log.parent).f_bavail:
            return f"the disk of {self._log.parent} is full"
        return "\n".join(told)[-_TAIL:]

    def _write(self, frame: bytes) -> None:
        # Nobody waits until it has read this: frames are few and small, and a child that ended hears nothing.
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(frame)

    def _open_log(self) -> contextlib.AbstractContextManager[int]:
        if self._log.exists() and self._log.stat().st_size > _LOG_MOST:
            self._log.replace(self._log.with_suffix(".log.1"))
        fd = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._log_from = os.fstat(fd).st_size
        return _closing(fd)


@contextlib.contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
