"""The process of a user endpoint, as its manager holds it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from afield.endpoint.agent.orders import Order, Start, Stop, encode_order

__all__ = ["COMMAND", "TAIL_MOST", "Child", "UserProcess", "last_words", "launched", "open_log", "read_tail"]

#: How a user endpoint is started.
COMMAND: Final = (sys.executable, "-m", "afield.endpoint.agent")
#: A log that is longer than this is put aside at the next start, in bytes.
_LOG_MOST: Final = 10 * 1024 * 1024
#: How much of the end of a log is told, in characters.
TAIL_MOST: Final = 2000
#: How much may wait for a process to read it, in bytes. One that reads nothing (it was stopped, say) is told no more.
_UNREAD_MOST: Final = 256 * 1024
#: What a process has said is read within so many seconds of its end.
_LET_GO_S: Final = 1.0


async def launched(command: Sequence[str], **how: Any) -> asyncio.subprocess.Process:
    """A process whose end is its end: ``wait`` returns soon after it, whoever else still holds its pipes.

    asyncio waits for them all before Python 3.12.5. But a task can open those of its user endpoint, and live on.

    :param how: as for :func:`asyncio.create_subprocess_exec`
    :raises OSError: it cannot be started
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(lambda: _LetsGo(2**16, loop), *command, **how)
    return asyncio.subprocess.Process(transport, protocol, loop)


class _LetsGo(asyncio.subprocess.SubprocessStreamProtocol):
    """What asyncio uses; after the process's end it closes what is still open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._whole = transport
        super().connection_made(transport)

    def process_exited(self) -> None:
        super().process_exited()
        asyncio.get_running_loop().call_later(_LET_GO_S, self._let_go)

    def _let_go(self) -> None:
        stdin = self._whole.get_pipe_transport(0)
        # Closing waits until all is written, and nobody may ever read it.
        if isinstance(stdin, asyncio.WriteTransport) and (not stdin.is_closing() or stdin.get_write_buffer_size()):
            stdin.abort()
        self._whole.close()


class UserProcess:
    """A user endpoint's process. What is said to it before it has started is said when it has.

    :param name: of the user endpoint
    :param first: what it is told first
    """

    def __init__(self, name: str, first: bytes) -> None:
        self.name = name
        self._process: asyncio.subprocess.Process | None = None
        self._unsaid: list[bytes] = [first] if first else []
        #: the descriptor by which it tells what happens to its tasks (:mod:`afield.endpoint.manager.audit`)
        self.audit: int | None = None
        #: called when there is a process
        self.started: Callable[[], None] = lambda: None
        self._killed = False

    @property
    def pid(self) -> int | None:
        """Its process id, once it has started."""
        return self._process.pid if self._process else None

    async def run(self, environment: Mapping[str, str], command: Sequence[str]) -> int:
        """Start it, and wait until it has ended; its exit status, negative for the signal that killed it.

        :param environment: all of it
        :param command: how user endpoints are started
        :raises OSError: it cannot be started
        """
        raise NotImplementedError

    async def tail(self) -> str:
        """The end of what this process wrote, without the remarks of a good day; or why it could not write."""
        raise NotImplementedError

    def say(self, order: Order) -> None:
        """Tell it something."""
        if self._open:
            self._write(encode_order(order))
        else:
            self._unsaid.append(encode_order(order))

    def stop(self, why: str, grace_s: float) -> None:
        """Ask it to end."""
        self.say(Stop(why, grace_s))

    def kill(self) -> None:
        """End it and what it started, now."""
        self._killed = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def _open(self) -> bool:
        """Whether orders go out at once."""
        return self._process is not None

    def _write(self, frame: bytes) -> None:
        # Nobody waits until it has read this: frames are few and small, and a child that ended hears nothing.
        pipe = self._process.stdin if self._process is not None else None
        if pipe is None or pipe.is_closing() or pipe.transport.get_write_buffer_size() > _UNREAD_MOST:
            return
        pipe.write(frame)


class Child(UserProcess):
    """A user endpoint's process that runs as the manager does.

    :param start: what it is told first
    :param log: the file to which it writes
    """

    def __init__(self, start: Start, log: Path) -> None:
        super().__init__(start.name, encode_order(start))
        self._directory, self._log, self._log_from = start.directory, log, 0

    async def run(self, environment: Mapping[str, str], command: Sequence[str] = COMMAND) -> int:
        """As :meth:`UserProcess.run`."""
        log, self._log_from = open_log(self._log)
        with _closing(log):
            self._process = await launched(
                # It is told its name through the pipe; this is for whoever lists processes.
                (*command, self.name, *(() if self.audit is None else (str(self.audit),))),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C in the manager's terminal is for the manager
                pass_fds=() if self.audit is None else (self.audit,),
            )
        self.started()
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

    async def tail(self) -> str:
        """As :meth:`UserProcess.tail`."""
        return read_tail(self._log, self._log_from)


def open_log(log: Path) -> tuple[int, int]:
    """The log of a user endpoint, to append to, and how long it is; one that became too long is put aside.

    :raises OSError: it cannot be written
    """
    if log.exists() and log.stat().st_size > _LOG_MOST:
        log.replace(log.with_suffix(".log.1"))
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return fd, os.fstat(fd).st_size


def read_tail(log: Path, start: int) -> str:
    """The end of a log, without the remarks of a good day; or why nobody could write to it.

    :param start: what comes before it, in bytes, is of earlier processes
    """
    try:
        with log.open("rb") as file:
            file.seek(max(start, file.seek(0, os.SEEK_END) - 8 * TAIL_MOST))
            told = last_words(file.read().decode(errors="replace"))
    except OSError:
        return ""
    if not told and not os.statvfs(log.parent).f_bavail:
        return f"the disk of {log.parent} is full"
    return told


def last_words(text: str) -> str:
    """The end of a text, without the remarks of a good day."""
    told = [line for line in text.splitlines() if " INFO " not in line and " DEBUG " not in line]
    return "\n".join(told)[-TAIL_MOST:]


@contextlib.contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
