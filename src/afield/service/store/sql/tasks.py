"""Tasks as they were accepted, and the answers to submits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import repeat
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, FromClause, and_, bindparam, exc, func, select

from afield.service.domain.records import (
    FinishedTask,
    FunctionRecord,
    SubmitRecord,
    TaskOptions,
    TaskRecord,
    TaskView,
    WaitingTasks,
)
from afield.service.domain.repeats import Attempt, Repeated, Unclear
from afield.service.store.base import AlreadyStored
from afield.service.store.sql import catalogue, hand_overs, tables, unanswered
from afield.service.store.sql.keys import key, shared_key, shared_text, text
from afield.service.store.sql.statements import Find, Insert
from afield.states import TaskState
from afield.wire.messages import ErrorDetails

__all__ = [
    "END_COLUMNS",
    "SINCE",
    "STATE",
    "STATES",
    "TASK_COLUMNS",
    "Load",
    "Submitted",
    "add",
    "in_all_tables",
    "in_group",
    "submit",
    "task_view",
    "view",
    "views",
    "waiting",
    "waiting_by_state",
    "waiting_counts",
]

#: reads the file of a big value
Load = Callable[[bytes], bytes]

STATES: Final = {state.value: state for state in TaskState}

_t, _w, _e, _s, _l = tables.tasks.c, tables.waiting.c, tables.ends.c, tables.submits.c, tables.labels.c

#: what a view tells of a task
TASK_COLUMNS: Final = (
    _t.id,
    _t.group_id,
    _t.owner_id,
    _t.endpoint_id,
    _t.user_endpoint_id,
    _t.function_id,
    _t.created_at,
    _l.label,
)
#: where it is, and when it came there
STATE: Final = func.coalesce(_e.state, _w.state, _t.state)
SINCE: Final = func.coalesce(_e.completed_at, _w.state_at, _t.created_at)
#: what it tells of its end
END_COLUMNS: Final = (
    _e.completed_at,
    _e.error,
    _e.details,
    _e.transitions,
    _e.data_file,
    _e.exception_file,
    _e.exception,
    _e.data,
)

_DEFAULTS: Final = TaskOptions()
_encode = msgspec.json.Encoder().encode
_options = msgspec.json.Decoder(TaskOptions).decode
_error = msgspec.json.Decoder(ErrorDetails).decode
_details = msgspec.json.Decoder(dict[str, Any]).decode
_transitions = msgspec.json.Decoder(tuple[tuple[int, str, str], ...]).decode

_add_tasks = Insert(tables.tasks)
_add_waiting = Insert(tables.waiting, but=("state", "state_at", "life"))
_add_labels = Insert(tables.labels)
_add_submit = Insert(tables.submits)


def in_all_tables() -> FromClause:
    """Tasks with their label, and where they wait or how they ended."""
    return (
        tables.tasks.outerjoin(tables.waiting, and_(_w.user_endpoint_id == _t.user_endpoint_id, _w.id == _t.id))
        .outerjoin(tables.ends, _e.id == _t.id)
        .outerjoin(tables.labels, _l.id == _t.id)
    )


_find = Find(
    lambda keys: select(*TASK_COLUMNS, STATE, SINCE, *END_COLUMNS).select_from(in_all_tables()).where(_t.id.in_(keys))
)
_IN_GROUP = (
    select(*TASK_COLUMNS, STATE, SINCE)
    .select_from(in_all_tables())
    .where(_t.group_id == bindparam("group_id"))
    .order_by(_t.id)
)
_WAITING = (
    select(
        _t.id,
        _t.group_id,
        _t.owner_id,
        _t.endpoint_id,
        _t.user_endpoint_id,
        _t.function_id,
        _t.created_at,
        _t.state,
        _t.options,
        _t.payload_file,
        _t.payload,
    )
    .join_from(tables.waiting, tables.tasks, _t.id == _w.id)
    .where(and_(_w.user_endpoint_id == bindparam("user_endpoint_id"), _w.id > bindparam("after")))
    .order_by(_w.id)
    .limit(bindparam("count"))
)
_SUBMIT = select(_s.key, _s.response, _s.created_at).where(
    _s.key == bindparam("submit_key"), _s.created_at >= bindparam("since")
)
_COUNTS = select(_w.user_endpoint_id, func.count()).group_by(_w.user_endpoint_id)
_BY_STATE = select(_w.user_endpoint_id, _w.state, func.count(), func.min(_w.created_at)).group_by(
    _w.user_endpoint_id, _w.state
)


class Submitted(msgspec.Struct, frozen=True):
    """What one caller adds."""

    tasks: Sequence[TaskRecord]
    submit: SubmitRecord | None = None
    functions: Sequence[FunctionRecord] = ()
    #: for each task, the name of its payload's file if it is in one; None: none is
    files: Future[list[bytes | None]] | None = None
    to_hand_over: bool = False
    #: if it has no key
    attempt: Attempt | None = None


def add(connection: Connection, submitted: Sequence[Submitted]) -> list[Repeated | Unclear | None]:
    """Accept tasks, with their functions, and remember the answers, but of those that may repeat others.

    :raises AlreadyStored: a task id or a key is there already
    """
    attempts = [s.attempt for s in submitted if s.attempt is not None]
    answers = iter(unanswered.repeated(connection, attempts))
    found = [None if s.attempt is None else next(answers) for s in submitted]
    _add(connection, [s for s, repeated in zip(submitted, found, strict=True) if repeated is None])
    return found


def _add(connection: Connection, submitted: Sequence[Submitted]) -> None:
    rows: list[tuple[Any, ...]] = []
    for one in submitted:
        names = repeat(None) if one.files is None else one.files.result()
        rows += map(_row, one.tasks, names)
    try:
        _add_tasks(connection, rows)
    except exc.IntegrityError as error:
        raise AlreadyStored("task") from error
    _add_waiting(connection, [(row[4], row[0], row[7]) for row in rows])
    labels = [(t.id, t.options.call.label) for s in submitted for t in s.tasks if t.options.call is not None]
    _add_labels(connection, [(key(task_id), label) for task_id, label in labels if label is not None])
    catalogue.put_functions(connection, [function for s in submitted for function in s.functions])
    hand_overs.put(connection, [s.tasks for s in submitted if s.to_hand_over])
    answers = [s.submit for s in submitted if s.submit is not None]
    try:
        _add_submit(connection, [(s.key, s.response, s.created_at) for s in answers])
    except exc.IntegrityError as error:
        raise AlreadyStored("submit") from error
    unanswered.put(connection, [s.attempt for s in submitted if s.attempt is not None])


def _row(task: TaskRecord, file: bytes | None) -> tuple[Any, ...]:
    return (
        key(task.id),
        shared_key(task.group_id),
        shared_key(task.owner_id),
        shared_key(task.endpoint_id),
        shared_key(task.user_endpoint_id),
        shared_key(task.function_id),
        task.state.value,
        task.created_at,
        None if task.options == _DEFAULTS else _encode(task.options).decode(),
        file,
        task.payload if file is None else None,
    )


def submit(connection: Connection, submit_key: bytes, since: float) -> SubmitRecord | None:
    """An answer that is not older than ``since``."""
    row = connection.execute(_SUBMIT, {"submit_key": submit_key, "since": since}).first()
    return None if row is None else SubmitRecord(*row)


def views(connection: Connection, task_ids: Sequence[str], load: Load) -> dict[str, TaskView]:
    """Those that exist, in the order asked for."""
    keys = [key(i) for i in task_ids]
    found = {row[0]: row for row in _find(connection, keys)}
    return {i: view(found[k], load) for i, k in zip(task_ids, keys, strict=True) if k in found}


def in_group(connection: Connection, group_id: str) -> list[TaskView]:
    """All tasks of a group without their ends' values, by rising id."""
    rows = connection.execute(_IN_GROUP, {"group_id": key(group_id)}).all()
    return [task_view(row, STATES[row[8]], row[9], None) for row in rows]


