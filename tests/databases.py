"""PostgreSQL databases for tests, at the server that ``AFIELD_TEST_POSTGRES`` names.

To make a database and to drop it takes a server's disk long, so databases are used again: emptied by whoever had them,
and dropped when the tests are over.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest

from afield.ids import new_id
from afield.service.store.sql.schema import VERSION_TABLE

__all__ = ["database", "drop_all", "for_processes", "with_tables"]

#: those that are empty, and those that are empty but for their tables
_bare: list[str] = []
_furnished: list[str] = []
_all: list[str] = []

#: As it was made from template0, for whatever is Afield's.
_BARE = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"

#: Whatever is in the tables, and what gives out their numbers.
_ROWS = f"""
DO $$ DECLARE one text; BEGIN
  SET LOCAL session_replication_role = replica;
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> '{VERSION_TABLE}' LOOP
    EXECUTE format('DELETE FROM public.%I', one);
  END LOOP;
  FOR one IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
    EXECUTE format('ALTER SEQUENCE public.%I RESTART', one);
  END LOOP;
END $$
"""


@asynccontextmanager
async def database(*, flushed: bool = True) -> AsyncIterator[str]:
    """The URL of an empty database, which is a test's own.

    :param flushed: False: nobody waits until the server's disk has what they commit, for no test ends the server
    """
    async with _one_of(_bare, _BARE, flushed=flushed) as url:
        yield url


@asynccontextmanager
async def with_tables() -> AsyncIterator[str]:
    """The same with tables, if somebody had it before; for tests that do nothing to the tables themselves."""
    async with _one_of(_furnished, _ROWS, flushed=False) as url:
        yield url


@contextmanager
def for_processes() -> Iterator[str]:
    """The URL of a database that nobody had before and that is gone afterwards, whoever is still connected to it."""
    name = asyncio.run(_make(_server()))
    try:
        yield _url(name)
    finally:
        asyncio.run(_drop([name]))


def drop_all() -> None:
    """Leave nothing on the server."""
    names = _all.copy()
    for each in (_all, _bare, _furnished):
        each.clear()
    if names:
        asyncio.run(_drop(names))


@asynccontextmanager
async def _one_of(spare: list[str], emptying: str, *, flushed: bool) -> AsyncIterator[str]:
    server = _server()
    name = spare.pop() if spare else await _make(server)
    url = _url(name)
    if not flushed:
        await _execute(url, f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    yield url
    await _reset(server, name)
    await _execute(url, emptying)
    spare.append(name)


def _server() -> str:
    server = os.environ.get("AFIELD_TEST_POSTGRES")
    if not server:
        pytest.skip("needs a PostgreSQL: set AFIELD_TEST_POSTGRES to its URL")
    return server


def _url(name: str) -> str:
    return _server().rsplit("/", 1)[0] + "/" + name


async def _make(server: str) -> str:
    name = "afield_test_" + new_id().replace("-", "")
    # template0 takes no connections, so tests side by side do not disturb each other.
    await _execute(server, f'CREATE DATABASE "{name}" TEMPLATE template0')
    _all.append(name)
    return name


async def _reset(server: str, name: str) -> None:
    """Nobody is connected to it any more, and what a test set for it is forgotten."""
    connection = await _connect(server)
    try:
        await connection.execute(f'ALTER DATABASE "{name}" RESET ALL')
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        # As long as anybody may still hold a lock there.
        ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1"
        await connection.execute(ended, name)
    finally:
        await connection.close()


async def _drop(names: list[str]) -> None:
    with suppress(OSError):  # a server that is gone has nothing left
        connection = await _connect(os.environ["AFIELD_TEST_POSTGRES"])
        try:
            for name in names:
                await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        finally:
            await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await _connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _connect(url: str) -> Any:
    import asyncpg

    return await asyncpg.connect(url)
