"""A look at a database from outside a service: which it is, whether it answers, and how old its tables are.

What is asked here goes past the store on purpose. A store that is opened migrates its tables; whoever only wants to
know must change nothing.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from afield.errors import ConfigurationError, DataDirectoryError
from afield.service.settings import Settings
from afield.service.store.factory import DATABASE

__all__ = ["Seen", "is_postgres", "libpq_url", "look", "sqlite_file"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found.

    :param software: its name and version
    :param version: of the tables; None: there are none of ours yet
    :param skew_s: how far its clock is ahead of this machine's, in seconds; None: it has none of its own
    """

    software: str
    version: str | None
    skew_s: float | None = None


def is_postgres(settings: Settings) -> bool:
    """Whether the records are in PostgreSQL."""
    return (settings.database or "").partition(":")[0] in {"postgresql", "postgres"}


def sqlite_file(settings: Settings) -> Path:
    """The file that the records are in.

    :raises ConfigurationError: they are in none
    """
    given = settings.database
    if given is None:
        return settings.data_dir / DATABASE
    if given.startswith("sqlite:///") and len(given) > 10:
        return Path(given[10:])
    raise ConfigurationError("the database is neither an SQLite file nor PostgreSQL: there is nothing to look at")


def libpq_url(settings: Settings) -> tuple[str, dict[str, str]]:
    """The address of a PostgreSQL database for programs of its own, and the environment with its password: what is on a
    command line, all users of a machine can read.
    """
    from sqlalchemy import make_url

    url = make_url(settings.database or "")
    environment = {} if url.password is None else {"PGPASSWORD": str(url.password)}
    return url.set(drivername="postgresql", password=None).render_as_string(hide_password=False), environment


async def look(settings: Settings) -> Seen:
    """Ask the database.

    :raises DataDirectoryError: it does not answer
    """
    return await _postgres(settings) if is_postgres(settings) else _sqlite(sqlite_file(settings))


def _sqlite(file: Path) -> Seen:
    software = f"SQLite {sqlite3.sqlite_version}"
    if not file.exists():
        return Seen(software, None)
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "afield_version" not in tables:
                return Seen(software, None)
            [version] = connection.execute("SELECT version_num FROM afield_version").fetchone()
    except sqlite3.Error as error:
        raise DataDirectoryError(f"{file} cannot be read: {error}") from error
    return Seen(software, version)


async def _postgres(settings: Settings) -> Seen:
    import asyncpg
    from asyncpg.exceptions import InterfaceError, PostgresError
    from sqlalchemy import make_url

    url = make_url(settings.database or "")
    try:
        connection = await asyncpg.connect(  # type: ignore[no-untyped-call]
            url.set(drivername="postgresql").render_as_string(hide_password=False), timeout=10
        )
        try:
            before = time.time()
            now, software = await connection.fetchrow(
                "SELECT extract(epoch FROM clock_timestamp())::float8, current_setting('server_version')"
            )
            skew = now - (before + time.time()) / 2
            there = await connection.fetchval("SELECT to_regclass('afield_version') IS NOT NULL")
            version = await connection.fetchval("SELECT version_num FROM afield_version") if there else None
        finally:
            await connection.close()
    except (OSError, TimeoutError, PostgresError, InterfaceError) as error:
        shown = url.render_as_string(hide_password=True)
        raise DataDirectoryError(f"{shown} does not answer: {error or type(error).__name__}") from error
    return Seen(f"PostgreSQL {software}", version, skew)
