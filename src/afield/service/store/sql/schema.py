"""The version of the tables: made, migrated or refused when a store is opened.

The database says its version in the table ``afield_version``, which Alembic reads and writes. Alembic takes long to
import (a quarter of a second), so it is left alone unless there is something to migrate: a database of today's version
is recognised, and a new one is made from :mod:`.tables`, without it. A test proves that both ways lead to the same
tables.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, select, text

from afield.errors import DataDirectoryError
from afield.service.store.sql import tables

__all__ = ["HEAD", "KNOWN", "VERSION_TABLE", "migrate", "prepare"]

#: The versions that there have been, oldest first: the revisions in ``migrations/versions``.
KNOWN: Final = ("0001", "0002", "0003", "0004", "0006", "0007", "0008", "0009", "0010")
#: What this Afield writes.
HEAD: Final = KNOWN[-1]
#: Not Alembic's usual name, so that Afield may share a PostgreSQL database with other programs.
VERSION_TABLE: Final = "afield_version"

#: as Alembic would make it
_version = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)

#: any number, the same in all services: who holds it makes or migrates the tables
_POSTGRES_LOCK = 0x0AF1E1D


def prepare(connection: Connection, where: str) -> None:
    """Make the tables, or bring them to today's version, within the caller's transaction.

    :param where: the database, for messages, without secrets
    :raises DataDirectoryError: written by a newer Afield, or by another program
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _POSTGRES_LOCK})
    found = _found(connection, where)
    if found == HEAD:
        return
    if found is None:
        tables.metadata.create_all(connection, checkfirst=False)
        _version.create(connection, checkfirst=False)
        connection.execute(_version.insert().values(version_num=HEAD))
    elif found in KNOWN:
        migrate(connection)
    else:
        raise DataDirectoryError(
            f"{where} was written by a newer Afield: its tables have version {found}, and this one, Afield "
            f"{version('afield')}, knows them up to {HEAD}. Install the newer one again, or name another place"
        )


def migrate(connection: Connection, to: str = HEAD) -> None:
    """Bring the tables from whatever they are to a version, within the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "afield.service.store:migrations")
    command.upgrade(config, to)


def _found(connection: Connection, where: str) -> str | None:
    """The version of the tables, None if there are none."""
    there = set(inspect(connection).get_table_names())
    if VERSION_TABLE in there:
        return connection.execute(select(_version.c.version_num)).scalar()
    strangers = there & set(tables.metadata.tables) if connection.dialect.name == "postgresql" else there
    if strangers:
        raise DataDirectoryError(
            f"{where} holds another program's tables ({', '.join(sorted(strangers)[:3])}): name another place"
        )
    return None
