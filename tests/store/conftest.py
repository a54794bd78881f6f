"""Stores to test: in memory, on SQLite, on PostgreSQL (each test in a database of its own)."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from afield.ids import new_id
from afield.service.store.base import Store
from afield.service.store.factory import open_store

# The suite asserts outside of test files; its failures should be as readable.


@pytest.fixture
async def postgres_url(anyio_backend: str) -> AsyncIterator[str]:
    """A fresh database, gone afterwards."""
    url = os.environ.get("AFIELD_TEST_POSTGRES")
    if not url:
        pytest.skip("needs a PostgreSQL: set AFIELD_TEST_POSTGRES to its URL")
    import asyncpg

    name = "afield_test_" + new_id().replace("-", "")
    connection = await asyncpg.connect(url)
    try:
        # template0 takes no connections, so tests side by side do not disturb each other.
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        yield url.rsplit("/", 1)[0] + "/" + name
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty place for each kind of store."""
    if request.param == "memory":
        return "memory:"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/store.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(where: str) -> AsyncIterator[Store]:
    """An open, empty store of each kind."""
    opened = open_store(where)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port on which nobody listens, kept from others while the test runs."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
