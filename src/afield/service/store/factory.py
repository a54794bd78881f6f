"""Which store a URL means. Each is imported only when it is chosen."""

from __future__ import annotations

from pathlib import Path

from afield.errors import ConfigurationError
from afield.service.store.base import Store

__all__ = ["DATABASE", "is_postgres", "open_store"]

_POSTGRES = frozenset({"postgresql", "postgres"})

#: the name of the database in a data directory
DATABASE = "afield.db"


def is_postgres(url: str | None) -> bool:
    """Whether this URL means a PostgreSQL, which several services may share."""
    return url is not None and url.partition(":")[0] in _POSTGRES


def open_store(url_or_path: str | Path, *, data_dir: Path | None = None, connections: int = 8) -> Store:
    """The store that a URL or a path means; it is still to be opened with :meth:`Store.open`.

    - a path: a data directory with SQLite in it: the database ``afield.db``, big values, the lock;
    - ``sqlite:///relative.db`` or ``sqlite:////absolute.db``: that file;
    - ``postgresql://user:password@host/name``;
    - ``memory:``: nothing is kept.

    :param url_or_path: as somebody configured it
    :param data_dir: where the lock and the files of big values are. For SQLite the default is the database's directory.
        For PostgreSQL None keeps big values in rows; a directory must be one that all replicas share
    :param connections: to PostgreSQL, of this process
    :raises ConfigurationError: nothing that is known here
    """
    text = str(url_or_path)
    scheme, colon, rest = text.partition(":")
    if isinstance(url_or_path, Path) or not colon or "/" in scheme:
        directory = Path(url_or_path)
        return _sqlite(directory / DATABASE, data_dir or directory)
    if scheme == "memory":
        from afield.service.store.memory import MemoryStore

        return MemoryStore()
    if scheme == "sqlite" and rest.startswith("///") and len(rest) > 3:
        database = Path(rest[3:])
        return _sqlite(database, data_dir or database.parent)
    if scheme in _POSTGRES:
        from afield.service.store.sql.postgres import postgres_store

        return postgres_store(text, data_dir, connections)
    raise ConfigurationError(
        f"{text!r} names no database that Afield knows: write a directory, sqlite:///path/to/file.db or "
        "postgresql://user:password@host/name"
    )


def _sqlite(database: Path, data_dir: Path) -> Store:
    from afield.service.store.sql.sqlite import sqlite_store

    return sqlite_store(database, data_dir)
