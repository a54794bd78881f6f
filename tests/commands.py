"""`afield …` as a process of its own that has nothing to load.

Loading is most of what a command's time goes to, and tests run hundreds. So a process that has loaded everything stands
ready, and each command is a fork of it: with its own arguments, environment, directory, streams and end. Who tests a
start itself starts Python.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["Command", "begin", "end_all", "run"]

_STATUS = struct.Struct("=i")
#: More than arguments and an environment ever are, in bytes.
_LONGEST = 1 << 20

#: Where requests go, and the process that reads them; made by the first.
_ready: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []


class Command:
    """One command that runs, with pipes to it."""

    def __init__(self, module: str, arguments: tuple[str, ...], environ: Mapping[str, str], cwd: Path | None) -> None:
        request = {"module": module, "arguments": arguments, "environ": dict(environ), "cwd": str(cwd or Path.cwd())}
        (stdin, typed), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
        self._news, theirs = socket.socketpair()
        socket.send_fds(_door(), [json.dumps(request).encode()], [stdin, stdout, stderr, theirs.fileno()])
        for each in (stdin, stdout, stderr):
            os.close(each)
        theirs.close()
        self.stdin = os.fdopen(typed, "w", encoding="utf-8")
        self.stdout, self.stderr = os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8")
        (self.pid,) = _STATUS.unpack(self._news.recv(_STATUS.size))
        self.returncode: int | None = None

    def kill(self) -> None:
        """As with SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float) -> int:
        """Its exit status; after so many seconds it is killed, and that is an error."""
        if self.returncode is None:
            self._news.settimeout(timeout)
            try:
                (status,) = _STATUS.unpack(self._news.recv(_STATUS.size))
            except TimeoutError:
                self.kill()
                raise
            finally:
                self._news.close()
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def communicate(self, typed: str, timeout: float) -> tuple[str, str]:
        """What it printed, and what it said beside that, once it has ended."""
        from concurrent.futures import ThreadPoolExecutor

        with self.stdin, self.stdout, self.stderr, ThreadPoolExecutor(2) as readers:
            both = [readers.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.stdin.write(typed)
                self.stdin.close()
            except BrokenPipeError:
                pass  # it does not read
            self.wait(timeout)
            return both[0].result(), both[1].result()


def begin(*arguments: str, environ: Mapping[str, str], cwd: Path | None = None, module: str = "afield") -> Command:
    """Start `python -m MODULE …`."""
    return Command(module, arguments, environ, cwd)


def run(
    *arguments: str,
    environ: Mapping[str, str],
    cwd: Path | None = None,
    module: str = "afield",
    typed: str = "",
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = begin(*arguments, environ=environ, cwd=cwd, module=module)
    out, said = command.communicate(typed, timeout)
    assert command.returncode is not None
    return subprocess.CompletedProcess(arguments, command.returncode, out, said)


def end_all() -> None:
    """Nobody stands ready any more."""
    while _ready:
        door, process = _ready.pop()
        door.close()
        process.wait(60)


def _door() -> socket.socket:
    if not _ready:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # -P: what lies beside this file is nothing that a command imports.
            command = [sys.executable, "-P", __file__, str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        _ready.append((ours, process))
    return _ready[0][0]


# -- the process that stands ready -----------------------------------------------------------------------------------


#: What commands load when they run, and takes long.
_LOADED = (
    "afield.endpoint.host.registration",
    "afield.endpoint.manager.template",
    "afield.sdk.login.questions",
    "afield.sdk.transport.http",
    "afield.service.accounts_on_host",
    "afield.service.operate.backup",
    "afield.service.operate.doctor",
    "afield.service.store.sql.postgres",
    "afield.service.store.sql.sqlite",
)


def _load() -> None:
    from typer.testing import CliRunner

    from afield.cli.main import build

    CliRunner().invoke(build(), ["endpoint", "list", "--help"])
    for name in ("operate.doctor", "operate.backup", "accounts_on_host", "store.sql.sqlite", "store.sql.postgres"):
        __import__(f"afield.service.{name}")
    for name in _LOADED:
        import_module(name)
    gc.freeze()  # what is there stays, and the pages it is on are shared


def _next_of(door: socket.socket) -> dict[str, Any]:
    """What to be, in the process that shall be it; others never return from here."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    while True:
        request, handles, *_ = socket.recv_fds(door, _LONGEST, 4)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            door.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            *streams, news = handles
            child = os.fork()
            if child == 0:
                os.close(news)
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                    os.close(stream)
                told: dict[str, Any] = json.loads(request)
                return told
            for stream in streams:
                os.close(stream)
            os.write(news, _STATUS.pack(child))
            os.write(news, _STATUS.pack(os.waitpid(child, 0)[1]))
            os._exit(0)
        for handle in handles:
            os.close(handle)


def _become(told: dict[str, Any]) -> None:
    """As Python does when it starts."""
    os.environ.clear()
    os.environ.update(told["environ"])
    os.chdir(told["cwd"])
    time.tzset()
    sys.stdin = sys.__stdin__ = os.fdopen(0, encoding="utf-8", closefd=False)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = io.TextIOWrapper(os.fdopen(number, "wb", 0, closefd=False), "utf-8", write_through=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.argv = [told["module"], *told["arguments"]]


def _end(module: str) -> int:
    """Run it; its exit status, as Python has it."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:  # noqa: BLE001 - it ends, and says why
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _load()
    told = _next_of(socket.socket(fileno=int(sys.argv[1])))
    _become(told)
    status = _end(told["module"])
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status & 0xFF)  # to take everything apart would copy all that is shared
