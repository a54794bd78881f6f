"""What is kept for how long, and what has waited for too long."""

from __future__ import annotations

from typing import Final

import msgspec

from afield.ids import new_id
from afield.service.domain.records import SubmitRecord, TaskGroupRecord, TaskMove
from afield.service.store.base import Store
from afield.states import TaskState
from afield.testing.store.records import BIG, NOW, an_end, some_tasks

__all__ = [
    "answers_can_be_forgotten_alone",
    "groups_keep_tasks_for_as_long_as_they_say",
    "groups_say_how_long",
    "one_groups_turn_forgets_nothing_else",
    "open_tasks_can_be_spared",
    "what_has_waited_for_too_long_is_found",
]

#: how many tasks more than any step of forgetting takes at once
_MANY: Final = 1100


async def groups_say_how_long(store: Store) -> None:
    """Only those that do are listed; what they say is kept, and can be taken back."""
    usual = TaskGroupRecord(new_id(), new_id(), NOW)
    kept = TaskGroupRecord(new_id(), new_id(), NOW, retention_s=60.5)
    waits = TaskGroupRecord(new_id(), new_id(), NOW, waiting_s=3600.0)
    for group in (waits, usual, kept):
        await store.put_task_group(group)
    assert await store.task_group(kept.id) == kept
    assert await store.groups_with_times() == [kept, waits]
    await store.put_task_group(msgspec.structs.replace(kept, retention_s=None))
    assert await store.groups_with_times() == [waits]


async def groups_keep_tasks_for_as_long_as_they_say(store: Store) -> None:
    """Those of a group that says so are neither in the way of others nor taken for theirs."""
    own, usual = some_tasks(_MANY), some_tasks(_MANY + 1)
    unheard_of = some_tasks(1)  # nobody put its group
    await store.put_task_group(TaskGroupRecord(own[0].group_id, new_id(), NOW, retention_s=1e6))
    await store.put_task_group(TaskGroupRecord(usual[0].group_id, new_id(), NOW, waiting_s=1e6))
    await store.add_tasks([*own, *usual, *unheard_of])
    await store.finish_tasks([an_end(task.id) for task in own])
    await store.finish_tasks([an_end(task.id, completed_at=NOW + 2) for task in (*usual, *unheard_of)])
    assert await store.delete_before(NOW + 10) == _MANY + 2
    assert len(await store.group_tasks(own[0].group_id)) == _MANY
    assert await store.delete_before(NOW + 1, group_id=own[0].group_id) == 0
    assert await store.delete_before(NOW + 10, group_id=new_id()) == 0
    assert await store.delete_before(NOW + 10, group_id=own[0].group_id) == _MANY
    assert await store.tasks([task.id for task in own]) == {}


async def open_tasks_can_be_spared(store: Store) -> None:
    """However old they are: somebody waits for them."""
    open_, ended = some_tasks(1), some_tasks(1)
    await store.add_tasks([*open_, *ended])
    await store.finish_tasks([an_end(ended[0].id)])
    assert await store.delete_before(NOW + 10, open_too=False) == 1
    assert list(await store.tasks([open_[0].id, ended[0].id])) == [open_[0].id]
    assert await store.waiting_counts() == {open_[0].user_endpoint_id: 1}


async def one_groups_turn_forgets_nothing_else(store: Store) -> None:
    """Neither other groups nor answers to submits."""
    one, other = some_tasks(1, payload=b"p" * BIG), some_tasks(1)
    for task in (*one, *other):
        await store.put_task_group(TaskGroupRecord(task.group_id, new_id(), NOW))
    await store.add_tasks([*one, *other], SubmitRecord(b"key", b"", NOW))
    await store.finish_tasks([an_end(task.id) for task in (*one, *other)])
    assert await store.delete_before(NOW + 10, group_id=one[0].group_id) == 1
    assert list(await store.tasks([one[0].id, other[0].id])) == [other[0].id]
    assert await store.submit(b"key", since=0) is not None
    assert await store.task_group(one[0].group_id) is not None


async def what_has_waited_for_too_long_is_found(store: Store) -> None:
    """By when it was accepted; what was seen elsewhere, by when that was."""
    old, young, own = some_tasks(4), some_tasks(1, created_at=NOW + 10), some_tasks(1)
    await store.put_task_group(TaskGroupRecord(own[0].group_id, new_id(), NOW, waiting_s=1e6))
    await store.add_tasks([*old, *young, *own])
    await store.finish_tasks([an_end(old[0].id)])
    await store.move_tasks([TaskMove(old[1].id, TaskState.RUNNING, NOW + 1)])
    await store.move_tasks([TaskMove(old[2].id, TaskState.WAITING_FOR_LAUNCH, NOW + 1, life="a")])
    await store.move_tasks([TaskMove(old[2].id, TaskState.WAITING_FOR_ENDPOINT, NOW + 8)])
    where = old[0].user_endpoint_id
    assert await store.overdue(NOW, seen=NOW) == []
    assert await store.overdue(NOW + 5, seen=NOW + 1) == [(old[2].id, where), (old[3].id, where)]
    assert await store.overdue(NOW + 5, seen=NOW + 2) == [(task.id, where) for task in old[1:]]
    assert await store.overdue(NOW + 5, seen=NOW + 2, limit=2) == [(task.id, where) for task in old[1:3]]
    assert await store.overdue(NOW + 5, seen=NOW, group_id=own[0].group_id) == [(own[0].id, own[0].user_endpoint_id)]
    assert await store.overdue(NOW + 5, seen=NOW, group_id=young[0].group_id) == []


async def answers_can_be_forgotten_alone(store: Store) -> None:
    """They are of use for minutes only; their tasks are kept."""
    task, late = some_tasks(1)[0], some_tasks(1)[0]
    await store.add_tasks([task], SubmitRecord(b"old", b"", NOW))
    await store.add_tasks([late], SubmitRecord(b"young", b"", NOW + 10))
    await store.forget_submits(NOW + 5)
    assert await store.submit(b"old", since=0) is None
    assert await store.submit(b"young", since=0) is not None
    assert len(await store.tasks([task.id, late.id])) == 2
