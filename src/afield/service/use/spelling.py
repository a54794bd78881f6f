"""What goes into queues, as the messages that those read who are to have it: in the published envelope one message for
each task or result, in ours many in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from afield.broker.base import Properties, Publication
from afield.errors import WireError
from afield.service.domain import names
from afield.service.domain.documents import to_result
from afield.service.domain.packing import bunches
from afield.service.domain.records import CancelRecord, FinishedTask, TaskGroupRecord
from afield.wire import v1, v2
from afield.wire.messages import Cancel, ErrorDetails, Notice, Result, Task

__all__ = ["Parcel", "of_cancels", "of_notices", "of_results", "of_tasks", "size_of_end", "size_of_task"]

#: What rides in one message of our envelope: enough to make its cost small, little enough to begin early.
_MOST_ITEMS: Final = 512
_MOST_BYTES: Final = 1 << 20


class Parcel(NamedTuple):
    """A message, and the tasks that travel in it."""

    publication: Publication
    task_ids: tuple[str, ...]


def of_tasks(queue: str, wire: int, tasks: Sequence[Task]) -> list[Parcel]:
    """Tasks.

    :param wire: the version of the envelope that their user endpoint reads
    """
    if wire >= v2.VERSION[0]:
        batches = bunches(tasks, _payload_size, most=_MOST_ITEMS, most_bytes=_MOST_BYTES)
        return [
            Parcel(Publication(names.TASKS, queue, v2.encode_tasks(batch)), tuple(task.task_id for task in batch))
            for batch in batches
        ]
    return [
        Parcel(
            Publication(names.TASKS, queue, v1.encode_task(task), Properties(headers=v1.task_headers(task))),
            (task.task_id,),
        )
        for task in tasks
    ]


def of_cancels(queue: str, wishes: Sequence[CancelRecord]) -> list[Publication]:
    """Wishes to have tasks ended, for endpoints of ours."""
    cancels = [Cancel(wish.task_id, wish.running) for wish in wishes]
    batches = bunches(cancels, lambda _: 0, most=_MOST_ITEMS, most_bytes=_MOST_BYTES)
    return [Publication(names.TASKS, queue, v2.encode_cancels(batch)) for batch in batches]


def of_notices(queue: str, notices: Sequence[Notice]) -> list[Publication]:
    """Where tasks are, for clients of ours. What is not taken may be lost."""
    batches = bunches(notices, lambda _: 0, most=_MOST_ITEMS, most_bytes=_MOST_BYTES)
    brief = Properties(delivery_mode=1)
    return [Publication(names.GROUPS, queue, v2.encode_notices(batch), brief, mandatory=False) for batch in batches]


def of_results(queue: str, group: TaskGroupRecord, ends: Sequence[FinishedTask]) -> list[Publication]:
    """Results, for whoever watches the group; of one of high assurance only that they are there to be asked for
    (reference: wire contract section 5.4).
    """
    shown = _announcement if group.high_assurance else to_result
    headers = {v1.HIGH_ASSURANCE: True} if group.high_assurance else {}
    if group.wire >= v2.VERSION[0]:
        batches = bunches(ends, size_of_end, most=_MOST_ITEMS, most_bytes=_MOST_BYTES)
        bodies = [(v2.encode_results(map(shown, batch)), batch[-1].completed_at) for batch in batches]
    else:
        bodies = [(_published_result(shown(end)), end.completed_at) for end in ends]
    return [
        Publication(names.GROUPS, queue, body, Properties(headers, timestamp=int(moment))) for body, moment in bodies
    ]


def size_of_task(task: Task, wire: int) -> int:
    """Bytes that a task adds to its queue, roughly: in the published envelope, its function's code goes with each."""
    return len(task.payload) + (0 if wire >= v2.VERSION[0] else len(task.code))


def size_of_end(end: FinishedTask) -> int:
    """Bytes that a result adds to its queue, roughly."""
    return len(end.data) + len(end.exception or b"")


def _payload_size(task: Task) -> int:
    return len(task.payload)


def _announcement(end: FinishedTask) -> Result:
    """All that is streamed of a result of high assurance: whose it is."""
    return Result(end.id, b"")


def _published_result(result: Result) -> bytes:
    try:
        return v1.encode_result(result)
    except WireError as error:
        # Only text goes by the published envelope. Rather a failed task than one that never ends.
        return v1.encode_result(
            Result(result.task_id, str(error).encode(), error=ErrorDetails("UnreadableResult", str(error)))
        )
