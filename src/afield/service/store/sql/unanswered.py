"""Submits without a key that are not known to have been answered, and who repeats them.

Nearly always nobody does: then it costs one look for all submits of a commit, and a row for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, exists, select, update

from afield.service.domain.repeats import ASTRAY, Attempt, Repeated, Unanswered, Unclear, decide
from afield.service.store.sql import tables
from afield.service.store.sql.statements import Delete, Find, Insert

__all__ = ["answered", "forget_submits", "put", "repeated", "went_astray"]

_u, _s = tables.unanswered.c, tables.submits.c

_find = Find(lambda bodies: select(_u.key, _u.body, _u.life, _u.since).where(_u.body.in_(bodies)))
_put = Insert(tables.unanswered, "keep")
_answered = Delete(tables.unanswered, "key", "life")
_PASS_ON = (
    update(tables.unanswered)
    .where(_u.key == bindparam("which"), _u.life == bindparam("seen"))
    .values(life=bindparam("by"), since=bindparam("at"))
)


def repeated(connection: Connection, attempts: Sequence[Attempt]) -> list[Repeated | Unclear | None]:
    """For each attempt whether it repeats one that is there; what one got, no other gets."""
    if not attempts:
        return []
    bodies = list(dict.fromkeys(attempt.body for attempt in attempts))
    left = {row[0]: Unanswered(*row) for row in _find(connection, bodies)}
    return [_repeated(connection, attempt, left) if left else None for attempt in attempts]


def _repeated(connection: Connection, attempt: Attempt, left: dict[bytes, Unanswered]) -> Repeated | Unclear | None:
    while isinstance(found := decide(attempt, left.values()), Unanswered):
        by = {"which": found.key, "seen": found.life, "by": attempt.life, "at": attempt.at}
        # Another service may have been faster: its commit is waited for, and then the row is another.
        if connection.execute(_PASS_ON, by).rowcount:
            left[found.key] = Unanswered(found.key, found.body, attempt.life, attempt.at)
            return Repeated(found.key)
        del left[found.key]
    return found


def put(connection: Connection, attempts: Iterable[Attempt]) -> None:
    """Whoever made these waits for the answers. One that is there already went astray, or was taken over: it stays."""
    _put(connection, [(one.key, one.body, one.life, one.at) for one in attempts])


def answered(connection: Connection, keys: Iterable[bytes], life: str) -> None:
    """Forget these. In the order of their keys, so that two services never wait for each other's rows."""
    _answered(connection, [(key, life) for key in sorted(keys)])


def went_astray(connection: Connection, submits: Sequence[Unanswered]) -> None:
    """Nobody waits for the answers to these any more."""
    submits = sorted(submits, key=lambda one: one.key)
    for one in submits:
        connection.execute(_PASS_ON, {"which": one.key, "seen": one.life, "by": ASTRAY, "at": one.since})
    _put(connection, [(one.key, one.body, ASTRAY, one.since) for one in submits])


def forget_submits(connection: Connection, moment: float) -> None:
    """Forget what is from before ``moment``, and the answers from before it to all that is not left."""
    connection.execute(delete(tables.unanswered).where(_u.since < moment))
    answers = delete(tables.submits).where(_s.created_at < moment, ~exists().where(_u.key == _s.key))
    connection.execute(answers)
