"""Files with secrets: readable by their owner alone, and whole or not there at all."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from afield.errors import ConfigurationError

__all__ = ["locked", "write"]


def write(path: Path, content: bytes) -> None:
    """Write it, in place of what was there.

    :raises ConfigurationError: it cannot be written
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp gives mode 0600 from the start: there is no moment at which others could read it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror}): name a place of yours") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Do something alone, among all processes that ask for this path. Where no lock can be had, nobody is kept out."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
