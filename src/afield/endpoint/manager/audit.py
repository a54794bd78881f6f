"""The audit log of an endpoint: one line for each step of each task, stamped by the manager.

::

    2026-11-21T19:22:33.123456+00:00 uid=1000 pid=4711 uep=<id> user=<name> EXEC_END fid=<id> tid=<id> bid=- jid=812 ...

User endpoints say what happens to their tasks through a pipe each (:mod:`afield.endpoint.agent.audit`); who says so is
written by the manager, which started them. So a user may tell lies about tasks of their own, and about nobody else's.

A file that has grown long is put aside as ``.1``, the one before as ``.2``, and so on, and the oldest goes. Where tasks
run as other accounts, each account has such a series of files of its own, or whoever writes much would push out what
the others did. The endpoint's own file then says when whose user endpoints began and ended.

Where the log cannot be written the endpoint must not run: an owner who wants one wants it whole.
"""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.manager.accounts import Tenant
from afield.endpoint.manager.owner import below
from afield.endpoint.manager.spawn import UserProcess
from afield.endpoint.settings import ManagerSettings
from afield.errors import ConfigurationError
from afield.wire.commands import StartCommand

__all__ = ["AuditLog", "AuditPipe", "Audits", "audit_path", "check_audit", "stamp"]

#: A line of a user endpoint may be so long, in bytes; no honest one is.
_LINE_MOST: Final = 2000
_READ: Final = 1 << 16
#: A pipe holds no more than so many reads (/proc/sys/fs/pipe-max-size).
_HELD_MOST: Final = 16
#: The file's name in the endpoint's directory, where nobody gave another.
_NAME: Final = "audit.log"
#: Bytes after which a file is put aside: the endpoint's own, and an account's, of which there may be hundreds.
_LARGEST: Final = 64 * 1024 * 1024
_ACCOUNT_LARGEST: Final = 16 * 1024 * 1024


