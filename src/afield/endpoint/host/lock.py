"""One process at a time for each endpoint, also on machines that share a home directory.

The lock is the operating system's (flock), so it ends with its holder, however that ends. The file says who holds it,
for people and for ``afield endpoint stop``; what it says counts only while the lock is held.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from afield.errors import ConfigurationError

__all__ = ["Holder", "RunLock", "holder"]

#: Somebody who only looks whether it is held holds it for an instant; so a start tries a few times.
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.02


class Holder(msgspec.Struct, frozen=True):
    """Who runs an endpoint."""

    pid: int
    hostname: str
    #: unix time in seconds
    started_at: float

    @property
    def here(self) -> bool:
        """Whether it runs on this machine."""
        return self.hostname == platform.node()


class RunLock:
    """Be the one process of an endpoint, while inside ``with``.

    :param path: the lock file; made if it is not there
    :param what: the endpoint, as a person would name it: ``"the endpoint mine"``
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._fd = -1

    def __enter__(self) -> Self:
        """Take it.

        :raises ConfigurationError: another process has it
        """
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{self._path} cannot be opened: {error.strerror}") from error
        try:
            self._take(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(Holder(os.getpid(), platform.node(), time.time())), 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.ftruncate(self._fd, 0)
        os.close(self._fd)

    def _take(self, fd: int) -> None:
        for _ in range(_ATTEMPTS):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(_PAUSE_S)
            else:
                return
        found = _read(fd)
        by = f"as process {found.pid} on host {found.hostname}" if found else "in another process"
        raise ConfigurationError(f"{self._what} is running already, {by}: stop that one first, or leave it running")


def holder(path: Path) -> Holder | None:
    """Who holds a lock; None: nobody."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read(fd)
    else:
        return None
    finally:
        os.close(fd)


def _read(fd: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=Holder)
    except msgspec.MsgspecError:
        return None  # it is being written this moment
