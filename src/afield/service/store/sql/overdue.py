"""Tasks that have waited for too long."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, or_, select

from afield.service.store.sql import tables
from afield.service.store.sql.keys import key, shared_text, text
from afield.states import TaskState

__all__ = ["overdue"]

_t, _w, _g = tables.tasks.c, tables.waiting.c, tables.task_groups.c
_waits = or_(_w.state.is_(None), _w.state == TaskState.WAITING_FOR_ENDPOINT.value)
_OVERDUE = (
    select(_w.id, _w.user_endpoint_id)
    .join_from(tables.waiting, tables.tasks, _t.id == _w.id)
    .where(
        or_(
            and_(_waits, _w.created_at < bindparam("moment")),
            and_(~_waits, _w.state_at < bindparam("seen")),
        )
    )
    .order_by(_w.user_endpoint_id, _w.id)
    .limit(bindparam("count"))
)
_OF_GROUP = _OVERDUE.where(_t.group_id == bindparam("group_id"))
_AS_USUAL = _OVERDUE.where(~exists().where(_g.id == _t.group_id, _g.waiting_s.is_not(None)))


def overdue(
    connection: Connection, moment: float, seen: float, group_id: str | None, limit: int
) -> list[tuple[str, str]]:
    """(task, user endpoint): those that wait since before ``moment``, or were last seen elsewhere before ``seen``."""
    which: dict[str, Any] = {"moment": moment, "seen": seen, "count": limit}
    query = _AS_USUAL
    if group_id is not None:
        query, which["group_id"] = _OF_GROUP, key(group_id)
    return [(text(task), shared_text(holder)) for task, holder in connection.execute(query, which)]
