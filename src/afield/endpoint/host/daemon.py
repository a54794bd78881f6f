"""An endpoint that outlives the terminal.

It is started as a process in a session of its own, with its words going to a file, and one end of a pipe. When it is
ready it says so through the pipe; if it ends before that, the pipe closes, and the end of the file tells why.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from afield.errors import ComputeError

__all__ = ["PATIENCE_S", "READY_FD_VARIABLE", "EndedEarly", "say_ready", "start_detached"]

#: How long whoever starts one waits until it is ready, in seconds: a person sits there.
PATIENCE_S: Final = 30.0

#: How long one that is not wanted any more may take to end in good order, in seconds.
_END_WITHIN_S: Final = 20.0

#: The environment variable with the number of the pipe's descriptor.
READY_FD_VARIABLE: Final = "AFIELD_READY_FD"


class EndedEarly(ComputeError):  # noqa: N818 - says what it is
    """It ended before it was ready.

    :param text: its last words
    :param status: its exit status; negative: the signal that killed it
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text, status)
        self.status = status

    def __str__(self) -> str:
        return str(self.args[0])


def start_detached(
    command: Sequence[str], log: Path, patience_s: float = PATIENCE_S, end_within_s: float = _END_WITHIN_S
) -> tuple[int, str | None]:
    """Start ``command`` and wait until it says that it is ready; its process id and what it said.

    Whoever is interrupted while waiting (Ctrl-C) did not start anything: the process is ended.

    :param log: to which everything it writes is appended
    :param patience_s: how long to wait, in seconds; afterwards it is left alone, and what it said is None
    :param end_within_s: seconds that it may take to end when that is wanted; afterwards it is killed
    :raises EndedEarly: it ended first
    :raises ComputeError: the log cannot be written
    """
    reading, writing = os.pipe()
    process = None
    with os.fdopen(reading, "rb") as ready:
        try:
            with _interrupts_wait():
                process, began = _start(command, log, writing)
            said = ready.read().decode() if select.select([ready], [], [], patience_s)[0] else None
        except BaseException:
            if process is not None:
                _end(process, end_within_s)
            raise
    if said != "":
        # It lives on and is no business of this process any more; without this, Python would remind us of it.
        process.returncode = 0
        return process.pid, said
    process.wait()
    said = _last_words(log, began) or f"it ended with exit status {process.returncode}; see {log}"
    raise EndedEarly(said, process.returncode)


def _start(command: Sequence[str], log: Path, writing: int) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and how long the log was before it. The end of the pipe is the process's alone afterwards."""
    try:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab") as file:
            began = file.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                pass_fds=(writing,),
                env={**os.environ, READY_FD_VARIABLE: str(writing)},
            )
    except OSError as error:
        what = f"{error.filename} cannot be used" if error.filename else "this machine starts no more processes"
        raise ComputeError(f"{what}: {error.strerror}") from error
    finally:
        os.close(writing)
    return process, began


def _end(process: subprocess.Popen[bytes], within_s: float) -> None:
    """It may hang where it hears nothing, such as in a question to the name service."""
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(within_s)
    finally:  # also if somebody interrupts once more
        process.kill()
        process.wait()


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Feel a Ctrl-C at the end of this, not within: of a process that is just being started, nobody would know yet."""
    usual = signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not usual:
        yield
        return
    felt: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: felt.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if felt:
        raise KeyboardInterrupt


def say_ready(text: str) -> None:
    """Tell whoever started this process detached that it is ready. Otherwise nothing happens."""
    number = os.environ.pop(READY_FD_VARIABLE, None)
    if number is not None:
        # Whoever started it may have stopped waiting.
        with suppress(BrokenPipeError), os.fdopen(int(number), "wb") as pipe:
            pipe.write(text.encode())


def _last_words(log: Path, began: int) -> str:
    with log.open("rb") as file:
        file.seek(began)
        return file.read().decode(errors="replace").strip().removeprefix("afield:").strip()
