"""One process at a time for each endpoint, also on machines that share a home directory.

The lock is the operating system's (flock), so it ends with its holder, however that ends. The file says who holds it,
for people, for ``afield endpoint stop``, and for machines that the lock does not reach; its holder renews it at each
heartbeat. What of both counts when is decided in :mod:`afield.endpoint.host.holder`.

Where file locks work (local disks; NFS with its lock service; Lustre and GPFS mounted with them), two starts in the
same moment on two machines are told apart by the lock. Where they do not, both begin, and the one whose record was
overwritten finds that at its next heartbeat and ends. The service, too, lets only the last one in.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from afield.endpoint.host.holder import MISSED, Holder, Seen, lives
from afield.endpoint.host.machine import boot_id, host_name
from afield.errors import ConfigurationError

__all__ = ["PERIOD_S", "AlreadyRunning", "Holder", "LockLost", "RunLock", "holder", "is_here", "locks_work"]

#: Seconds between two heartbeats in the file (reference: published features, A8.3).
PERIOD_S: Final = 15.0
#: Somebody who only looks whether it is held holds it for an instant; so a start tries a few times.
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.02
#: What a file system says that has no locks.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


class AlreadyRunning(ConfigurationError):  # noqa: N818 - says what it is
    """Another process, here or elsewhere, runs this endpoint."""


class LockLost(ConfigurationError):  # noqa: N818 - says what it is
    """Another process has taken over, because this one gave no sign of life for too long."""


class RunLock:
    """Be the one process of an endpoint, while inside ``with``.

    :param path: the lock file; made if it is not there
    :param name: the endpoint's
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._fd = -1
        self._own = Holder(os.getpid(), host_name(), time.time(), boot_id(), time.time(), PERIOD_S)

    def __enter__(self) -> Self:
        """Take it.

        :raises AlreadyRunning: another process has it
        :raises ConfigurationError: the file cannot be used
        """
        try:
            self._fd = self._take()
            self._write()
        except OSError as error:
            raise ConfigurationError(f"{self._path} cannot be opened: {error.strerror}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._is_ours():
            os.ftruncate(self._fd, 0)
        os.close(self._fd)

    def beat(self, now: float) -> None:
        """Give a sign of life.

        :param now: unix time in seconds
        :raises LockLost: another process has taken over
        :raises OSError: the file system does not take it now
        """
        if not self._is_ours():
            found = _read_path(self._path)
            by = f"process {found.pid} on host {found.hostname}" if found else "another process"
            raise LockLost(
                f"{by} runs the endpoint {self._name} now, because this process gave no sign of life for "
                f"{MISSED * PERIOD_S:.0f} s. Was this machine asleep? Stop that one to start it here again"
            )
        self._own = msgspec.structs.replace(self._own, heartbeat_at=now)
        self._write()

    def _write(self) -> None:
        data = msgspec.json.encode(self._own)
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))

    def _is_ours(self) -> bool:
        """Whether the file of that name is still the one that we hold, with our record in it."""
        found, own = _read(self._fd), self._own
        return _same_file(self._fd, self._path) and (
            found is None or (found.pid, found.boot_id) == (own.pid, own.boot_id)
        )

    def _take(self) -> int:
        """The file's descriptor, once it is ours."""
        found: Holder | None = None
        alive = locked = None
        for _ in range(_ATTEMPTS):
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                taken = _try_lock(fd, fcntl.LOCK_EX)
                locked = None if taken is None else not taken
                found = _read(fd)
                alive = found is not None and _lives(found, fd, self._path, locked)
                if not locked and not alive and _same_file(fd, self._path):
                    fd, kept = -1, fd
                    return kept
            finally:
                if fd >= 0:
                    os.close(fd)
            time.sleep(_PAUSE_S)
        if locked and found is not None and not alive:
            # Whoever else came to take over has written so by now; what is left is a dead machine's lock.
            return _replaced(self._path)
        raise AlreadyRunning(_told(self._name, found))


def holder(path: Path) -> Holder | None:
    """Who runs an endpoint; None: nobody."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        free = _try_lock(fd, fcntl.LOCK_SH)
        found = _read(fd)
        return found if found and _lives(found, fd, path, None if free is None else not free) else None
    finally:
        os.close(fd)


def is_here(found: Holder) -> bool:
    """Whether its process is on this machine, as this machine was started last."""
    return found.boot_id == boot_id()


def locks_work(directory: Path) -> bool:
    """Whether the file system of a directory has locks that count at least on this machine.

    :raises OSError: nothing can be written there
    """
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".lock-") as one:
        if not _try_lock(one.fileno(), fcntl.LOCK_EX):
            return False
        other = os.open(one.name, os.O_RDWR | os.O_CLOEXEC)
        try:
            return _try_lock(other, fcntl.LOCK_EX) is False
        finally:
            os.close(other)


def _try_lock(fd: int, kind: int) -> bool | None:
    """Whether it is ours now; None: this file system has no locks."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in _NO_LOCKS else False
    return True


def _lives(found: Holder, fd: int, path: Path, locked: bool | None) -> bool:  # noqa: FBT001 - three values, not two
    import psutil

    here = found.boot_id == boot_id()
    # The process table and a new file are asked only where their answers count.
    exists = here and locked is None and psutil.pid_exists(found.pid)
    age_s = 0.0 if here and locked is not None else _age(fd, path)
    return lives(found, Seen(locked, age_s, host_name(), boot_id(), exists))


def _age(fd: int, path: Path) -> float:
    """Seconds since the file was written, by the clock of its file system where we may write there."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as fresh:
            os.write(fresh.fileno(), b"now")
            now = os.fstat(fresh.fileno()).st_mtime
    except OSError:
        now = time.time()
    return now - os.fstat(fd).st_mtime


def _same_file(fd: int, path: Path) -> bool:
    """False: somebody has put another file in its place since it was opened."""
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def _replaced(path: Path) -> int:
    """Put a new file, locked by us, in the place of one whose lock a dead machine has left."""
    fd, fresh = tempfile.mkstemp(dir=path.parent, prefix=".lock-")
    try:
        _try_lock(fd, fcntl.LOCK_EX)
        Path(fresh).replace(path)
    except BaseException:
        os.close(fd)
        Path(fresh).unlink()
        raise
    return fd


def _told(name: str, found: Holder | None) -> str:
    if found is None:
        return f"the endpoint {name} is running already, in another process: stop that one first, or leave it running"
    who = f"the endpoint {name} is running already, as process {found.pid} on host {found.hostname}"
    if is_here(found):
        return f"{who}: stop that one first (afield endpoint stop {name}), or leave it running"
    return (
        f"{who}: stop it there (afield endpoint stop {name}), or from here (afield endpoint stop {name} --remote). If "
        f"that host is gone for good, try again in {MISSED * found.period_s:.0f} s: then this one takes over"
    )


def _read_path(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def _read(fd: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=Holder)
    except msgspec.MsgspecError:
        return None  # nobody holds it, or it is being written this moment
