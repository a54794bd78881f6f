"""Rows and records of everything but tasks: a table's columns carry the names of the record's fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Connection, Table, bindparam, select, update

from afield.service.store.sql import keys

__all__ = ["JSON", "KEY", "PLAIN", "TEXTS", "Codec", "Shape"]

R = TypeVar("R", bound=msgspec.Struct)

_encode = msgspec.json.Encoder().encode


class Codec(msgspec.Struct, frozen=True):
    """How a field becomes a column and comes back. None becomes NULL."""

    to_column: Callable[[Any], Any]
    to_field: Callable[[Any], Any]
    #: what NULL becomes: what rows have that were written before there was the column
    null: Any = None


PLAIN = Codec(lambda value: value, lambda value: value)
KEY = Codec(keys.key, keys.text)
JSON = Codec(lambda value: _encode(value).decode(), msgspec.json.decode)
TEXTS = Codec(JSON.to_column, lambda value: tuple(msgspec.json.decode(value)))


class Shape(Generic[R]):
    """The way of one kind of record into its table and back.

    :param record: the record's type
    :param table: its columns begin with those of the record's fields, in their order
    :param codecs: of the fields that are not :data:`PLAIN`
    """

    def __init__(self, record: type[R], table: Table, codecs: Mapping[str, Codec]) -> None:
        self._record = record
        self._fields = [(name, codecs.get(name, PLAIN)) for name in record.__struct_fields__]
        #: the columns to select for :meth:`record`
        self.columns = [table.c[name] for name in record.__struct_fields__]
        self._table = table
        self._primary = next(iter(table.primary_key))
        # Built once: building a statement costs four times as much as running it.
        self._by_key = select(*self.columns).where(self._primary == bindparam("by_key"))

    def row(self, record: R) -> tuple[Any, ...]:
        """The columns of a record."""
        values = ((getattr(record, name), codec) for name, codec in self._fields)
        return tuple(None if value is None else codec.to_column(value) for value, codec in values)

    def one(self, connection: Connection, by_key: bytes) -> R | None:
        """The record with this primary key."""
        row = connection.execute(self._by_key, {"by_key": by_key}).first()
        return None if row is None else self.record(row)

    def change(self, connection: Connection, record: R) -> bool:
        """Put a record in the place of the one with its primary key; whether there is one."""
        values = dict(zip((name for name, _ in self._fields), self.row(record), strict=True))
        query = update(self._table).where(self._primary == values.pop(self._primary.name)).values(values)
        return connection.execute(query).rowcount > 0

    def record(self, row: Sequence[Any]) -> R:
        """The record of a row of :attr:`columns`."""
        pairs = zip(row, self._fields, strict=True)
        return self._record(*(codec.null if value is None else codec.to_field(value) for value, (_, codec) in pairs))
