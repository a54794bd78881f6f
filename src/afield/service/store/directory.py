"""A data directory belongs to one service at a time: a lock file says so, for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from afield.errors import DataDirectoryError

__all__ = ["DataDirectory"]


class DataDirectory:
    """The directory, and our hold on it.

    :param path: made by :meth:`hold`, for its owner only, if it is not there
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def hold(self) -> None:
        """Make the directory and lock it.

        The lock is the kernel's and goes with its process, however that ends; the number in the file is for people.

        :raises DataDirectoryError: it cannot be made or written to, or another service holds it
        """
        lock = self.path / "lock"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirectoryError(
                f"cannot write to the data directory {self.path}: {error.strerror}. Name another one, or make it "
                "writable for this user"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise DataDirectoryError(f"cannot lock {lock}: {error.strerror}. Name a local directory") from error
            raise DataDirectoryError(
                f"the data directory {self.path} is in use by process {holder}: stop that service, or name another "
                "directory"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go. The lock file stays: removing it would let two services hold two files of one name."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            # Said aloud, because a process that was forked meanwhile has the descriptor too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