def waiting(connection: Connection, user_endpoint_id: str, after: str, limit: int, load: Load) -> list[TaskRecord]:
    """Tasks that have not ended, by rising id."""
    where = {"user_endpoint_id": key(user_endpoint_id), "after": key(after) if after else b"", "count": limit}
    tasks = []
    for row in connection.execute(_WAITING, where).all():
        created_at, state, options, file, payload = row[6:]
        tasks.append(
            TaskRecord(
                id=text(row[0]),
                group_id=shared_text(row[1]),
                owner_id=shared_text(row[2]),
                endpoint_id=shared_text(row[3]),
                user_endpoint_id=shared_text(row[4]),
                function_id=shared_text(row[5]),
                payload=payload if file is None else load(file),
                created_at=created_at,
                options=_DEFAULTS if options is None else _options(options),
                state=STATES[state],
            )
        )
    return tasks


def waiting_counts(connection: Connection) -> dict[str, int]:
    """How many tasks wait for each user endpoint."""
    return {text(where): count for where, count in connection.execute(_COUNTS)}


def waiting_by_state(connection: Connection) -> list[WaitingTasks]:
    """The same, apart by state, with the age of the oldest."""
    as_accepted = TaskState.WAITING_FOR_ENDPOINT
    return [
        WaitingTasks(text(where), as_accepted if state is None else STATES[state], count, oldest_at)
        for where, state, count, oldest_at in connection.execute(_BY_STATE)
    ]


def view(row: Sequence[Any], load: Load) -> TaskView:
    """The view of a row of the columns of a task, where it is, since when, and its end, which may be NULLs."""
    state, since = STATES[row[8]], row[9]
    completed_at, error, details, transitions, data_file, exception_file, exception, data = row[10:]
    if completed_at is None:
        return task_view(row, state, since, None)
    finished = FinishedTask(
        id=text(row[0]),
        state=state,
        completed_at=completed_at,
        data=data if data_file is None else load(data_file),
        error=None if error is None else _error(error),
        details=None if details is None else _details(details),
        transitions=() if transitions is None else _transitions(transitions),
        exception=exception if exception_file is None else load(exception_file),
    )
    return task_view(row, state, since, finished)


def task_view(row: Sequence[Any], state: TaskState, since: float, finished: FinishedTask | None) -> TaskView:
    """The view of a row that begins with the columns of a task."""
    return TaskView(
        id=text(row[0]) if finished is None else finished.id,
        group_id=shared_text(row[1]),
        owner_id=shared_text(row[2]),
        endpoint_id=shared_text(row[3]),
        user_endpoint_id=shared_text(row[4]),
        function_id=shared_text(row[5]),
        state=state,
        created_at=row[6],
        finished=finished,
        since=since,
        label=row[7],
    )
