"""What a store promises about calls that are under way together."""

from __future__ import annotations

import asyncio

from afield.service.store.base import AlreadyStored, Store
from afield.testing.store.records import BIG, an_end, some_tasks

__all__ = [
    "a_caller_that_leaves_breaks_nothing",
    "an_end_is_given_out_once",
    "calls_under_way_together_fail_alone",
    "closing_finishes_what_is_under_way",
    "effects_follow_the_order_of_calls",
]

# -- together --------------------------------------------------------------------------------------------------------


async def effects_follow_the_order_of_calls(store: Store) -> None:
    """Calls made without waiting for one another: each sees those before it, big values or not."""
    tasks = some_tasks(1, payload=b"p" * BIG) + some_tasks(1)
    ids = [t.id for t in tasks]
    end = an_end(ids[0], b"v" * BIG)
    _, ended, late, views, _, undelivered = await asyncio.gather(
        store.add_tasks(tasks),
        store.finish_tasks([end]),
        store.finish_tasks([an_end(ids[0], b"late"), an_end(ids[1])]),
        store.tasks(ids),
        store.mark_delivered(ids[:1]),
        store.undelivered(),
    )
    assert [v.finished for v in ended] == [end]
    assert [v.id for v in late] == ids[1:]
    assert views[ids[0]].finished == end
    assert [v.id for v in undelivered] == ids[1:]


async def calls_under_way_together_fail_alone(store: Store) -> None:
    """One bad call among good ones: it alone hears of it, and they are kept."""
    there = some_tasks(1)
    await store.add_tasks(there)
    good = [some_tasks(2) for _ in range(6)]
    calls = [store.add_tasks(tasks) for tasks in good]
    calls.insert(3, store.add_tasks([*some_tasks(1), *there]))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 3 + [AlreadyStored] + [type(None)] * 3
    ids = [t.id for tasks in good for t in tasks]
    assert list(await store.tasks(ids)) == ids


async def an_end_is_given_out_once(store: Store) -> None:
    """However many calls bring it at the same time."""
    tasks = some_tasks(50)
    await store.add_tasks(tasks)
    calls = [store.finish_tasks([an_end(t.id, str(n).encode()) for t in tasks]) for n in range(8)]
    ended = [view.id for views in await asyncio.gather(*calls) for view in views]
    assert sorted(ended) == [t.id for t in tasks]


async def a_caller_that_leaves_breaks_nothing(store: Store) -> None:
    """Cancelled while it waits: the others get their answers."""
    tasks = some_tasks(2)
    leaving = asyncio.ensure_future(store.add_tasks(tasks[:1]))
    staying = asyncio.ensure_future(store.add_tasks(tasks[1:]))
    # One turn of the loop, so that both have called.
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert list(await store.tasks([tasks[1].id])) == [tasks[1].id]


async def closing_finishes_what_is_under_way(store: Store) -> None:
    """Nobody who called before is left without an answer; closing twice is fine."""
    calls = [asyncio.ensure_future(store.add_tasks(some_tasks(3))) for _ in range(5)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*calls)
    await store.close()
