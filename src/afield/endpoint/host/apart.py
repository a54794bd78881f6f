"""What is needed once, at the start of a process that lives for months, is done in another: what it loads goes with it.

Registering takes an HTTP client, and looking at an owner's files takes a template engine and a validator. Together they
are a third of what an idle manager would weigh.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from typing import TypeVar

from afield.errors import ComputeError

__all__ = ["apart"]

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """What ``work`` returns or raises, done in a fork of this process. Both must be of a kind that can be pickled.

    There must be no other threads, and no event loop that runs. Where a fork cannot be trusted to go on (macOS), it is
    done here.

    :raises ComputeError: the fork ended without a word, as when it was killed
    """
    if sys.platform == "darwin":
        return work()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work(work, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as answer:
            data = answer.read()
    finally:
        _, status = os.waitpid(pid, 0)
    if not data:
        raise ComputeError(
            f"a process that should prepare the start ended with status {os.waitstatus_to_exitcode(status)}, without a "
            "word: somebody or something killed it. Start again"
        )
    done, found = pickle.loads(data)
    if not done:
        raise found
    result: T = found
    return result


def _work(work: Callable[[], object], writing: int) -> None:
    """In the fork: do it, tell, and end without the handlers of whom it was forked from."""
    try:
        answer: tuple[bool, object] = (True, work())
    except BaseException as error:  # noqa: BLE001 - it is raised on the other side
        answer = (False, error)
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(pickle.dumps(answer))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
