"""Where tasks are that have not ended, as their endpoints report it, and where they have been."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, func, select

from afield.service.domain.records import TakenTask, TaskMove, TaskStep
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key, shared_text, text
from afield.service.store.sql.statements import Find, Insert, Update
from afield.service.store.sql.tasks import STATES
from afield.states import TERMINAL, TaskState, may_move

__all__ = ["move", "steps", "taken"]

_t, _w, _s = tables.tasks.c, tables.waiting.c, tables.steps.c

# The rows are locked, in the order of their ids, as when tasks end (sql/ends.py): nobody moves what another service
# just moved elsewhere or ended.
_find_open = Find(
    lambda keys: (
        select(_w.id, _w.user_endpoint_id, func.coalesce(_w.state, _t.state), _w.life)
        .join_from(tables.tasks, tables.waiting, and_(_w.user_endpoint_id == _t.user_endpoint_id, _w.id == _t.id))
        .where(_t.id.in_(keys))
        .order_by(_t.id)
        .with_for_update(of=tables.waiting)
    )
)
_move = Update(tables.waiting, ("state", "state_at", "life"), ("user_endpoint_id", "id"))
_step = Insert(tables.steps, "replace")
_STEPS = (
    select(_s.state, _s.at, _s.actor, _s.attempt, _s.life)
    .where(_s.id == bindparam("task_id"))
    .order_by(_s.at, _s.state)
)
_TAKEN = (
    select(_t.id, _t.group_id, _t.user_endpoint_id, _w.state_at, _w.life)
    .join_from(tables.waiting, tables.tasks, _t.id == _w.id)
    .where(_w.life.is_not(None))
    .order_by(_t.id)
)


def move(connection: Connection, wanted: Sequence[Sequence[TaskMove]]) -> list[list[str]]:
    """Move tasks that have not ended, where the table of states allows it.

    :return: for each caller, those that its call moved, each once, in the order given
    """
    keys = {m.id: key(m.id) for moves in wanted for m in moves}
    found = _find_open(connection, sorted(keys.values()))
    holders = {row[0]: row[1] for row in found}
    states = {row[0]: STATES[row[2]] for row in found}
    lives = {row[0]: row[3] for row in found}
    last: dict[bytes, TaskMove] = {}
    made: list[tuple[object, ...]] = []
    moved: list[list[str]] = []
    for moves in wanted:
        ids = {}
        for one in moves:
            task = keys[one.id]
            if task in states and one.state not in TERMINAL and may_move(states[task], one.state):
                states[task], last[task], ids[one.id] = one.state, one, True
                if one.life is not None or one.state is TaskState.WAITING_FOR_ENDPOINT:
                    lives[task] = one.life
                made.append((task, one.at, one.state.value, str(one.actor), one.attempt, one.life))
        moved.append(list(ids))
    _move(connection, [(one.state.value, one.at, lives[task], holders[task], task) for task, one in last.items()])
    _step(connection, made)
    return moved


def taken(connection: Connection, user_endpoint_id: str | None) -> list[TakenTask]:
    """Tasks that somebody has taken, by rising id."""
    query = _TAKEN if user_endpoint_id is None else _TAKEN.where(_w.user_endpoint_id == key(user_endpoint_id))
    return [
        TakenTask(text(task), shared_text(group), shared_text(holder), at, life)
        for task, group, holder, at, life in connection.execute(query)
    ]


def steps(connection: Connection, task_id: str) -> list[TaskStep]:
    """The moves of a task, the earliest first."""
    return [TaskStep(*row) for row in connection.execute(_STEPS, {"task_id": key(task_id)})]
