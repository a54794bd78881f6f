"""Running a command, and stopping everything that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from afield.shell.result import ShellResult

__all__ = ["run"]

#: Every process of one run has this variable in its environment, whatever became of its parents and its session.
_MARK: Final = "AFIELD_SHELL_RUN"
#: Between asking a process to end and ending it, in seconds.
_GRACE_S: Final = 1.0
#: The most that is read of what a command printed, from the end, in bytes.
_MOST_READ: Final = 4 * 1024 * 1024
#: As the command ``timeout`` has it.
_TIMED_OUT: Final = 124


def run(command: str, *, stdout: str | None, stderr: str | None, walltime: float | None, lines: int) -> ShellResult:
    """Run a command in bash and wait for its end.

    :param stdout: a file to append to; None: none is left
    :param stderr: likewise
    :param walltime: seconds after which it is stopped, with every process that it started; None: never
    :param lines: how many of the last lines of each are returned
    :raises OSError: bash cannot be started, or a file cannot be written
    """
    directory = os.environ.get("GC_TASK_SANDBOX_DIR") or None
    mark = uuid.uuid4().hex
    with _open(stdout, directory) as out, _open(stderr, directory) as err:
        begins = out.tell(), err.tell()
        process = subprocess.Popen(
            ["/bin/bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=directory,
            env=os.environ | {_MARK: mark},
        )
        try:
            code, failure = _wait(process, mark, walltime)
        except BaseException:  # the worker is told to end: so is what it runs
            _end_all(process, mark)
            raise
        return ShellResult(command, _tail(out, begins[0], lines), _tail(err, begins[1], lines), code, failure)


def _wait(process: subprocess.Popen[bytes], mark: str, walltime: float | None) -> tuple[int, str | None]:
    try:
        code = process.wait(walltime)
    except subprocess.TimeoutExpired:
        _end_all(process, mark)
        return _TIMED_OUT, "subprocess.TimeoutExpired"
    return code, "subprocess.CalledProcessError" if code else None


def _open(path: str | None, directory: str | None) -> IO[bytes]:
    if path is None:
        return tempfile.TemporaryFile()
    place = Path(directory or ".") / path
    place.parent.mkdir(parents=True, exist_ok=True)
    file = place.open("ab+")
    file.seek(0, os.SEEK_END)
    return file


def _tail(file: IO[bytes], begin: int, lines: int) -> str:
    end = file.seek(0, os.SEEK_END)
    begin = max(begin, end - _MOST_READ)
    file.seek(begin)
    text = file.read().decode(errors="replace")
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines else ""


def _end_all(process: subprocess.Popen[bytes], mark: str) -> None:
    """Ask every process of this run to end; then end those that are left, and those that they started meanwhile."""
    _signal(process, mark, signal.SIGTERM)
    until = time.monotonic() + _GRACE_S
    while _of_run(process, mark) and time.monotonic() < until:
        time.sleep(0.01)
    while _signal(process, mark, signal.SIGKILL):
        time.sleep(0.01)
    process.wait()


def _signal(process: subprocess.Popen[bytes], mark: str, number: int) -> int:
    """To how many it was sent."""
    found = _of_run(process, mark)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return len(found)


def _of_run(process: subprocess.Popen[bytes], mark: str) -> list[int]:
    """The processes of this run that live.

    On Linux they are found by their environment, which is inherited by daemons too. Elsewhere the system does not show
    it, and they are found by their parents, as long as these live.
    """
    process.poll()  # so that it does not stay a zombie
    if sys.platform != "linux":
        return _descendants(process)
    entry = f"{_MARK}={mark}".encode()
    found = []
    for place in os.listdir("/proc"):  # noqa: PTH208 - one of many names, and only the name
        if place.isdigit():
            # It ended meanwhile, or belongs to somebody else.
            with suppress(OSError), open(f"/proc/{place}/environ", "rb") as environ:  # noqa: PTH123 - likewise
                if entry in environ.read().split(b"\0"):
                    found.append(int(place))
    return found


def _descendants(process: subprocess.Popen[bytes]) -> list[int]:
    try:
        import psutil
    except ImportError:
        return [process.pid] if process.poll() is None else []
    with suppress(psutil.NoSuchProcess):
        one = psutil.Process(process.pid)
        return [each.pid for each in (one, *one.children(recursive=True)) if each.status() != psutil.STATUS_ZOMBIE]
    return []
