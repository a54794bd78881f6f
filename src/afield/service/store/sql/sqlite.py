"""Runs queries on SQLite: one thread owns the one connection.

Calls queue up. The thread takes all that have arrived, runs them in one transaction and tells all callers through one
``call_soon_threadsafe`` after the commit; what arrives meanwhile is the next group. So nobody waits for a timer, a lone
call commits at once, and the busier it is, the more calls share an fsync. Reads queue with the writes: they see every
call made before them, and a group of reads alone costs no fsync.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.pool import StaticPool

from afield.errors import DataDirectoryError
from afield.service.store.blobs import Blobs
from afield.service.store.directory import DataDirectory
from afield.service.store.sql.runner import GROUP, Call, Outcome, Work, resolve, run_group
from afield.service.store.sql.store import SqlStore

__all__ = ["SqliteRunner", "sqlite_store"]

T = TypeVar("T")


def sqlite_store(database: Path, data_dir: Path) -> SqlStore:
    """The store in an SQLite file.

    :param database: the file
    :param data_dir: locked while the store is open; big values go below it
    """
    return SqlStore(
        SqliteRunner(database), str(database), blobs=Blobs(data_dir / "blobs"), directory=DataDirectory(data_dir)
    )


#: On every connection. FULL: each commit is flushed, without it a power cut takes the last ones along.
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA busy_timeout=10000",  # a person with the sqlite3 shell may hold the lock for a moment
    "PRAGMA cache_size=-16000",  # kB
    "PRAGMA temp_store=MEMORY",
    "PRAGMA wal_autocheckpoint=4000",  # pages; a checkpoint costs two more flushes
)


class SqliteRunner:
    """One database file. See :class:`~afield.service.store.sql.runner.Runner` for the promises.

    :param database: the file; made, readable for its owner only, if it is not there
    """

    def __init__(self, database: Path) -> None:
        self.commits = 0
        self._database = database
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._held: Call | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, prepare: Work[None]) -> None:
        """Start the thread; it connects and prepares."""
        self._loop = asyncio.get_running_loop()
        self._calls, self._held = SimpleQueue(), None
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._live, args=(prepare, opened), name="afield-store", daemon=True)
        self._thread.start()
        try:
            await asyncio.wrap_future(opened)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish all calls, then end the thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._calls.put(None)
        await asyncio.get_running_loop().run_in_executor(None, thread.join)

    async def run(
        self,
        work: Work[T],
        *,
        writes: bool,  # noqa: ARG002
        ready: Future[Any] | None = None,
        flushed: bool = True,
    ) -> T:
        """Queue it. Reads queue like writes."""
        if self._thread is None or self._loop is None:
            raise RuntimeError("the store is closed, or was never opened")
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put(Call(work, future, ready, flushed=flushed))
        return await future

    def block(self, function: Callable[..., T], *arguments: object) -> T:
        """Work runs in a thread of its own, which may block."""
        return function(*arguments)

    # -- the thread --------------------------------------------------------------------------------------------------

    def _live(self, prepare: Work[None], opened: Future[None]) -> None:
        engine = _engine(self._database)
        try:
            try:
                connection = self._connect(engine, prepare)
            except BaseException as error:  # noqa: BLE001 - it goes to whoever awaits open
                opened.set_exception(error)
                return
            opened.set_result(None)
            with connection:
                while group := self._take():
                    self._run(connection, group)
        finally:
            engine.dispose()

    def _connect(self, engine: Engine, prepare: Work[None]) -> Connection:
        try:
            _make_private(self._database)
            connection = engine.connect()
            try:
                with connection.begin():
                    prepare(connection)
            except BaseException:
                connection.close()
                raise
        except (OSError, exc.DBAPIError, sqlite3.Error) as error:
            raise _unusable(self._database, error) from error
        return connection

    def _take(self) -> list[Call]:
        """Wait for a call; that one and all that have arrived and are ready, or none when it is time to end."""
        first = self._held or self._calls.get()
        self._held = None
        if first is None:
            return []
        if first.ready is not None:
            _wait(first.ready)
        group = [first]
        while len(group) < GROUP:
            try:
                call = self._calls.get_nowait()
            except Empty:
                break
            if call is None:
                # Whoever closes has called last; what is in the group is still to be run.
                self._calls.put(None)
                break
            if call.ready is not None and not call.ready.done():
                self._held = call
                break
            group.append(call)
        return group

    def _run(self, connection: Connection, group: list[Call]) -> None:
        is_flushed = any(call.flushed for call in group)
        try:
            if not is_flushed:
                _synchronous(connection, "NORMAL")
            try:
                outcomes = run_group(connection, group)
            finally:
                if not is_flushed:
                    _synchronous(connection, "FULL")
            self.commits += 1
        except Exception as error:  # noqa: BLE001 - every caller of the group is told
            outcomes = [Outcome(error=error)] * len(group)
        assert self._loop is not None
        # A loop that was closed before the store has nobody left who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(resolve, group, outcomes)


def _synchronous(connection: Connection, how: str) -> None:
    """Whether commits are flushed to the disk, between two transactions. What is not flushed survives the process."""
    connection.connection.cursor().execute(f"PRAGMA synchronous={how}").close()


def _wait(ready: Future[Any]) -> None:
    """Until it is done; how it went is seen by the work that asks for it."""
    done = threading.Event()
    ready.add_done_callback(lambda _: done.set())
    done.wait()


def _engine(database: Path) -> Engine:
    # isolation_level None: the driver begins nothing by itself, so BEGIN is where we say it, before reads too.
    engine = create_engine(
        f"sqlite:///{database}",
        poolclass=StaticPool,
        connect_args={"isolation_level": None, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        for pragma in _PRAGMAS:
            connection.execute(pragma).close()
        # As PostgreSQL has them. SQLite's own `lower` knows 26 letters.
        connection.create_function("lower", 1, _lower, deterministic=True)
        connection.create_function("strpos", 2, _strpos, deterministic=True)

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _lower(value: str | None) -> str | None:
    return None if value is None else value.lower()


def _strpos(value: str | None, part: str) -> int | None:
    return None if value is None else value.find(part) + 1


def _make_private(database: Path) -> None:
    """Make the file, or take other people's access away. SQLite gives the files beside it the same mode."""
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _unusable(database: Path, error: Exception) -> DataDirectoryError:
    if "file is not a database" in str(error):
        return DataDirectoryError(f"{database} is not an SQLite database: move it away, or name another data directory")
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    return DataDirectoryError(
        f"cannot use the database {database}: {cause}. This user must own its directory, with free space on the disk"
    )
