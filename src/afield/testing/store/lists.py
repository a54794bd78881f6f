"""What a store promises about lists of what somebody has."""

from __future__ import annotations

from typing import Any

import msgspec

from afield.ids import new_id
from afield.service.domain.records import FunctionRecord, ListedFunction, ListedTask, TaskMove, TaskOptions
from afield.service.store.base import NotText, Store
from afield.states import TaskState
from afield.testing.store.records import NOW, an_end, some_tasks
from afield.wire.messages import CallOptions

__all__ = [
    "a_rare_task_is_found_in_a_long_list",
    "functions_are_listed_newest_first",
    "tasks_are_found_by_label_and_function",
    "tasks_are_found_by_what_they_are",
    "tasks_are_listed_newest_first",
    "text_that_cannot_be_kept_is_refused",
]

#: PostgreSQL keeps no NUL; a lone surrogate is in no UTF-8
NO_TEXT = ("a\0b", "\0", "a\ud800b")


def _labelled(label: str) -> TaskOptions:
    return TaskOptions(call=CallOptions(label=label))


def _function(owner: str, name: str, **more: Any) -> FunctionRecord:
    return FunctionRecord(new_id(), owner, name, b"code", NOW, **more)


async def _found(store: Store, owner: str, **which: Any) -> list[str]:
    return [one.id for one in await store.list_tasks(owner, **which)]


# -- tasks -----------------------------------------------------------------------------------------------------------


async def tasks_are_listed_newest_first(store: Store) -> None:
    """Each with where it is and what it is called, in pages, and nobody else's."""
    function = _function(new_id(), "simulate")
    owner = new_id()
    first = some_tasks(2, owner_id=owner, function_id=function.id, options=_labelled("été ✓"))
    second = some_tasks(2, owner_id=owner, created_at=NOW + 5)
    await store.add_tasks([*second, *some_tasks(1)])
    await store.add_tasks(first, functions=[function])
    await store.move_tasks([TaskMove(first[1].id, TaskState.RUNNING, NOW + 0.5)])
    await store.finish_tasks([an_end(second[0].id, state=TaskState.FAILED, completed_at=NOW + 7)])
    states = [
        (second[1], TaskState.WAITING_FOR_ENDPOINT, NOW + 5, "", None),
        (second[0], TaskState.FAILED, NOW + 7, "", None),
        (first[1], TaskState.RUNNING, NOW + 0.5, "simulate", "été ✓"),
        (first[0], TaskState.WAITING_FOR_ENDPOINT, NOW, "simulate", "été ✓"),
    ]
    listed = [
        ListedTask(t.id, state, since, t.created_at, t.group_id, t.endpoint_id, t.function_id, name, label)
        for t, state, since, name, label in states
    ]
    assert await store.list_tasks(owner) == listed
    assert await store.list_tasks(owner, limit=3) == listed[:3]
    assert await store.list_tasks(owner, before=listed[2].id, limit=3) == listed[3:]
    assert await store.list_tasks(owner, before=listed[3].id) == []
    assert await store.list_tasks(owner, limit=0) == []
    assert await store.list_tasks(new_id()) == []


async def tasks_are_found_by_what_they_are(store: Store) -> None:
    """State, endpoint, function, group; and whatever is asked for together must all be so."""
    owner = new_id()
    one, other = some_tasks(4, owner_id=owner), some_tasks(2, owner_id=owner)
    ids, others = [t.id for t in one], [t.id for t in other]
    await store.add_tasks([*one, *other])
    await store.move_tasks([TaskMove(ids[1], TaskState.RUNNING, NOW)])
    await store.finish_tasks([an_end(ids[2]), an_end(ids[3], state=TaskState.CANCELLED), an_end(others[0])])
    assert await _found(store, owner, pending=True) == [others[1], ids[1], ids[0]]
    assert await _found(store, owner, pending=False) == [others[0], ids[3], ids[2]]
    assert await _found(store, owner, state="success") == [others[0], ids[2]]
    assert await _found(store, owner, state="running") == [ids[1]]
    assert await _found(store, owner, state="waiting-for-ep") == [others[1], ids[0]]
    assert await _found(store, owner, state="running", pending=False) == []
    assert await _found(store, owner, state="no such \0 state") == []
    for name in ("endpoint_id", "function_id", "group_id"):
        assert await _found(store, owner, **{name: getattr(other[0], name)}) == others[::-1]
        assert await _found(store, owner, **{name: getattr(other[0], name)}, pending=True) == [others[1]]
        assert await _found(store, owner, **{name: new_id()}) == []
    both = {"endpoint_id": one[0].endpoint_id, "group_id": one[0].group_id}
    assert await _found(store, owner, **both, limit=2, before=ids[3]) == [ids[2], ids[1]]
    assert await _found(store, owner, endpoint_id=one[0].endpoint_id, group_id=other[0].group_id) == []
    assert await _found(store, new_id(), group_id=one[0].group_id) == []


