"""Tasks that are to be put into queues which survive the service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, bindparam, select

from afield.service.domain.records import HandOver, TaskRecord
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key, shared_key, shared_text, text
from afield.service.store.sql.statements import Delete, Insert

__all__ = ["done", "put", "waiting"]

_h = tables.hand_overs.c

_OLDEST = (
    select(_h.user_endpoint_id, _h.tasks, _h.created_at)
    .where(_h.created_at < bindparam("before"))
    .order_by(_h.created_at, _h.id)
    .limit(bindparam("count"))
)
_put = Insert(tables.hand_overs)
_done = Delete(tables.hand_overs, "id")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


def put(connection: Connection, submits: Iterable[Sequence[TaskRecord]]) -> None:
    """One row for the tasks of each submit: it is written and removed with every submit, so it is small."""
    _put(
        connection,
        [
            (
                key(tasks[0].id),
                shared_key(tasks[0].user_endpoint_id),
                tasks[0].created_at,
                _encode([key(task.id) for task in tasks]),
            )
            for tasks in submits
            if tasks
        ],
    )


def waiting(connection: Connection, before: float, limit: int) -> list[HandOver]:
    """Those from before this moment, the oldest first."""
    return [
        HandOver(shared_text(row[0]), tuple(map(text, _decode(row[1]))), row[2])
        for row in connection.execute(_OLDEST, {"before": before, "count": limit})
    ]


def done(connection: Connection, ids: Sequence[str]) -> None:
    """Forget these. In the order of their ids, so that two services never wait for each other's rows."""
    _done(connection, [(one,) for one in sorted(map(key, ids))])
