"""A copy of all that a service keeps, made while it runs, and a fresh service from such a copy.

Theory. A copy must be of one moment, or it holds rows whose files are missing. The database gives a moment: SQLite's
online backup (https://sqlite.org/backup.html), ``pg_dump``'s snapshot. Files of big values never change, are there
before the row that names them is committed, and go after it is. So the files are copied before the database and once
more after it: what a row of the copy names was there at its moment, and was copied at the first or the second time.
(What was made and forgotten between the two is in neither; only tasks whose time was over are.) With them goes the
secret: without it, all endpoints and clients would have to come in anew.

A copy is a directory, which appears whole or not at all, and is for its owner only: who has it, has everything.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from afield.errors import ComputeError, ConfigurationError
from afield.service.operate.database import is_postgres, libpq_url, look, sqlite_file
from afield.service.settings import Settings
from afield.service.store.factory import DATABASE

__all__ = ["BackupFailed", "Manifest", "back_up", "restore"]

_MANIFEST: Final = "backup.json"
_DUMP: Final = "database.dump"
_BLOBS: Final = "blobs"
#: Small files of the data directory that belong to the service: its secret, and where endpoints find it.
_SMALL: Final = ("secret", "amqp_port.json")


class BackupFailed(ComputeError):  # noqa: N818 - says what it is
    """A copy could not be made or read back; the text says why. Nothing is left of it."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy is of."""

    #: of Afield
    afield: str
    #: of the tables
    tables: str
    #: ``sqlite`` or ``postgresql``
    kind: str
    #: unix time in seconds
    made_at: float
    #: files of big values
    files: int


async def back_up(settings: Settings, where: Path) -> Manifest:
    """Copy everything. The service may be running, on this machine or another.

    :param where: a directory that is not there yet
    :raises BackupFailed: it could not be done
    :raises DataDirectoryError: the database does not answer
    """
    seen = await look(settings)
    if seen.version is None:
        raise BackupFailed("there is nothing to copy: no service has used this database yet")
    return await asyncio.to_thread(_copy_all, settings, where, seen.version)


def _copy_all(settings: Settings, where: Path, tables: str) -> Manifest:
    if where.exists():
        raise BackupFailed(f"{where} is there already: name a new directory for each copy")
    half = where.with_name(f".{where.name}.{os.getpid()}.partial")
    try:
        half.mkdir(mode=0o700, parents=True)
        _copy_blobs(settings.data_dir, half)
        if is_postgres(settings):
            _dump(settings, half / _DUMP)
        else:
            _copy_sqlite(sqlite_file(settings), half / DATABASE)
        files = _copy_blobs(settings.data_dir, half)
        for name in _SMALL:
            _copy(settings.data_dir / name, half / name)
        kind = "postgresql" if is_postgres(settings) else "sqlite"
        made = Manifest(afield=version("afield"), tables=tables, kind=kind, made_at=time.time(), files=files)
        (half / _MANIFEST).touch(mode=0o600)
        (half / _MANIFEST).write_bytes(msgspec.json.encode(made) + b"\n")
        os.sync()
        half.rename(where)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"no copy could be made in {where}: {error}") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return made


def restore(settings: Settings, where: Path) -> Manifest:
    """Make a fresh service from a copy: its data directory, and its database.

    :param settings: of the fresh service, which must not run, and must have nothing yet
    :param where: the copy
    :raises BackupFailed: it is none, or there is something already
    """
    try:
        made = msgspec.json.decode((where / _MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BackupFailed(f"{where} holds no copy of a service: {error}") from error
    if (made.kind == "postgresql") != is_postgres(settings):
        raise BackupFailed(f"{where} is a copy of a service on {made.kind}, and these settings name another database")
    data_dir = settings.data_dir
    taken = [data_dir / name for name in (*_SMALL, _BLOBS)]
    taken += [] if is_postgres(settings) else [sqlite_file(settings)]
    if there := [path for path in taken if path.exists()]:
        raise BackupFailed(f"{there[0]} is there already: name a data directory without a service in it")
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_postgres(settings):
            _load(settings, where / _DUMP)
        else:
            sqlite_file(settings).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copy(where / DATABASE, sqlite_file(settings))
        _copy_blobs(where, data_dir)
        for name in _SMALL:
            _copy(where / name, data_dir / name)
        os.sync()
    except OSError as error:
        raise BackupFailed(f"{where} could not be restored: {error}") from error
    return made


def _copy_sqlite(source: Path, target: Path) -> None:
    target.touch(mode=0o600)
    live = sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=60)
    with closing(live), closing(sqlite3.connect(target)) as copy:
        # A copy is one read: while it lasts, writers go on beside it, for the database is in WAL mode.
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE").close()
        [(said,)] = copy.execute("PRAGMA quick_check(1)").fetchall()
    if said != "ok":
        raise BackupFailed(f"the copy of {source} is damaged, and probably {source} is too: {said}")


def _copy_blobs(source: Path, target: Path) -> int:
    """Files that are not there yet; how many there are then."""
    count = 0
    for directory, _, names in os.walk(source / _BLOBS):  # what goes away meanwhile is passed over
        beside = target / Path(directory).relative_to(source)
        beside.mkdir(mode=0o700, exist_ok=True)
        for name in names:
            if "." in name:
                continue  # it is still being written
            count += 1
            if not (beside / name).exists():
                _copy(Path(directory, name), beside / name)
    return count


def _copy(source: Path, target: Path) -> None:
    """One file, for its owner only. One that has gone meanwhile is not missed."""
    try:
        opened = source.open("rb")
    except FileNotFoundError:
        return
    with opened, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
        shutil.copyfileobj(opened, written, 1 << 20)


def _dump(settings: Settings, target: Path) -> None:
    target.touch(mode=0o600)
    url, environment = libpq_url(settings)
    _run(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}", url], environment)


def _load(settings: Settings, source: Path) -> None:
    url, environment = libpq_url(settings)
    _run(
        ["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", f"--dbname={url}",
         str(source)],
        environment,
    )  # fmt: skip


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{command[0]} is not installed: it comes with PostgreSQL's client programs (Debian: postgresql-client)"
        ) from None
    if done.returncode != 0:
        raise BackupFailed(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
