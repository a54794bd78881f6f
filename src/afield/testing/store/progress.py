"""What a store promises about tasks that have not ended: where they are, and who wants them ended."""

from __future__ import annotations

import asyncio

import msgspec

from afield.ids import new_id, new_ids
from afield.service.domain.records import CancelRecord, TakenTask, TaskMove, TaskStep, TaskView, WaitingTasks
from afield.service.store.base import Store
from afield.states import TaskState
from afield.testing.store.records import NOW, an_end, some_tasks

__all__ = [
    "a_wish_outlives_the_end_of_its_task",
    "an_end_is_not_moved",
    "moves_and_ends_follow_the_order_of_calls",
    "only_the_table_of_states_lets_a_task_move",
    "tasks_are_where_they_were_last_seen",
    "what_waits_is_counted_by_state",
    "what_was_taken_is_known_until_it_ends",
    "where_tasks_have_been_is_kept_with_them",
    "wishes_are_forgotten_with_their_tasks",
    "wishes_are_kept_until_forgotten",
]

WAITING, LAUNCH, RUNNING = TaskState.WAITING_FOR_ENDPOINT, TaskState.WAITING_FOR_LAUNCH, TaskState.RUNNING


def _where(view: TaskView) -> tuple[TaskState, float]:
    return view.state, view.since


# -- where they are --------------------------------------------------------------------------------------------------


async def tasks_are_where_they_were_last_seen(store: Store) -> None:
    """Since then; those that nobody saw are as they were accepted, and all are still to be done."""
    tasks = some_tasks(3)
    ids = [t.id for t in tasks]
    await store.add_tasks(tasks)
    moves = [TaskMove(ids[2], RUNNING, NOW + 2.5), TaskMove(ids[0], LAUNCH, NOW + 1)]
    assert await store.move_tasks(moves) == [ids[2], ids[0]]
    views = await store.tasks(ids)
    assert [_where(views[i]) for i in ids] == [(LAUNCH, NOW + 1), (WAITING, NOW), (RUNNING, NOW + 2.5)]
    assert [v.finished for v in views.values()] == [None] * 3
    assert await store.group_tasks(tasks[0].group_id) == [views[i] for i in ids]
    assert [t.id for t in await store.waiting_tasks(tasks[0].user_endpoint_id)] == ids
    assert await store.waiting_counts() == {tasks[0].user_endpoint_id: 3}
    # Queued again when the life of its endpoint ended; and taken once more.
    again = [TaskMove(ids[2], WAITING, NOW + 3), TaskMove(ids[2], LAUNCH, NOW + 4), TaskMove(ids[0], RUNNING, NOW + 5)]
    assert await store.move_tasks(again) == [ids[2], ids[0]]
    views = await store.tasks(ids)
    assert [_where(views[i]) for i in ids] == [(RUNNING, NOW + 5), (WAITING, NOW), (LAUNCH, NOW + 4)]


async def what_waits_is_counted_by_state(store: Store) -> None:
    """For each user endpoint apart; what has ended is not counted."""
    tasks, others = some_tasks(4), some_tasks(1)
    await store.add_tasks([*tasks, *others])
    await store.move_tasks([TaskMove(tasks[1].id, RUNNING, NOW + 1), TaskMove(tasks[2].id, RUNNING, NOW + 2)])
    await store.finish_tasks([an_end(tasks[2].id)])
    here, there = tasks[0].user_endpoint_id, others[0].user_endpoint_id
    assert sorted(await store.waiting_by_state(), key=lambda one: (one.user_endpoint_id != here, one.state)) == [
        WaitingTasks(here, RUNNING, 1, NOW),
        WaitingTasks(here, WAITING, 2, NOW),
        WaitingTasks(there, WAITING, 1, NOW),
    ]


