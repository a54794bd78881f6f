"""The tables are what the migrations make, and alembic stays out of the way."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from afield.service.store.factory import open_store
from afield.service.store.sql import schema, tables

pytestmark = pytest.mark.anyio


def of_sqlite(connection: Connection) -> dict[str, str]:
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    return {name: re.sub(r"\s+", " ", sql) for name, sql in rows}


def of_postgres(connection: Connection) -> list[Any]:
    columns = text(
        "SELECT table_name, column_name, ordinal_position, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY 1, 3"
    )
    indexes = text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
    return [tuple(row) for query in (columns, indexes) for row in connection.execute(query)]


def test_both_ways_to_the_tables_lead_to_the_same_on_sqlite(tmp_path: Path) -> None:
    found = []
    for way in (lambda c: schema.prepare(c, "here"), schema.migrate):
        engine = create_engine(f"sqlite:///{tmp_path / str(len(found))}")
        with engine.begin() as connection:
            way(connection)
            found.append(of_sqlite(connection))
            assert connection.execute(text("SELECT version_num FROM afield_version")).scalar() == schema.HEAD
        engine.dispose()
    made, migrated = found
    assert made == migrated
    assert set(tables.metadata.tables) <= set(made)


@pytest.mark.postgres
async def test_both_ways_to_the_tables_lead_to_the_same_on_postgres(postgres_url: str) -> None:
    engine = create_async_engine(make_url(postgres_url).set(drivername="postgresql+asyncpg"))
    found = []
    for way in (lambda c: schema.prepare(c, "here"), schema.migrate):
        async with engine.connect() as connection:
            transaction = await connection.begin()
            await connection.run_sync(way)
            found.append(await connection.run_sync(of_postgres))
            await transaction.rollback()
    await engine.dispose()
    assert found[0] == found[1]


def test_every_script_is_a_known_version() -> None:
    config = Config()
    config.set_main_option("script_location", "afield.service.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == schema.KNOWN
    assert scripts.get_heads() == [schema.HEAD]


def test_a_database_of_today_is_opened_without_alembic(tmp_path: Path) -> None:
    """It takes longer to import than all the rest of opening."""
    code = (
        "import asyncio, sys\n"
        "from afield.service.store.factory import open_store\n"
        "async def main():\n"
        "    store = open_store(sys.argv[1]); await store.open(); await store.close()\n"
        "asyncio.run(main()); asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith(('alembic', 'asyncpg', 'greenlet'))])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


async def test_two_services_may_open_an_empty_database_at_once(postgres_url: str) -> None:
    import asyncio

    stores = [open_store(postgres_url) for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    for store in stores:
        await store.close()
