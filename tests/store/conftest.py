"""Stores to test: in memory, on SQLite, on PostgreSQL."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.databases import database, with_tables

from afield.service.store.base import Store
from afield.service.store.factory import open_store

# The suite asserts outside of test files; its failures should be as readable.


@pytest.fixture
async def postgres_url(anyio_backend: str) -> AsyncIterator[str]:
    """An empty database."""
    async with database() as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store of each kind."""
    if request.param == "postgres":
        async with with_tables() as url, _opened(url) as store:
            yield store
    else:
        async with _opened("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/data/store.db") as store:
            yield store


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    opened = open_store(url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port on which nobody listens, kept from others while the test runs."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
