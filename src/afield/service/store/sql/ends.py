"""How tasks end, whether somebody took the result, and when all of it is forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from itertools import repeat

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, exists, select, union_all

from afield.service.domain.records import FinishedTask, TaskView
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key
from afield.service.store.sql.statements import Delete, Find, Insert
from afield.service.store.sql.tasks import END_COLUMNS, TASK_COLUMNS, Load, task_view, view

__all__ = [
    "Finished",
    "Forgotten",
    "files",
    "finish",
    "forget",
    "forget_groups",
    "forget_wishes",
    "mark_delivered",
    "undelivered",
]

#: names of the files of an end's data and exception
EndFiles = tuple[bytes | None, bytes | None]

_t, _w, _e, _u, _l = tables.tasks.c, tables.waiting.c, tables.ends.c, tables.undelivered.c, tables.labels.c
_g, _c = tables.task_groups.c, tables.cancels.c
_encode = msgspec.json.Encoder().encode

_end = Insert(tables.ends)
_to_deliver = Insert(tables.undelivered)
_no_longer_waiting = Delete(tables.waiting, "user_endpoint_id", "id")
_delivered = Delete(tables.undelivered, "id")
_forget_task = Delete(tables.tasks, "id")
_forget_end = Delete(tables.ends, "id")
_forget_label = Delete(tables.labels, "id")
_forget_cancel = Delete(tables.cancels, "task_id")
_forget_steps = Delete(tables.steps, "id")

# The rows of `waiting` are locked (SQLite, where nobody else can write, has no such thing and leaves it out): of two
# service processes that end one task, the second waits here and then finds the row gone.
_find_open = Find(
    lambda keys: (
        select(*TASK_COLUMNS)
        .join_from(tables.tasks, tables.waiting, and_(_w.user_endpoint_id == _t.user_endpoint_id, _w.id == _t.id))
        .outerjoin(tables.labels, _l.id == _t.id)
        .where(_t.id.in_(keys))
        .order_by(_t.id)
        .with_for_update(of=tables.waiting)
    )
)
_UNDELIVERED = (
    select(*TASK_COLUMNS, _e.state, _e.completed_at, *END_COLUMNS)
    .select_from(tables.undelivered)
    .join(tables.tasks, _t.id == _u.id)
    .join(tables.ends, _e.id == _u.id)
    .outerjoin(tables.labels, _l.id == _u.id)
    .where(_u.id > bindparam("after"))
    .order_by(_u.id)
    .limit(bindparam("count"))
)
# A group that keeps its tasks for longer leaves old ends in the way. ``since``, where the last step ended, keeps each
# step from passing all of them again.
_ENDED_BEFORE = (
    select(_e.id, _t.payload_file, _e.data_file, _e.exception_file, _e.completed_at)
    .join_from(tables.ends, tables.tasks, _t.id == _e.id)
    .where(_e.completed_at >= bindparam("since"), _e.completed_at < bindparam("moment"))
    .order_by(_e.completed_at)
    .limit(bindparam("count"))
    .with_for_update(of=tables.ends, skip_locked=True)
)
_NEVER_ENDED = (
    select(_w.user_endpoint_id, _w.id, _t.payload_file)
    .join_from(tables.waiting, tables.tasks, _t.id == _w.id)
    .where(_w.created_at < bindparam("moment"))
    .limit(bindparam("count"))
    .with_for_update(of=tables.waiting, skip_locked=True)
)
_OF_GROUP = _t.group_id == bindparam("group_id")
_KEPT_AS_USUAL = ~exists().where(_g.id == _t.group_id, _g.retention_s.is_not(None))
_EMPTY_GROUPS = (
    select(_g.id)
    .where(_g.created_at < bindparam("moment"), ~exists().where(_t.group_id == _g.id))
    .limit(bindparam("count"))
)
_FILES = union_all(*(select(c).where(c.is_not(None)) for c in (_t.payload_file, _e.data_file, _e.exception_file)))


class Finished(msgspec.Struct, frozen=True):
    """What one caller ends."""

    ends: Sequence[FinishedTask]
    #: names of the files of each end's data and exception, one after the other, None for those that go into the row;
    #: None: all do
    files: Future[list[bytes | None]] | None = None


def finish(connection: Connection, finished: Sequence[Finished]) -> list[list[TaskView]]:
    """End tasks that have not ended.

    :return: for each caller, the tasks that its call ended, in the order given
    """
    first: dict[bytes, tuple[int, FinishedTask, EndFiles]] = {}
    for i, one in enumerate(finished):
        names = None if one.files is None else one.files.result()
        pairs = repeat((None, None)) if names is None else zip(names[::2], names[1::2], strict=True)
        for end, files in zip(one.ends, pairs, strict=False):
            first.setdefault(key(end.id), (i, end, files))
    found = {row[0]: row for row in _find_open(connection, sorted(first))}
    ended = {task: end for task, end in first.items() if task in found}
    _end(connection, [_row(task, end, files) for task, (_, end, files) in ended.items()])
    _to_deliver(connection, [(task,) for task in ended])
    _no_longer_waiting(connection, [(found[task][4], task) for task in ended])
    views: list[list[TaskView]] = [[] for _ in finished]
    for task, (i, end, _) in ended.items():
        views[i].append(task_view(found[task], end.state, end.completed_at, end))
    return views


def undelivered(connection: Connection, after: str, limit: int, load: Load) -> list[TaskView]:
    """Ended tasks whose result nobody took, by rising id."""
    where = {"after": key(after) if after else b"", "count": limit}
    return [view(row, load) for row in connection.execute(_UNDELIVERED, where)]


def mark_delivered(connection: Connection, task_ids: Iterable[str]) -> None:
    """Somebody took these."""
    _delivered(connection, [(key(i),) for i in task_ids])


class Forgotten(msgspec.Struct, frozen=True):
    """What one step of forgetting did."""

    count: int
    #: files that nobody needs any more once this is committed
    files: list[bytes]
    #: when the last of them ended: the next step begins there
    until: float


def forget(
    connection: Connection, moment: float, limit: int, since: float, group_id: str | None, *, open_too: bool
) -> Forgotten:
    """Forget up to ``limit`` tasks that ended, and as many that never did, before ``moment``.

    :param open_too: False: none that never did
    :param since: those that ended earlier are known to stay
    :param group_id: only those of this group; None: of those that say nothing of their own
    """
    which: dict[str, object] = {"moment": moment, "count": limit, "since": since}
    of = _KEPT_AS_USUAL
    if group_id is not None:
        which, of = which | {"group_id": key(group_id)}, _OF_GROUP
    ended = connection.execute(_ENDED_BEFORE.where(of), which).all()
    del which["since"]
    open_ = connection.execute(_NEVER_ENDED.where(of), which).all() if open_too else []
    both = [(row[0],) for row in ended] + [(row[1],) for row in open_]
    for forget_one in (_forget_task, _forget_label, _forget_cancel, _forget_steps):
        forget_one(connection, both)
    _forget_end(connection, [(row[0],) for row in ended])
    _delivered(connection, [(row[0],) for row in ended])
    _no_longer_waiting(connection, [(row[0], row[1]) for row in open_])
    names = [name for row in ended for name in row[1:4] if name is not None]
    names += [row[2] for row in open_ if row[2] is not None]
    return Forgotten(len(ended) + len(open_), names, ended[-1][4] if ended else since)


def forget_wishes(connection: Connection, moment: float) -> None:
    """Forget the wishes from before ``moment`` to end tasks that are not there."""
    connection.execute(delete(tables.cancels).where(_c.asked_at < moment, ~exists().where(_t.id == _c.task_id)))


def forget_groups(connection: Connection, moment: float, limit: int) -> int:
    """Forget up to ``limit`` task groups made before ``moment`` that have no task any more; how many it forgot."""
    old = _EMPTY_GROUPS.params(moment=moment, count=limit)
    return connection.execute(delete(tables.task_groups).where(_g.id.in_(old))).rowcount


def files(connection: Connection) -> set[bytes]:
    """The names of all files that some row refers to."""
    return set(connection.execute(_FILES).scalars())


def _row(one: bytes, end: FinishedTask, where: EndFiles) -> tuple[object, ...]:
    data_file, exception_file = where
    return (
        one,
        end.state.value,
        end.completed_at,
        None if end.error is None else _encode(end.error).decode(),
        None if end.details is None else _encode(end.details).decode(),
        _encode(end.transitions).decode() if end.transitions else None,
        data_file,
        exception_file,
        end.exception if exception_file is None else None,
        end.data if data_file is None else None,
    )
