"""What a store promises about tasks, one call at a time."""

from __future__ import annotations

import msgspec

from afield.ids import new_id
from afield.service.domain.records import FunctionRecord, HandOver, SubmitRecord, TaskGroupRecord, TaskOptions
from afield.service.store.base import AlreadyStored, Store
from afield.states import TaskState
from afield.testing.store.records import BIG, NOW, an_end, some_tasks
from afield.wire.messages import CallOptions, ErrorDetails

__all__ = [
    "accepted_tasks_are_there_whole",
    "answers_to_submits_are_remembered",
    "big_values_come_back",
    "ends_are_kept_whole",
    "functions_come_with_their_tasks",
    "ids_may_be_any_text",
    "more_than_anybody_asks_for_at_once",
    "nothing_is_a_fine_amount",
    "old_groups_without_tasks_are_forgotten",
    "old_tasks_are_forgotten",
    "results_wait_until_somebody_takes_them",
    "the_first_end_wins",
    "waiting_tasks_come_in_pages",
    "what_is_there_already_stops_all_of_a_submit",
    "what_is_to_be_handed_over_is_known_until_it_was",
]

# -- tasks: accepted -------------------------------------------------------------------------------------------------


async def accepted_tasks_are_there_whole(store: Store) -> None:
    """As a view, as something to run, and in their group."""
    call = CallOptions(timeout_s=2.5, retries=3, retry_on=("builtins.OSError",), memory=2**40, label='x "✓" \\')
    options = TaskOptions({"num_nodes": 2, "mpi": {"ranks": 4}, "nul": "a\0b"}, ("a.B", "c.D"), call)
    tasks = some_tasks(3) + some_tasks(1, options=options, payload=b"", state=TaskState.RECEIVED)
    await store.add_tasks(tasks)
    views = await store.tasks([t.id for t in reversed(tasks)] + [new_id()])
    assert list(views) == [t.id for t in reversed(tasks)]
    for task in tasks:
        view = views[task.id]
        seen = {"finished": None, "since": NOW, "label": task.options.label}
        same = {name: getattr(task, name) for name in view.__struct_fields__ if name not in seen}
        assert msgspec.structs.asdict(view) == same | seen
    assert views[tasks[3].id].label == call.label
    assert await store.waiting_tasks(tasks[0].user_endpoint_id) == tasks[:3]
    assert await store.waiting_tasks(tasks[3].user_endpoint_id) == tasks[3:]
    assert await store.group_tasks(tasks[0].group_id) == [views[t.id] for t in tasks[:3]]
    assert await store.group_tasks(new_id()) == []


async def waiting_tasks_come_in_pages(store: Store) -> None:
    """By rising id, whatever the order of arrival, without those of others and those that ended."""
    tasks, others = some_tasks(5), some_tasks(2)
    await store.add_tasks([*tasks[3:], *others])
    await store.add_tasks(tasks[:3])
    where = tasks[0].user_endpoint_id
    await store.finish_tasks([an_end(tasks[1].id)])
    page = await store.waiting_tasks(where, limit=2)
    assert page == [tasks[0], tasks[2]]
    assert await store.waiting_tasks(where, after=page[-1].id, limit=2) == tasks[3:]
    assert await store.waiting_tasks(where, after=tasks[4].id) == []
    assert await store.waiting_counts() == {where: 4, others[0].user_endpoint_id: 2}
    assert await store.waiting_tasks(new_id()) == []


async def functions_come_with_their_tasks(store: Store) -> None:
    """In the same commit: with tasks that are not accepted none comes; one that is there stays as it is."""
    function = FunctionRecord(new_id(), new_id(), "f", b"code", NOW, metadata={"python_version": "3.12.1"})
    (task, other) = some_tasks(2, function_id=function.id)
    await store.add_tasks([task], SubmitRecord(b"key", b"answer", NOW), [function])
    assert await store.function(function.id) == function
    twice = msgspec.structs.replace(function, code=b"other")
    new = msgspec.structs.replace(function, id=new_id())
    try:
        await store.add_tasks([task], None, [new])
    except AlreadyStored:
        pass
    else:
        raise AssertionError("it was stored twice")
    assert await store.functions([function.id, new.id]) == {function.id: function}
    await store.add_tasks([other], None, [twice, new])
    assert await store.functions([function.id, new.id]) == {function.id: function, new.id: new}
    await store.add_tasks([], None, [function])
    assert len(await store.waiting_tasks(task.user_endpoint_id)) == 2


async def answers_to_submits_are_remembered(store: Store) -> None:
    """With their tasks, and for as long as asked."""
    tasks, submit = some_tasks(2), SubmitRecord(b"\x00\xffkey", b"\x00answer", NOW)
    assert await store.submit(submit.key, since=0) is None
    await store.add_tasks(tasks, submit)
    assert await store.submit(submit.key, since=NOW) == submit
    assert await store.submit(submit.key, since=NOW + 1) is None
    assert len(await store.tasks([t.id for t in tasks])) == 2


