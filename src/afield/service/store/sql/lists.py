"""What somebody has, the newest first: their tasks and their functions.

A rare thing in a long list is only found by looking at all of it, and on SQLite everybody waits meanwhile. So a search
goes in steps of so many rows each, and between two steps others have their turn. A step is a range of ids, and whatever
else is asked for is looked at within it only.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, func, or_, select

from afield.service.domain.records import ListedFunction, ListedTask
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key, shared_text, text
from afield.service.store.sql.rows import KEY, Shape
from afield.service.store.sql.tasks import SINCE, STATE, STATES, in_all_tables

__all__ = ["ABOVE_ALL", "STEP", "ListedTasks", "functions", "tasks"]

#: Rows looked at in a step: some ten milliseconds.
STEP: Final = 2000

_t, _e, _l, _f = tables.tasks.c, tables.ends.c, tables.labels.c, tables.functions.c

_LISTED: Final = (_t.id, STATE, SINCE, _t.created_at, _t.group_id, _t.endpoint_id, _t.function_id, _f.name, _l.label)
_FUNCTION: Final = Shape(ListedFunction, tables.functions, {"id": KEY, "owner_id": KEY})

#: above every key: those are 16 bytes, or begin with a mark
ABOVE_ALL: Final = b"\xff" * 17


class ListedTasks(msgspec.Struct, frozen=True):
    """Whose tasks, and which of them. What is None does not matter."""

    owner_id: str
    pending: bool | None = None
    state: str | None = None
    endpoint_id: str | None = None
    function_id: str | None = None
    group_id: str | None = None
    search: str | None = None


def tasks(
    connection: Connection, wanted: ListedTasks, below: bytes, limit: int
) -> tuple[list[ListedTask], bytes | None]:
    """One step through somebody's tasks.

    :param below: the step begins below this key
    :return: up to ``limit`` tasks, and the key below which the next step begins; None: there is none
    """
    owner, other = key(wanted.owner_id), _filters(wanted)
    if wanted.group_id is None:
        among = _t.owner_id == owner
    else:
        among = _t.group_id == key(wanted.group_id)
        # A group is smaller than all that its owner has: `coalesce` keeps the database from the owner's index.
        other.append(func.coalesce(_t.owner_id, b"") == owner)
    last = _last_of_step(connection, _t.id, among, below) if other else None
    query = (
        select(*_LISTED)
        .select_from(in_all_tables().outerjoin(tables.functions, _f.id == _t.function_id))
        .where(among, *other, _t.id < below, _t.id >= (last or b""))
        .order_by(_t.id.desc())
        .limit(limit)
    )
    return [_listed(row) for row in connection.execute(query)], last


def _filters(wanted: ListedTasks) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.pending is not None:
        found.append(_e.id.is_(None) if wanted.pending else _e.id.is_not(None))
    if wanted.state is not None:
        found.append(STATE.in_([wanted.state]))
    if wanted.endpoint_id is not None:
        found.append(_t.endpoint_id == key(wanted.endpoint_id))
    if wanted.function_id is not None:
        found.append(_t.function_id == key(wanted.function_id))
    if wanted.search:
        found.append(or_(_holds(_l.label, wanted.search), _holds(_f.name, wanted.search)))
    return found


def functions(
    connection: Connection, owner_id: str, search: str | None, below: bytes, limit: int
) -> tuple[list[ListedFunction], bytes | None]:
    """One step through somebody's functions; as for :func:`tasks`."""
    among = _f.owner_id == key(owner_id)
    other = [or_(_holds(_f.name, search), _holds(_f.description, search))] if search else []
    last = _last_of_step(connection, _f.id, among, below)
    query = (
        select(*_FUNCTION.columns)
        .where(among, _f.deleted.is_(False), *other, _f.id < below, _f.id >= (last or b""))
        .order_by(_f.id.desc())
        .limit(limit)
    )
    return [_FUNCTION.record(row) for row in connection.execute(query)], last


def _last_of_step(
    connection: Connection, ids: ColumnElement[bytes], among: ColumnElement[bool], below: bytes
) -> bytes | None:
    """The key of the last row of a step; None if the step reaches to the end."""
    query = select(ids).where(among, ids < below).order_by(ids.desc()).limit(1).offset(STEP - 1)
    return connection.execute(query).scalar()


def _holds(column: ColumnElement[Any], search: str) -> ColumnElement[bool]:
    # Not LIKE, in which some characters stand for others. SQLite learns both functions in sql/sqlite.py.
    return func.strpos(func.lower(column), search.lower()) > 0


def _listed(row: Any) -> ListedTask:
    return ListedTask(
        id=text(row[0]),
        state=STATES[row[1]],
        since=row[2],
        created_at=row[3],
        group_id=shared_text(row[4]),
        endpoint_id=shared_text(row[5]),
        function_id=shared_text(row[6]),
        function_name=row[7] or "",
        label=row[8],
    )
