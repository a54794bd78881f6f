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


def write(
    path: Path, content: bytes, what: str, instead: str = "Name a directory of yours with AFIELD_USER_DIR"
) -> None:
    """Write it, in place of what was there.

    :param what: it is, for the message
    :param instead: what to do where it cannot be written, likewise
    :raises ConfigurationError: it cannot
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
        raise ConfigurationError(
            f"{what} cannot be kept: {path} cannot be written ({error.strerror}). {instead}"
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Do something alone: others who ask for this path wait, in this process and in others.

    Where no lock can be had, as in a home that is read-only, nobody could write anything either, and nobody is kept
    out.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Said aloud, for a process that was forked meanwhile has the same handle.
            fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)
