"""``python -m afield.worker <channel> <permits> <log> <life>``: started by an engine, never by hand.

These are file descriptors that it inherited: the channel, the reading end of the permits, the file into which
everything is written that user code prints, and the reading end of a pipe that ends with the engine's process.

Until the worker has said hello, whatever it prints goes where the engine can read it, so that a worker that cannot
start can be asked why.
"""

from __future__ import annotations

import atexit
import faulthandler
import fcntl
import gc
import os
import resource
import signal
import sys
import types
from contextlib import suppress
from typing import NoReturn

import msgspec

from afield.wire.jobs import JOB_VERSION
from afield.worker.frames import FUNCTIONS_KEPT, Hello
from afield.worker.functions import FunctionCache
from afield.worker.loop import send, serve
from afield.worker.run import run
from afield.worker.usage import Meter


def main(arguments: list[str]) -> None:
    """Be a worker until the engine is done with us."""
    channel, permits, log, life = (int(argument) for argument in arguments)
    _die_with(_hide(life))
    _die_first()
    channel, permits = _hide(channel), _hide(permits)
    os.register_at_fork(after_in_child=lambda: _close(channel, permits))
    faulthandler.enable()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    functions, meter = FunctionCache(FUNCTIONS_KEPT), Meter()
    # What is loaded now stays: no need to look at it again and again, nor to copy it when user code forks.
    gc.freeze()
    _flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    # Functions that came by value find their globals in `__main__`. It must be empty: they shall not lean on what this
    # module has imported, nor change it.
    sys.modules["__main__"] = types.ModuleType("__main__")
    pid = os.getpid()
    try:
        send(channel, 0, msgspec.msgpack.encode(Hello(JOB_VERSION, pid, sys.version.split()[0])))
        serve(channel, permits, lambda job: run(job, functions, meter=meter))
    except OSError:
        # The engine is gone, or this is a fork that came back from a task, or a task closed all files. Whichever it
        # is, nobody listens, and the engine draws its conclusions from the end of this process.
        if os.getpid() != pid:
            os._exit(1)
        _leave(1)
    except KeyboardInterrupt:
        # Die of it visibly, as a program should.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _tidy()
        os.kill(pid, signal.SIGINT)
    _leave(0)


def _hide(descriptor: int) -> int:
    """Move a file out of the way of user code, and keep it from the programs that user code starts."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = 900 if soft == resource.RLIM_INFINITY or soft > 1000 else max(soft - 16, 3)
    hidden = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    os.close(descriptor)
    return hidden


def _close(*descriptors: int) -> None:
    """In a fork: let go, so that the engine sees when the worker itself ends."""
    for descriptor in descriptors:
        os.close(descriptor)


def _die_with(life: int) -> None:
    """Have the kernel end this process, and the programs that tasks started, when the engine's process ends.

    Linux can send a signal to a process group when something happens to a file. All that can happen to this one is that
    its other end is closed, by the end of the engine. So nothing in here need be awake for it, not even between two
    lines of user code. Elsewhere there is nothing like it, and an orphan ends when it has finished its job.
    """
    if sys.platform == "linux":
        pid = os.getpid()
        fcntl.fcntl(life, fcntl.F_SETOWN, -pid if os.getpgrp() == pid else pid)
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            os.read(life, 1)
            # It ended before we asked.
            os._exit(1)


def _die_first() -> None:
    """Where memory runs out, let the kernel choose us rather than the endpoint, which would take all workers along."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123 - pathlib is slow to import
        score.write("500")


def _leave(code: int) -> NoReturn:
    """End now, without waiting for threads that user code left running."""
    _tidy()
    os._exit(code)


def _tidy() -> None:
    """Run exit handlers, as any program does at its end: they remove temporary files."""
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public way to run them and not wait for threads
    _flush()


def _flush() -> None:
    """Write what was printed. User code may have closed or replaced these."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
