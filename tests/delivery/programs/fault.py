"""Where a part dies: at the step that a test has named in a file. Once, for the next life must get past it."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from afield.broker.link import Backoff, Link

#: One that does not wait for ten seconds, though it has lost its service often of late.
EagerLink = partial(Link, policy=Backoff(longest_s=0.2))

_FILE = Path(os.environ.get("AFIELD_TEST_FAULT", os.devnull))


def armed(step: str) -> bool:
    """Whether this is the step at which to die."""
    try:
        return _FILE.read_text() == step
    except FileNotFoundError:
        return False


def reach(step: str) -> None:
    """The step is reached: die here if that is wanted, as if by kill -9."""
    if armed(step):
        _tell(step)
        os.kill(os.getpid(), signal.SIGKILL)


def fail(step: str) -> None:
    """The same, but what dies is only what is being done."""
    if armed(step):
        _tell(step)
        raise RuntimeError(step)


def _tell(step: str) -> None:
    _FILE.unlink()
    with _FILE.with_name("reached").open("w") as reached:
        reached.write(f"{step}\n")
