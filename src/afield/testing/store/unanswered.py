"""What a store promises about submits without a key: who repeats whom."""

from __future__ import annotations

import asyncio

import msgspec

from afield.service.domain.records import SubmitRecord, TaskRecord
from afield.service.domain.repeats import ASTRAY, Attempt, Repeated, Unanswered, Unclear
from afield.service.store.base import AlreadyStored, Store
from afield.testing.store.records import NOW, some_tasks

__all__ = [
    "an_answer_is_kept_for_as_long_as_somebody_missed_it",
    "an_answered_submit_is_not_repeated",
    "an_equal_submit_under_way_is_not_repeated",
    "one_of_many_repeats",
    "what_another_life_has_taken_over_is_its_own",
    "what_went_astray_before_its_commit_is_repeated",
    "what_went_astray_can_be_none_to_be_repeated",
    "what_went_astray_is_repeated_once",
    "when_a_life_has_ended_its_submits_are_repeated",
]

ONE, TWO = "life one", "life two"


def attempt(key: bytes, body: bytes = b"body", life: str = ONE, at: float = NOW) -> Attempt:
    """A submit without a key."""
    return Attempt(key, body, life, at, at - 100.0)


def knowing(one: Attempt, *, ended: str = "", going_on: str = "") -> Attempt:
    """The same, after somebody asked."""
    return msgspec.structs.replace(one, ended=frozenset({ended} - {""}), going_on=frozenset({going_on} - {""}))


def left(one: Attempt) -> Unanswered:
    """What is told of a submit whose answer went astray."""
    return Unanswered(one.key, one.body, one.life, one.at)


async def accept(store: Store, one: Attempt, tasks: list[TaskRecord] | None = None) -> Repeated | Unclear | None:
    """Submit tasks."""
    submit = SubmitRecord(one.key, b"answer to " + one.key, one.at)
    return await store.add_tasks(tasks or some_tasks(1), submit, attempt=one)


async def what_went_astray_is_repeated_once(store: Store) -> None:
    """The next equal submit has its key and nothing is added; the one after is its own. Others are not concerned."""
    first, other = attempt(b"first"), attempt(b"other", b"another body")
    assert await accept(store, first) is None
    await store.went_astray([left(first)])
    assert await accept(store, other) is None
    tasks = some_tasks(2)
    assert await accept(store, attempt(b"second", life=TWO), tasks) == Repeated(b"first")
    assert await store.tasks([task.id for task in tasks]) == {}
    assert await store.submit(b"second", since=0) is None
    found = await store.submit(b"first", since=0)
    assert found is not None
    assert found.response == b"answer to first"
    assert await accept(store, attempt(b"third", life=TWO), tasks) is None
    assert list(await store.tasks([task.id for task in tasks])) == [task.id for task in tasks]


async def an_equal_submit_under_way_is_not_repeated(store: Store) -> None:
    """In the same life nothing needs to be asked; of another it must be known that it goes on."""
    assert await accept(store, attempt(b"a")) is None
    assert await accept(store, attempt(b"b")) is None
    tasks = some_tasks(1)
    foreign = attempt(b"c", life=TWO)
    assert await accept(store, foreign, tasks) == Unclear(frozenset({ONE}))
    assert await store.tasks([tasks[0].id]) == {}
    assert await accept(store, knowing(foreign, going_on=ONE), tasks) is None
    assert list(await store.tasks([tasks[0].id])) == [tasks[0].id]


async def when_a_life_has_ended_its_submits_are_repeated(store: Store) -> None:
    """Each once, the latest first."""
    for at, key in enumerate((b"a", b"b")):
        assert await accept(store, attempt(key, at=NOW + at)) is None
    after = [knowing(attempt(key, life=TWO, at=NOW + 9), ended=ONE) for key in (b"c", b"d", b"e")]
    assert [await accept(store, one) for one in after] == [Repeated(b"b"), Repeated(b"a"), None]


async def an_answered_submit_is_not_repeated(store: Store) -> None:
    """Whatever becomes of the life in which it was; and to have been answered twice is fine."""
    assert await accept(store, attempt(b"a")) is None
    assert await accept(store, attempt(b"b")) is None
    await store.answered([b"a", b"b", b"unknown"], ONE)
    await store.answered([b"a"], ONE)
    assert await accept(store, knowing(attempt(b"c", life=TWO), ended=ONE)) is None


async def what_went_astray_before_its_commit_is_repeated(store: Store) -> None:
    """Whoever commits first has made it, and it stays with whoever repeats it."""
    first = attempt(b"first")
    await store.went_astray([left(first)])
    assert await store.repeated(first) is None
    second = knowing(attempt(b"second", life=TWO), going_on=ONE)
    assert await store.repeated(second) == Repeated(b"first")
    assert await accept(store, first) is None
    try:
        await store.add_tasks(some_tasks(1), SubmitRecord(b"first", b"late", NOW))
    except AlreadyStored:
        pass
    else:
        raise AssertionError("a key was used twice")
    await store.answered([b"first"], ONE)
    third = attempt(b"third", life="life three")
    assert await store.repeated(third) == Unclear(frozenset({TWO}))


async def what_another_life_has_taken_over_is_its_own(store: Store) -> None:
    """The first life, which was thought to have ended, changes nothing any more."""
    first = attempt(b"first")
    assert await accept(store, first) is None
    assert await store.repeated(knowing(attempt(b"second", life=TWO), ended=ONE)) == Repeated(b"first")
    await store.went_astray([left(first)])
    await store.answered([b"first"], ONE)
    assert await store.repeated(attempt(b"third")) == Unclear(frozenset({TWO}))
    await store.went_astray([left(attempt(b"first", life=TWO))])
    await store.answered([b"first"], TWO)
    assert await store.repeated(attempt(b"third")) == Repeated(b"first")


async def what_went_astray_can_be_none_to_be_repeated(store: Store) -> None:
    """It turned out to repeat another itself."""
    first = attempt(b"first")
    await store.went_astray([left(first)])
    await store.answered([b"first"], ASTRAY)
    assert await store.repeated(attempt(b"second")) is None


async def one_of_many_repeats(store: Store) -> None:
    """However many come at the same moment."""
    first = attempt(b"first")
    assert await accept(store, first) is None
    await store.went_astray([left(first)])
    many = [accept(store, attempt(b"%d" % number)) for number in range(20)]
    found = await asyncio.gather(*many)
    assert sorted(one is None for one in found) == [False] + [True] * 19
    assert Repeated(b"first") in found


async def an_answer_is_kept_for_as_long_as_somebody_missed_it(store: Store) -> None:
    """It went astray later than it was made; what is too old is not repeated."""
    for key in (b"missed", b"answered"):
        assert await accept(store, attempt(key, key)) is None
    await store.answered([b"answered"], ONE)
    await store.went_astray([Unanswered(b"missed", b"missed", ONE, NOW + 50.0)])
    await store.forget_submits(NOW + 40.0)
    assert await store.submit(b"answered", since=0) is None
    assert await store.submit(b"missed", since=0) is not None
    assert await store.repeated(attempt(b"new", b"missed", at=NOW + 151.0)) is None
    assert await store.repeated(attempt(b"new", b"missed", at=NOW + 150.0)) == Repeated(b"missed")
    await store.forget_submits(NOW + 200.0)
    assert await store.submit(b"missed", since=0) is None
    assert await store.repeated(attempt(b"new", b"missed", at=NOW + 150.0)) is None
