"""Statements that run for many rows at once.

SQLAlchemy's way through a row costs more than SQLite's. So these statements are compiled once for each dialect and go
to the driver as text with plain tuples; the columns of :mod:`.tables` are chosen so that no value needs converting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from sqlalchemy import BindParameter, Connection, Select, Table, and_, bindparam, delete, update
from sqlalchemy.sql import ClauseElement

__all__ = ["Delete", "Find", "Insert", "Update", "pages"]

K = TypeVar("K", bytes, str)

#: SQLite and PostgreSQL allow some 32 000 parameters in a statement; short lists are planned faster
_PAGE = 512


def pages(keys: Sequence[K]) -> Iterator[list[K]]:
    """Keys for ``IN (…)`` lists: in pieces, filled up with their last key to a power of two.

    Every length is another statement, which both databases must read and plan first; so there are ten of them.
    """
    for start in range(0, len(keys), _PAGE):
        piece = list(keys[start : start + _PAGE])
        size = 1 << (len(piece) - 1).bit_length()
        yield piece + piece[-1:] * (size - len(piece))


class _Statement:
    """Text and the order of parameters, by dialect."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._texts: dict[str, tuple[str, list[int]]] = {}

    def build(self, dialect: str) -> ClauseElement:
        """The statement, with one parameter per column."""
        raise NotImplementedError

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run it for every row. No rows, no statement."""
        if not rows:
            return
        dialect = connection.dialect
        found = self._texts.get(dialect.name)
        if found is None:
            compiled: Any = self.build(dialect.name).compile(dialect=dialect)
            order = [self._columns.index(name) for name in compiled.positiontup]
            found = self._texts[dialect.name] = (str(compiled), order)
        statement, order = found
        if order != list(range(len(self._columns))):
            rows = [tuple(row[i] for i in order) for row in rows]
        connection.exec_driver_sql(statement, list(rows))


class Insert(_Statement):
    """Insert rows: tuples in the order of the table's columns.

    :param there: what to do about a row whose key is there: ``fail`` raises IntegrityError, ``keep`` and ``replace``
    :param but: columns, the table's last ones, that the tuples leave out: they become NULL, and cost less so
    """

    def __init__(
        self, table: Table, there: Literal["fail", "keep", "replace"] = "fail", *, but: Sequence[str] = ()
    ) -> None:
        super().__init__([column.name for column in table.columns if column.name not in but])
        self._table, self._there = table, there

    def build(self, dialect: str) -> ClauseElement:
        """Both dialects know the same ON CONFLICT; SQLAlchemy has it in two places."""
        from sqlalchemy.dialects import sqlite

        if dialect == "postgresql":
            from sqlalchemy.dialects import postgresql

            insert: Any = postgresql.insert(self._table)
        else:
            insert = sqlite.insert(self._table)
        insert = insert.values({name: bindparam(name) for name in self._columns})
        primary = [column.name for column in self._table.primary_key]
        if self._there == "keep":
            insert = insert.on_conflict_do_nothing(index_elements=primary)
        elif self._there == "replace":
            rest = {name: insert.excluded[name] for name in self._columns if name not in primary}
            insert = insert.on_conflict_do_update(index_elements=primary, set_=rest)
        return insert  # type: ignore[no-any-return]


class Delete(_Statement):
    """Delete rows by the values of these columns: tuples in their order."""

    def __init__(self, table: Table, *columns: str) -> None:
        super().__init__(columns)
        self._table = table

    def build(self, dialect: str) -> ClauseElement:  # noqa: ARG002 - the same in all
        """``DELETE FROM table WHERE column = ? AND …``"""
        return delete(self._table).where(and_(*(self._table.c[name] == bindparam(name) for name in self._columns)))


class Update(_Statement):
    """Change some columns of the rows with these values of others: tuples of both.

    :param changed: what is changed; first in the tuples
    :param by: which rows; after them
    """

    def __init__(self, table: Table, changed: Sequence[str], by: Sequence[str]) -> None:
        super().__init__([*changed, *by])
        self._table, self._changed, self._by = table, changed, by

    def build(self, dialect: str) -> ClauseElement:  # noqa: ARG002 - the same in all
        """``UPDATE table SET changed = ?, … WHERE column = ? AND …``"""
        which = and_(*(self._table.c[name] == bindparam(name) for name in self._by))
        return update(self._table).where(which).values({name: bindparam(name) for name in self._changed})


class Find:
    """Select rows by many keys.

    :param build: the statement, given the parameter for ``column.in_(…)``. Its columns must be of types that come from
        the drivers as they are: text, bytes and numbers, no booleans
    """

    def __init__(self, build: Callable[[BindParameter[Any]], Select[Any]]) -> None:
        self._build = build
        self._texts: dict[tuple[str, int], str] = {}

    def __call__(self, connection: Connection, keys: Sequence[bytes]) -> list[Any]:
        """The rows of those keys that exist, in no certain order."""
        found: list[Any] = []
        for page in pages(keys):
            which = connection.dialect.name, len(page)
            statement = self._texts.get(which)
            if statement is None:
                query = self._build(bindparam("keys", page, expanding=True))
                compiled = query.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
                statement = self._texts[which] = str(compiled)
            found += connection.exec_driver_sql(statement, tuple(page)).all()
        return found