async def only_the_table_of_states_lets_a_task_move(store: Store) -> None:
    """Other moves change nothing, and those beside them in the call are made; an end is not a move."""
    tasks = some_tasks(4)
    ids = [t.id for t in tasks]
    await store.add_tasks(tasks)
    await store.move_tasks([TaskMove(ids[0], RUNNING, NOW + 1)])
    moves = [
        TaskMove(ids[0], TaskState.WAITING_FOR_NODES, NOW + 2),
        TaskMove(ids[0], RUNNING, NOW + 2),
        TaskMove(ids[1], TaskState.RECEIVED, NOW + 2),
        TaskMove(ids[2], TaskState.SUCCESS, NOW + 2),
        TaskMove(new_id(), RUNNING, NOW + 2),
        TaskMove(ids[3], RUNNING, NOW + 2),
    ]
    assert await store.move_tasks(moves) == [ids[3]]
    assert await store.move_tasks([]) == []
    views = await store.tasks(ids)
    assert [_where(views[i]) for i in ids] == [(RUNNING, NOW + 1), (WAITING, NOW), (WAITING, NOW), (RUNNING, NOW + 2)]


async def an_end_is_not_moved(store: Store) -> None:
    """Since its end it is there, wherever it was before."""
    tasks = some_tasks(2)
    ids = [t.id for t in tasks]
    await store.add_tasks(tasks)
    await store.move_tasks([TaskMove(ids[0], RUNNING, NOW + 0.5)])
    ended = await store.finish_tasks([an_end(i) for i in ids])
    assert [_where(view) for view in ended] == [(TaskState.SUCCESS, NOW + 1)] * 2
    assert await store.move_tasks([TaskMove(i, RUNNING, NOW + 9) for i in ids]) == []
    views = await store.tasks(ids)
    assert list(views.values()) == ended
    assert await store.undelivered() == ended
    assert [_where(view) for view in await store.group_tasks(tasks[0].group_id)] == [_where(view) for view in ended]


async def moves_and_ends_follow_the_order_of_calls(store: Store) -> None:
    """Calls made without waiting for one another: each sees what those before it did."""
    tasks = some_tasks(2)
    ids = [t.id for t in tasks]
    outcomes = await asyncio.gather(
        store.add_tasks(tasks),
        store.move_tasks([TaskMove(i, LAUNCH, NOW + 1) for i in ids]),
        store.move_tasks([TaskMove(ids[1], RUNNING, NOW + 2), TaskMove(ids[0], LAUNCH, NOW + 2)]),
        store.finish_tasks([an_end(ids[1])]),
        store.move_tasks([TaskMove(i, RUNNING, NOW + 3) for i in ids]),
        store.tasks(ids),
    )
    assert [outcomes[1], outcomes[2], outcomes[4]] == [ids, [ids[1]], [ids[0]]]
    assert [_where(view) for view in outcomes[5].values()] == [(RUNNING, NOW + 3), (TaskState.SUCCESS, NOW + 1)]


# -- who has taken them, and where they have been --------------------------------------------------------------------


async def what_was_taken_is_known_until_it_ends(store: Store) -> None:
    """All of it, or one user endpoint's; what is queued again is nobody's."""
    tasks, others = some_tasks(4), some_tasks(1)
    ids, other = [t.id for t in tasks], others[0]
    await store.add_tasks([*tasks, *others])
    assert await store.taken_tasks() == []
    moves = [TaskMove(i, LAUNCH, NOW + 1, life="one") for i in [*ids[1:], other.id]]
    assert await store.move_tasks(moves) == [*ids[1:], other.id]
    await store.move_tasks([TaskMove(ids[2], RUNNING, NOW + 2)])
    await store.finish_tasks([an_end(ids[1])])
    there = [
        TakenTask(ids[2], tasks[0].group_id, tasks[0].user_endpoint_id, NOW + 2, "one"),
        TakenTask(ids[3], tasks[0].group_id, tasks[0].user_endpoint_id, NOW + 1, "one"),
    ]
    assert await store.taken_tasks(tasks[0].user_endpoint_id) == there
    assert await store.taken_tasks() == [
        *there, TakenTask(other.id, other.group_id, other.user_endpoint_id, NOW + 1, "one"),
    ]  # fmt: skip
    await store.move_tasks([TaskMove(ids[3], WAITING, NOW + 3), TaskMove(ids[2], WAITING, NOW + 3)])
    await store.move_tasks([TaskMove(ids[3], LAUNCH, NOW + 4, life="two")])
    assert await store.taken_tasks(tasks[0].user_endpoint_id) == [
        TakenTask(ids[3], tasks[0].group_id, tasks[0].user_endpoint_id, NOW + 4, "two")
    ]
    assert await store.taken_tasks(new_id()) == []
    await store.delete_before(NOW + 5)
    assert await store.taken_tasks() == []