class AuditLog:
    """The file.

    :param path: of it
    :param clock: unix time in seconds
    :param largest: bytes after which it is put aside
    :param kept: how many that were put aside are kept
    :raises ConfigurationError: it cannot be written
    """

    def __init__(self, path: Path, clock: Callable[[], float], *, largest: int = _LARGEST, kept: int = 20) -> None:
        self._path, self._clock, self._largest, self._kept = path, clock, largest, kept
        self._file = self._opened()

    def write(self, stamp: str, lines: list[str]) -> None:
        """Write lines, each behind the time and ``stamp``.

        :raises ConfigurationError: it cannot be written
        """
        now = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="microseconds")
        data = "".join(f"{now} {stamp} {line}\n" for line in lines).encode()
        try:
            if self._size and self._size + len(data) > self._largest:
                self._put_aside()
            while data:
                count = os.write(self._file, data)
                self._size += count
                data = data[count:]
        except OSError as error:
            raise _cannot(self._path, error) from error

    def close(self) -> None:
        """Let go of the file, and have it on the disk. Closing twice is fine.

        :raises ConfigurationError: the disk did not take all of it
        """
        file, self._file = self._file, -1
        if file < 0:
            return
        try:
            os.fsync(file)
        except OSError as error:
            raise _cannot(self._path, error) from error
        finally:
            os.close(file)

    def _opened(self) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = _open(self._path, os.O_CREAT)
        except OSError as error:
            raise _cannot(self._path, error) from error
        self._size = os.fstat(file).st_size
        return file

    def _put_aside(self) -> None:
        self.close()
        for number in range(self._kept, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._file = self._opened()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


def _open(path: Path, more: int = 0) -> int:
    """Open such a file to write at its end, if it is a plain one of ours.

    :param more: flags
    """
    # Not waiting: in a directory of many, a pipe may lie in its place.
    how = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(path, how | more, 0o600)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
        os.close(file)
        raise OSError("somebody else has put something of theirs in its place")
    return file


def _cannot(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the audit log {path} cannot be written: {error.strerror or error}. The endpoint does not run without it: "
        "make room or mend it, or take audit_log_path out of config.yaml"
    )


def stamp(*, uid: int, pid: int | None, user_endpoint_id: str, user: str) -> str:
    """Who speaks: it stands before every line of one user endpoint."""
    return f"uid={uid} pid={pid or '-'} uep={_word(user_endpoint_id)} user={_word(user)}"


def _word(given: str) -> str:
    """One word of what the service says."""
    return "".join(letter if letter.isprintable() and not letter.isspace() else "_" for letter in given)


class Audits:
    """The logs of an endpoint whose owner wants one.

    :param path: of the endpoint's own file; those of other accounts are beside it
    :param clock: unix time in seconds
    :param failed: called with the reason when one cannot be written
    :param account_largest: bytes after which an account's file is put aside
    :raises ConfigurationError: the endpoint's own cannot be written
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float],
        failed: Callable[[ConfigurationError], None],
        *,
        account_largest: int = _ACCOUNT_LARGEST,
    ) -> None:
        self._path, self._clock, self._failed, self._account_largest = path, clock, failed, account_largest
        self._own = AuditLog(path, clock)
        # uid -> the log of an account, and how many of its user endpoints run
        self._accounts: dict[int, tuple[AuditLog, int]] = {}

    @classmethod
    def of(
        cls,
        directory: EndpointDirectory,
        settings: ManagerSettings,
        clock: Callable[[], float],
        failed: Callable[[ConfigurationError], None],
    ) -> Audits | None:
        """What the settings ask for; None: nothing.

        :raises ConfigurationError: it cannot be written
        """
        path = audit_path(directory, settings)
        return None if path is None else cls(path, clock, failed)

    def listen(self, child: UserProcess, command: StartCommand, tenant: Tenant | None) -> AuditPipe:
        """Hear what a user endpoint says of its tasks, from its start on.

        :param child: its process, not started
        :raises ConfigurationError: the log of its account cannot be written
        """
        uid = os.getuid() if tenant is None else tenant.account.uid
        pipe = self._pipe(tenant.account.uid if tenant is not None else None)
        name, user = command.kwargs.amqp_creds.endpoint_id, command.globus_username
        child.audit = pipe.writer
        child.started = lambda: pipe.start(stamp(uid=uid, pid=child.pid, user_endpoint_id=name, user=user))
        return pipe

    def close(self) -> None:
        """Nothing more comes."""
        for log, _ in self._accounts.values():
            self._close(log)
        self._accounts.clear()
        self._close(self._own)

    def _pipe(self, account: int | None) -> AuditPipe:
        """For a user endpoint that runs as the account of this number; None: as who we are."""
        if account is None:
            return AuditPipe(self._own, self._failed)
        log = self._entered(account)
        try:
            return AuditPipe(log, self._failed, own=self._own, done=lambda: self._left(account))
        except OSError:
            self._left(account)
            raise

    def _entered(self, account: int) -> AuditLog:
        log, running = self._accounts.get(account, (None, 0))
        if log is None:
            path = self._path.with_name(f"{self._path.stem}.uid-{account}{self._path.suffix}")
            try:
                log = AuditLog(path, self._clock, largest=self._account_largest)
            except ConfigurationError as error:
                self._failed(error)
                raise
        self._accounts[account] = (log, running + 1)
        return log

    def _left(self, account: int) -> None:
        log, running = self._accounts.pop(account)
        if running > 1:
            self._accounts[account] = (log, running - 1)
        else:
            self._close(log)

    def _close(self, log: AuditLog) -> None:
        try:
            log.close()
        except ConfigurationError as error:
            self._failed(error)


def audit_path(directory: EndpointDirectory, settings: ManagerSettings) -> Path | None:
    """Where the settings want the endpoint's own file; None: nobody wants one.

    :raises ConfigurationError: it is below a home directory that nobody knows
    """
    path = settings.audit_log_path
    return None if path is None and not settings.high_assurance else below(directory, path or _NAME)


def check_audit(directory: EndpointDirectory, settings: ManagerSettings) -> Path | None:
    """See whether the log that the settings ask for can be written, also while the endpoint writes it.

    A file that is not there is not made: whoever looks need not be who writes it later, and one that was made to be
    removed again might be the one that the endpoint has just begun to write.

    :returns: its path; None: nobody wants one
    :raises ConfigurationError: it cannot
    """
    path = audit_path(directory, settings)
    if path is None:
        return None
    try:
        try:
            os.close(_open(path))
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _cannot(path, error) from error
    return path


class AuditPipe:
    """The manager's end of the pipe of one user endpoint.

    :param log: where its lines go
    :param failed: called with the reason when they cannot
    :param own: the endpoint's own log, if that is another: it is told of the begin and the end
    :param done: called when nothing more comes
    """

    def __init__(
        self,
        log: AuditLog,
        failed: Callable[[ConfigurationError], None],
        *,
        own: AuditLog | None = None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self._log, self._failed, self._done = log, failed, done
        self._logs = (log,) if own is None else (log, own)
        self._begun = b""
        self._stamp = ""
        # The log could not be written: that was told once.
        self._told = False
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)

    def start(self, stamp: str) -> None:
        """The process has started and has its end: listen. Our copy of it is closed, so that its end is seen."""
        self._discard_writer()
        self._stamp = stamp
        if self._write(["STARTED"], *self._logs):
            asyncio.get_running_loop().add_reader(self._reader, self._read)

    def close(self) -> None:
        """The process has ended: take what is left, and let go."""
        self._discard_writer()
        if self._stamp:
            # A task may have kept the other end, and write on without an end.
            for _ in range(_HELD_MOST):
                if self._reader < 0 or not self._read():
                    break
            self._write(["ENDED"], *self._logs)
        if self._reader >= 0:
            self._let_go()
        self._done()

    def _discard_writer(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def _read(self) -> bool:
        """Take some; False: there is no more now."""
        try:
            data = os.read(self._reader, _READ)
        except BlockingIOError:
            return False
        if not data:
            self._let_go()
            return False
        *lines, self._begun = (self._begun + data).split(b"\n")
        if len(self._begun) > _LINE_MOST:
            lines.append(self._begun)
            self._begun = b""
        return self._write([_clean(line) for line in lines if line], self._log)

    def _write(self, lines: list[str], *logs: AuditLog) -> bool:
        if self._told:
            return False
        try:
            for log in logs:
                log.write(self._stamp, lines)
        except ConfigurationError as error:
            self._told = True
            if self._reader >= 0:
                self._let_go()
            self._failed(error)
            return False
        return True

    def _let_go(self) -> None:
        asyncio.get_running_loop().remove_reader(self._reader)
        os.close(self._reader)
        self._reader = -1


def _clean(line: bytes) -> str:
    """As it may stand in the log: whoever wrote it must not look like another."""
    text = line[:_LINE_MOST].decode(errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