async def what_is_to_be_handed_over_is_known_until_it_was(store: Store) -> None:
    """The oldest first, each with its tasks; what was accepted without it is none."""
    early, late, others = (
        some_tasks(3, created_at=NOW),
        some_tasks(2, created_at=NOW + 5),
        some_tasks(1, created_at=NOW),
    )
    await store.add_tasks(late, SubmitRecord(b"late", b"answer", NOW), to_hand_over=True)
    await store.add_tasks(early, to_hand_over=True)
    await store.add_tasks(others)
    first, second = (
        HandOver(tasks[0].user_endpoint_id, tuple(task.id for task in tasks), tasks[0].created_at)
        for tasks in (early, late)
    )
    assert await store.hand_overs(NOW + 6) == [first, second]
    assert await store.hand_overs(NOW + 6, limit=1) == [first]
    assert await store.hand_overs(NOW + 5) == [first]
    assert await store.hand_overs(NOW) == []
    await store.handed_over([first.id, new_id()])
    await store.handed_over([])
    assert await store.hand_overs(NOW + 6) == [second]
    try:
        await store.add_tasks(some_tasks(1), SubmitRecord(b"late", b"again", NOW), to_hand_over=True)
    except AlreadyStored:
        pass
    else:
        raise AssertionError("it was stored twice")
    assert await store.hand_overs(NOW + 6) == [second]


async def what_is_there_already_stops_all_of_a_submit(store: Store) -> None:
    """A task id twice, a key twice: nothing of that call is kept."""
    tasks, submit = some_tasks(2), SubmitRecord(b"key", b"first", NOW)
    await store.add_tasks(tasks, submit)
    (new,), (twin,) = some_tasks(1), some_tasks(1)
    for bad, key in (([new, tasks[0]], b"other"), ([new], b"key"), ([new, twin, twin], b"other")):
        try:
            await store.add_tasks(bad, SubmitRecord(key, b"second", NOW))
        except AlreadyStored:
            pass
        else:
            raise AssertionError("it was stored twice")
    assert await store.tasks([new.id, twin.id]) == {}
    assert await store.submit(b"other", since=0) is None
    assert await store.submit(b"key", since=0) == submit
    assert await store.waiting_counts() == {tasks[0].user_endpoint_id: 2}


# -- tasks: ended ----------------------------------------------------------------------------------------------------


async def the_first_end_wins(store: Store) -> None:
    """And only the call that brought it hears of it."""
    tasks = some_tasks(3)
    await store.add_tasks(tasks)
    first = [an_end(t.id, b"first") for t in (tasks[2], tasks[0])]
    ended = await store.finish_tasks([*first, an_end(tasks[0].id, b"double"), an_end(new_id())])
    assert [view.finished for view in ended] == first
    assert [(v.id, v.group_id, v.state) for v in ended] == [
        (tasks[2].id, tasks[2].group_id, TaskState.SUCCESS),
        (tasks[0].id, tasks[0].group_id, TaskState.SUCCESS),
    ]
    late = [an_end(t.id, b"second", state=TaskState.FAILED) for t in tasks]
    assert [view.finished for view in await store.finish_tasks(late)] == [late[1]]
    views = await store.tasks([t.id for t in tasks])
    assert [views[t.id].finished for t in tasks] == [first[1], late[1], first[0]]
    assert [views[t.id].state for t in tasks] == [TaskState.SUCCESS, TaskState.FAILED, TaskState.SUCCESS]
    assert await store.waiting_counts() == {}


async def ends_are_kept_whole(store: Store) -> None:
    """Every field, and a group's list without the values."""
    tasks = some_tasks(2)
    await store.add_tasks(tasks)
    full = an_end(
        tasks[0].id,
        "Traceback: ✗".encode(),
        state=TaskState.FAILED,
        error=ErrorDetails("RemoteExecutionError", 'it said "no"\x00'),
        details={"os": "Linux", "python_version": "3.11.7", "nested": {"a": [1, None, 2.5]}},
        transitions=((1_700_000_000_123_456_789, "running", "worker"), (2, "failed", "endpoint")),
        exception=b"\x00\xff",
    )
    await store.finish_tasks([full, an_end(tasks[1].id, b"")])
    views = await store.tasks([t.id for t in tasks])
    assert views[tasks[0].id].finished == full
    assert views[tasks[1].id].finished == an_end(tasks[1].id, b"")
    listed = await store.group_tasks(tasks[0].group_id)
    assert [(v.id, v.state, v.finished) for v in listed] == [
        (tasks[0].id, TaskState.FAILED, None),
        (tasks[1].id, TaskState.SUCCESS, None),
    ]


async def results_wait_until_somebody_takes_them(store: Store) -> None:
    """In pages, by rising id."""
    tasks = some_tasks(4)
    ids = [t.id for t in tasks]
    await store.add_tasks(tasks)
    assert await store.undelivered() == []
    await store.finish_tasks([an_end(i) for i in (ids[2], ids[0], ids[1])])
    views = await store.tasks(ids)
    assert await store.undelivered(limit=2) == [views[ids[0]], views[ids[1]]]
    assert await store.undelivered(after=ids[1], limit=2) == [views[ids[2]]]
    await store.mark_delivered([ids[0], ids[3], new_id()])
    await store.mark_delivered([ids[0]])
    assert [v.id for v in await store.undelivered()] == ids[1:3]
    await store.finish_tasks([an_end(ids[0])])
    assert [v.id for v in await store.undelivered()] == ids[1:3]