async def where_tasks_have_been_is_kept_with_them(store: Store) -> None:
    """In the order of time, through the end of the task, until it is forgotten; one said twice is one."""
    tasks = some_tasks(2)
    ids = [t.id for t in tasks]
    await store.add_tasks(tasks)
    moves = [
        TaskMove(ids[0], LAUNCH, NOW + 1, "endpoint", life="one"),
        TaskMove(ids[0], RUNNING, NOW + 2, "worker"),
        TaskMove(ids[0], WAITING, NOW + 3, "web-service"),
        TaskMove(ids[0], RUNNING, NOW + 4, "endpoint", 2),
    ]
    await store.move_tasks(moves)
    await store.move_tasks([moves[3], TaskMove(ids[1], TaskState.SUCCESS, NOW + 2)])
    there = [TaskStep(m.state, m.at, m.actor, m.attempt, m.life) for m in moves]
    assert await store.steps(ids[0]) == there
    assert await store.steps(ids[1]) == await store.steps(new_id()) == []
    await store.finish_tasks([an_end(i) for i in ids])
    assert await store.steps(ids[0]) == there
    await store.delete_before(NOW + 5)
    assert await store.steps(ids[0]) == []


# -- who wants them ended --------------------------------------------------------------------------------------------


async def wishes_are_kept_until_forgotten(store: Store) -> None:
    """By rising task, all or one user endpoint's; the last wish for a task is the one."""
    ids, (here, there) = new_ids(3), new_ids(2)
    wishes = [
        CancelRecord(ids[2], here, NOW + 2, running=False),
        CancelRecord(ids[0], here, NOW),
        CancelRecord(ids[1], there, NOW + 1),
    ]
    assert await store.cancels() == []
    await store.put_cancels(wishes)
    await store.put_cancels([])
    assert await store.cancels() == [wishes[1], wishes[2], wishes[0]]
    assert await store.cancels(here) == [wishes[1], wishes[0]]
    assert await store.cancels(new_id()) == []
    firmer = msgspec.structs.replace(wishes[0], running=True, asked_at=NOW + 7.25)
    await store.put_cancels([firmer])
    await store.delete_cancels([ids[1], new_id()])
    await store.delete_cancels([])
    assert await store.cancels() == [wishes[1], firmer]


async def a_wish_outlives_the_end_of_its_task(store: Store) -> None:
    """Its endpoint may still have to hear of it."""
    tasks = some_tasks(1)
    await store.add_tasks(tasks)
    wish = CancelRecord(tasks[0].id, tasks[0].user_endpoint_id, NOW)
    await store.put_cancels([wish])
    await store.finish_tasks([an_end(tasks[0].id, state=TaskState.CANCELLED)])
    assert await store.cancels() == [wish]


async def wishes_are_forgotten_with_their_tasks(store: Store) -> None:
    """However late they came; and those for tasks that nobody knows when they are old themselves."""
    old, young = some_tasks(2), some_tasks(1, created_at=NOW + 10)
    await store.add_tasks([*old, *young])
    await store.finish_tasks([an_end(old[0].id)])
    where = old[0].user_endpoint_id
    unknown = new_ids(2)
    wishes = [CancelRecord(t.id, where, NOW + 20) for t in old] + [CancelRecord(young[0].id, where, NOW)]
    await store.put_cancels([*wishes, CancelRecord(unknown[0], where, NOW), CancelRecord(unknown[1], where, NOW + 9)])
    assert await store.delete_before(NOW + 5) == 2
    assert await store.cancels() == [wishes[2], CancelRecord(unknown[1], where, NOW + 9)]
