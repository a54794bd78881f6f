"""Wishes to end tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from afield.service.domain.records import CancelRecord
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key
from afield.service.store.sql.rows import KEY, Shape
from afield.service.store.sql.statements import Delete, Insert

__all__ = ["cancels", "forget", "put"]

_CANCEL = Shape(CancelRecord, tables.cancels, {"task_id": KEY, "user_endpoint_id": KEY})
_ALL = select(*_CANCEL.columns).order_by(tables.cancels.c.task_id)

_put = Insert(tables.cancels, "replace")
_forget = Delete(tables.cancels, "task_id")


def put(connection: Connection, records: Sequence[CancelRecord]) -> None:
    """Add or replace. In the order of the tasks, so that two services never wait for each other's rows."""
    _put(connection, sorted(_CANCEL.row(record) for record in records))


def cancels(connection: Connection, user_endpoint_id: str | None) -> list[CancelRecord]:
    """All, or those for one user endpoint; by rising task id."""
    query = _ALL
    if user_endpoint_id is not None:
        query = query.where(tables.cancels.c.user_endpoint_id == key(user_endpoint_id))
    return [_CANCEL.record(row) for row in connection.execute(query)]


def forget(connection: Connection, task_ids: Iterable[str]) -> None:
    """Forget those for these tasks."""
    _forget(connection, [(one,) for one in sorted(map(key, task_ids))])