async def old_tasks_are_forgotten(store: Store) -> None:
    """Those that ended before, and those accepted before that never ended; the rest stays."""
    old, ended, young = some_tasks(2), some_tasks(3), some_tasks(1, created_at=NOW + 10)
    await store.add_tasks(old, SubmitRecord(b"old", b"", NOW))
    await store.add_tasks([*ended, *young], SubmitRecord(b"young", b"", NOW + 10))
    await store.finish_tasks([an_end(t.id) for t in ended[:2]])
    await store.finish_tasks([an_end(ended[2].id, completed_at=NOW + 5)])
    assert await store.delete_before(NOW) == 0
    assert await store.delete_before(NOW + 2) == 4
    assert await store.delete_before(NOW + 2) == 0
    everything = [t.id for t in (*old, *ended, *young)]
    assert list(await store.tasks(everything)) == [ended[2].id, young[0].id]
    assert [v.id for v in await store.undelivered()] == [ended[2].id]
    assert await store.waiting_counts() == {young[0].user_endpoint_id: 1}
    assert await store.finish_tasks([an_end(old[0].id)]) == []
    assert await store.submit(b"old", since=0) is None
    assert await store.submit(b"young", since=0) is not None


async def old_groups_without_tasks_are_forgotten(store: Store) -> None:
    """A group with tasks stays as long as they do, and a young one may still get some."""
    old, ended, open_ = (some_tasks(1, created_at=at)[0] for at in (NOW, NOW, NOW + 10))
    await store.add_tasks([old, ended, open_])
    await store.finish_tasks([an_end(ended.id, completed_at=NOW + 10)])
    for group_id in (old.group_id, ended.group_id, open_.group_id):
        await store.put_task_group(TaskGroupRecord(group_id, new_id(), NOW))
    empty = [TaskGroupRecord(new_id(), new_id(), at) for at in (NOW, NOW + 10)]
    for group in empty:
        await store.put_task_group(group)
    assert await store.delete_before(NOW + 5) == 1
    groups = [old.group_id, ended.group_id, open_.group_id, *(group.id for group in empty)]
    assert [await store.task_group(i) is not None for i in groups] == [False, True, True, False, True]


async def more_than_anybody_asks_for_at_once(store: Store) -> None:
    """Thousands in one call, and as many ids asked for."""
    tasks = some_tasks(2100)
    ids = [t.id for t in tasks]
    await store.add_tasks(tasks)
    assert list(await store.tasks(ids)) == ids
    assert len(await store.waiting_tasks(tasks[0].user_endpoint_id)) == 1000
    assert [v.id for v in await store.finish_tasks([an_end(i) for i in ids])] == ids
    assert await store.delete_before(NOW + 100) == 2100
    assert await store.tasks(ids) == {}


async def big_values_come_back(store: Store) -> None:
    """Payload, result and exception far larger than a row; a late second end does not touch the first."""
    small, big = some_tasks(1), some_tasks(2, payload=b"\x00p" * BIG)
    await store.add_tasks([big[0], *small, big[1]])
    assert [t.payload for t in await store.waiting_tasks(big[0].user_endpoint_id)] == [big[0].payload] * 2
    first = an_end(big[0].id, b"\x00v" * BIG, exception=b"\x00e" * BIG)
    assert len(await store.finish_tasks([an_end(small[0].id), first])) == 2
    assert await store.finish_tasks([an_end(big[0].id, b"late" * BIG)]) == []
    assert (await store.tasks([first.id]))[first.id].finished == first
    assert [v.finished for v in await store.undelivered()] == [an_end(small[0].id), first]
    assert await store.delete_before(NOW + 100) == 3


async def nothing_is_a_fine_amount(store: Store) -> None:
    """Empty lists neither fail nor change anything."""
    await store.add_tasks([])
    await store.add_tasks([], SubmitRecord(b"empty", b"answer", NOW))
    assert await store.submit(b"empty", since=0) is not None
    assert await store.finish_tasks([]) == []
    assert await store.tasks([]) == {}
    await store.mark_delivered([])
    assert await store.delete_before(0) == 0


async def ids_may_be_any_text(store: Store) -> None:
    """Callers checked them; a store neither chokes on nor confuses them."""
    names = ["ada", "oauth2|0123456789", "fifteen-letters", "x" * 36, "ü" * 8, ""]
    tasks = [some_tasks(1, owner_id=name, user_endpoint_id=f"uep-{name}")[0] for name in names]
    tasks += [msgspec.structs.replace(tasks[0], id="task-1", owner_id="grace")]
    await store.add_tasks(tasks)
    views = await store.tasks([t.id for t in tasks])
    assert [views[t.id].owner_id for t in tasks] == [*names, "grace"]
    assert await store.waiting_counts() == {"uep-ada": 2} | {f"uep-{name}": 1 for name in names[1:]}
    assert await store.endpoint("nobody") is None
