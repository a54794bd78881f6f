"""Runs queries on PostgreSQL, through asyncpg.

Writes go down one lane for each process: what has arrived is run in one transaction on one connection, as on SQLite, so
the order of calls holds and a commit is shared. A read runs on a connection of its own, after the commit of the writes
that were called before it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from asyncpg.exceptions import PostgresError
from sqlalchemy import URL, Connection, exc, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from afield.errors import ConfigurationError, DataDirectoryError
from afield.service.store.blobs import Blobs
from afield.service.store.sql.runner import GROUP, Call, Outcome, Work, connection_lost, resolve, run_group
from afield.service.store.sql.store import SqlStore

__all__ = ["PostgresRunner", "postgres_store"]

T = TypeVar("T")

#: A file that no row names and that is older than this (seconds) was left behind by a crash.
_LEFT_BEHIND = 24 * 3600.0


def postgres_store(url: str, data_dir: Path | None, connections: int = 8) -> SqlStore:
    """The store in a PostgreSQL database.

    :param url: ``postgresql://user:password@host:port/name``
    :param data_dir: big values go below it, and all replicas must share it; None: they stay in rows
    :param connections: one for the writes, the others for reads. A server's default is 100 for all
    :raises ConfigurationError: the URL is not one
    """
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        # The URL may hold a password, so it is not repeated.
        raise ConfigurationError(
            "the database's URL cannot be read: write postgresql://user:password@host:port/name"
        ) from None
    return SqlStore(
        PostgresRunner(parsed, connections),
        parsed.render_as_string(hide_password=True),
        blobs=None if data_dir is None else Blobs(data_dir / "blobs"),
        shared_blobs_age=_LEFT_BEHIND,
    )


#: A commit that need not survive the server does not wait for its disk.
_NOT_FLUSHED = "SET LOCAL synchronous_commit TO off"


class PostgresRunner:
    """One database. See :class:`~afield.service.store.sql.runner.Runner` for the promises.

    :param url: of the database; ``sslmode`` is understood as libpq does
    :param connections: at least two
    """

    def __init__(self, url: URL, connections: int = 8) -> None:
        self.commits = 0
        self._connections = max(2, connections)
        self._where = url.render_as_string(hide_password=True)
        query = dict(url.query)
        if "sslmode" in query:
            query["ssl"] = query.pop("sslmode")
        self._url = url.set(drivername="postgresql+asyncpg", query=query)
        self._engine: AsyncEngine | None = None
        self._lane: asyncio.Task[None] | None = None
        self._calls: deque[Call] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._last_write: asyncio.Future[None] | None = None
        self._reads: set[asyncio.Future[None]] = set()

    async def open(self, prepare: Work[None]) -> None:
        """Connect, prepare, and start the lane."""
        self._closing = False
        engine = self._engine = create_async_engine(self._url, pool_size=self._connections, max_overflow=0)
        try:
            async with engine.connect() as connection, connection.begin():
                await connection.run_sync(prepare)
        except (OSError, exc.DBAPIError, PostgresError) as error:
            cause = error.orig if isinstance(error, exc.DBAPIError) else error
            raise DataDirectoryError(
                f"cannot use the database {self._where}: {cause}. Is it running, and may this user create tables in it?"
            ) from error
        self._lane = asyncio.create_task(self._run_lane(engine), name="afield-store")

    async def close(self) -> None:
        """Finish all calls, then disconnect."""
        self._closing = True
        self._arrived.set()
        lane, self._lane = self._lane, None
        if lane is not None:
            await lane
        if self._reads:
            await asyncio.wait(self._reads)
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    async def run(self, work: Work[T], *, writes: bool, ready: Future[Any] | None = None, flushed: bool = True) -> T:
        """Writes go down the lane, reads beside it."""
        if self._engine is None or self._closing:
            raise RuntimeError("the store is closed, or was never opened")
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        if writes:
            future: asyncio.Future[T] = loop.create_future()
            self._calls.append(Call(work, future, ready, over, flushed))
            self._last_write = over
            self._arrived.set()
            return await future
        self._reads.add(over)
        try:
            return await self._read(self._engine, work, self._last_write)
        finally:
            self._reads.discard(over)
            over.set_result(None)

    async def _read(self, engine: AsyncEngine, work: Work[T], before: asyncio.Future[None] | None) -> T:
        if before is not None and not before.done():
            await asyncio.wait([before])
        try:
            async with engine.connect() as connection, connection.begin():
                return await connection.run_sync(work)
        except exc.DBAPIError as error:
            if not connection_lost(error):
                raise
        # The server closed a connection that lay idle. The pool now drops all of that age, so the next one is new.
        async with engine.connect() as connection, connection.begin():
            return await connection.run_sync(work)

    def block(self, function: Callable[..., T], *arguments: object) -> T:
        """Work runs in the event loop, which must not block: a thread does this."""
        return await_only(asyncio.to_thread(function, *arguments))

    # -- the lane ----------------------------------------------------------------------------------------------------

    async def _run_lane(self, engine: AsyncEngine) -> None:
        while True:
            while not self._calls:
                if self._closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
            group = await self._take()
            try:
                async with engine.connect() as connection:
                    await self._run(connection, group)
            except Exception as error:  # noqa: BLE001 - no connection: every caller of the group is told
                resolve(group, [Outcome(error=error)] * len(group))

    async def _take(self) -> list[Call]:
        """All that have arrived and are ready."""
        first = self._calls.popleft()
        if first.ready is not None:
            await asyncio.wait([asyncio.wrap_future(first.ready)])
        group = [first]
        while self._calls and len(group) < GROUP:
            if (ready := self._calls[0].ready) is not None and not ready.done():
                break
            group.append(self._calls.popleft())
        return group

    async def _run(self, connection: AsyncConnection, group: list[Call]) -> None:
        def run(sync: Connection) -> list[Outcome]:
            return run_group(sync, group, None if any(call.flushed for call in group) else _NOT_FLUSHED)

        outcomes = await connection.run_sync(run)
        self.commits += 1
        resolve(group, outcomes)
