"""Where tasks are that have not ended, as their endpoints report it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, func, select

from afield.service.domain.records import TaskMove
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key
from afield.service.store.sql.statements import Find, Update
from afield.service.store.sql.tasks import STATES
from afield.states import TERMINAL, may_move

__all__ = ["move"]

_t, _w = tables.tasks.c, tables.waiting.c

# The rows are locked, in the order of their ids, as when tasks end (sql/ends.py): nobody moves what another service
# just moved elsewhere or ended.
_find_open = Find(
    lambda keys: (
        select(_w.id, _w.user_endpoint_id, func.coalesce(_w.state, _t.state))
        .join_from(tables.tasks, tables.waiting, and_(_w.user_endpoint_id == _t.user_endpoint_id, _w.id == _t.id))
        .where(_t.id.in_(keys))
        .order_by(_t.id)
        .with_for_update(of=tables.waiting)
    )
)
_move = Update(tables.waiting, ("state", "state_at"), ("user_endpoint_id", "id"))


def move(connection: Connection, wanted: Sequence[Sequence[TaskMove]]) -> list[list[str]]:
    """Move tasks that have not ended, where the table of states allows it.

    :return: for each caller, those that its call moved, each once, in the order given
    """
    keys = {m.id: key(m.id) for moves in wanted for m in moves}
    found = _find_open(connection, sorted(keys.values()))
    holders = {row[0]: row[1] for row in found}
    states = {row[0]: STATES[row[2]] for row in found}
    last: dict[bytes, TaskMove] = {}
    moved: list[list[str]] = []
    for moves in wanted:
        ids = {}
        for one in moves:
            task = keys[one.id]
            if task in states and one.state not in TERMINAL and may_move(states[task], one.state):
                states[task], last[task], ids[one.id] = one.state, one, True
        moved.append(list(ids))
    _move(connection, [(one.state.value, one.at, holders[task], task) for task, one in last.items()])
    return moved