async def tasks_are_found_by_label_and_function(store: Store) -> None:
    """Part of either, in upper or lower case; no character stands for others."""
    owner = new_id()
    functions = [_function(owner, name) for name in ("Fit_Model", "räume", "plain")]
    labels = ["100% Übung", "100 of 200", r"a\b_c", "aXbXc", None]
    tasks = [
        some_tasks(1, owner_id=owner, function_id=functions[2].id, **({"options": _labelled(label)} if label else {}))[
            0
        ]
        for label in labels
    ]
    named = [some_tasks(1, owner_id=owner, function_id=f.id)[0] for f in functions[:2]]
    await store.add_tasks([*tasks, *named], functions=functions)
    ids = [t.id for t in tasks]
    for search, expected in [
        ("100", [ids[1], ids[0]]),
        ("100%", [ids[0]]),
        ("übung", [ids[0]]),
        ("ÜBUNG", [ids[0]]),
        ("%", [ids[0]]),
        ("b_c", [ids[2]]),
        (r"A\B", [ids[2]]),
        ("\\", [ids[2]]),
        ("'", []),
        ("fit_", [named[0].id]),
        ("_model", [named[0].id]),
        ("RÄU", [named[1].id]),
        ("plain", ids[::-1]),
        ("nowhere", []),
        ("x" * 100_000, []),
        ("", [named[1].id, named[0].id, *ids[::-1]]),
        *((text, []) for text in NO_TEXT),
    ]:
        assert (search, await _found(store, owner, search=search)) == (search, expected)
    await store.finish_tasks([an_end(ids[0])])
    assert await _found(store, owner, search="100", pending=True) == [ids[1]]
    assert (await store.tasks(ids[:1]))[ids[0]].label == labels[0]
    assert await store.delete_function(functions[2].id)
    assert await _found(store, owner, search="plain") == ids[::-1]


async def a_rare_task_is_found_in_a_long_list(store: Store) -> None:
    """However many there are that are not asked for."""
    owner = new_id()
    rare = some_tasks(2, owner_id=owner, options=_labelled("needle"))
    hay = some_tasks(4100, owner_id=owner)
    last = msgspec.structs.replace(rare[0], id=new_id())
    for tasks in (rare, [*hay, *some_tasks(100)], [last]):
        await store.add_tasks(tasks)
    found = await _found(store, owner, search="needle")
    assert found == [last.id, rare[1].id, rare[0].id]
    assert await _found(store, owner, group_id=rare[0].group_id) == found
    assert await _found(store, owner, search="needle", limit=2) == found[:2]
    assert await _found(store, owner, search="needle", before=found[1]) == found[2:]
    assert await _found(store, owner, search="no such label") == []
    assert await _found(store, owner, group_id=hay[0].group_id, limit=5000) == [t.id for t in reversed(hay)]


# -- functions -------------------------------------------------------------------------------------------------------


async def functions_are_listed_newest_first(store: Store) -> None:
    """Without their code, in pages; neither somebody else's nor deleted ones."""
    owner = new_id()
    functions = [
        _function(owner, "fit", description="50% of_it", public=True, group_id=new_id()),
        _function(owner, "Räume", metadata={"a": 1}),
        _function(owner, "gone"),
        _function(owner, "fit2"),
    ]
    for function in (*functions, _function(new_id(), "fit")):
        await store.put_function(function)
    await store.delete_function(functions[2].id)
    listed = [
        ListedFunction(f.id, owner, f.name, NOW, f.description, f.public, f.group_id)
        for f in (functions[3], functions[1], functions[0])
    ]
    assert await store.list_functions(owner) == listed
    assert await store.list_functions(owner, limit=2) == listed[:2]
    assert await store.list_functions(owner, before=listed[1].id) == listed[2:]
    assert await store.list_functions(owner, limit=0) == []
    assert await store.list_functions(new_id()) == []
    for search, expected in [
        ("FIT", [listed[0], listed[2]]),
        ("räume", [listed[1]]),
        ("50% OF_", [listed[2]]),
        ("%", [listed[2]]),
        ("gone", []),
        ("", listed),
        *((text, []) for text in NO_TEXT),
    ]:
        assert (search, await store.list_functions(owner, search=search)) == (search, expected)
    assert await store.list_functions(owner, search="fit", limit=1) == listed[:1]


async def text_that_cannot_be_kept_is_refused(store: Store) -> None:
    """By every store alike, and nothing of the call is kept."""
    good, owner = _function(new_id(), "f"), new_id()
    for text in NO_TEXT:
        labelled = some_tasks(2, owner_id=owner) + some_tasks(1, owner_id=owner, options=_labelled(text))
        calls = [
            store.put_function(msgspec.structs.replace(good, name=text)),
            store.put_function(msgspec.structs.replace(good, description=text)),
            store.put_function(msgspec.structs.replace(good, group_id=text)),
            store.add_tasks(some_tasks(1, owner_id=owner), functions=[msgspec.structs.replace(good, name=text)]),
            store.add_tasks(labelled, functions=[good]),
        ]
        for call in calls:
            try:
                await call
            except NotText:
                pass
            else:
                raise AssertionError("it was kept")
    assert await store.list_tasks(owner) == []
    assert await store.functions([good.id]) == {}
