"""Submits without a key in two services on one store: what is written down, and when."""

from __future__ import annotations

import asyncio

import pytest

from afield.service.clock import HandClock
from afield.service.domain.repeats import Attempt, Repeated, Unclear
from afield.service.store.memory import MemoryStore
from afield.service.together.lives import MemoryLives
from afield.service.use.repeats import Keyless, Repeats
from afield.testing.store import some_tasks

pytestmark = pytest.mark.anyio

PATIENCE_S = 30.0
WITHIN_S = 120.0
BODY = b"body"


class StoreThatIsAway(MemoryStore):
    """Cannot be written to while it is away."""

    is_away = False

    async def went_astray(self, submits) -> None:
        self._be_there()
        await super().went_astray(submits)

    async def answered(self, keys, life) -> None:
        self._be_there()
        await super().answered(keys, life)

    def _be_there(self) -> None:
        if self.is_away:
            raise ConnectionError("the store is away")


class Replica:
    """One service of several, as far as submits without a key go."""

    def __init__(self, store: MemoryStore, clock: HandClock, table: set[str]) -> None:
        self.store = store
        self.lives = MemoryLives(table)
        self.repeats = Repeats(store, self.lives, clock, WITHIN_S)

    async def submit(self) -> tuple[Keyless, bool]:
        """A submit that is committed, and whether it repeats another; not answered yet."""
        keyless = self.repeats.begin(BODY)
        attempt = await keyless.attempt()
        assert attempt is not None
        keyless.commits()
        while isinstance(found := await self.add(attempt), Unclear):
            attempt = await keyless.ask(attempt, found.lives)
        if found is not None:
            keyless.follow(found.key)
        return keyless, found is not None

    async def add(self, attempt: Attempt) -> Repeated | Unclear | None:
        return await self.store.add_tasks(some_tasks(1), attempt=attempt)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store() -> StoreThatIsAway:
    return StoreThatIsAway()


@pytest.fixture
async def replicas(store: StoreThatIsAway, clock: HandClock) -> list[Replica]:
    table: set[str] = set()
    made = [Replica(store, clock, table) for _ in range(2)]
    for one in made:
        await one.lives.open()
    return made


async def test_what_was_not_answered_is_repeated_when_its_service_is_gone(replicas):
    one, two = replicas
    first, _ = await one.submit()
    assert not (await two.submit())[1]  # it may be answered yet
    await one.lives.close()
    again, repeats = await two.submit()
    assert (repeats, again.key) == (True, first.key)


async def test_what_was_answered_is_not_repeated_when_its_service_is_gone(replicas):
    one, two = replicas
    first, _ = await one.submit()
    first.answered(200)
    await one.repeats.close()
    await one.lives.close()
    assert not (await two.submit())[1]


@pytest.mark.parametrize("how", ["gone", "5xx"])
async def test_what_went_astray_is_repeated_once_and_again_if_that_goes_astray(replicas, how):
    keys = set()
    for each in [*replicas, *replicas]:
        keyless, repeats = await each.submit()
        assert repeats == bool(keys)
        keys.add(keyless.key)
        if how == "gone":
            keyless.gone()
        keyless.answered(503)
        await each.repeats.close()
    assert len(keys) == 1
    last, _ = await replicas[0].submit()
    last.answered(200)
    await replicas[0].repeats.close()
    assert not (await replicas[1].submit())[1]


async def test_whoever_is_gone_when_it_turns_out_that_it_repeats_leaves_that_to_the_next(replicas):
    one, two = replicas
    first, _ = await one.submit()
    first.gone()
    second = two.repeats.begin(BODY)
    attempt = await second.attempt()
    await one.repeats.close()
    second.gone()
    found = await two.add(attempt)
    assert found == Repeated(first.key)
    second.follow(found.key)
    await two.repeats.close()
    third, _ = await two.submit()
    assert third.key == first.key
    assert not (await two.submit())[1]


async def test_what_cannot_be_written_down_is_written_before_the_next_one_is_looked_at(replicas, store, caplog):
    one, _ = replicas
    first, _ = await one.submit()
    store.is_away = True
    first.gone()
    async with asyncio.timeout(PATIENCE_S):
        while "written down later" not in caplog.text:
            await asyncio.sleep(0)
    with pytest.raises(ConnectionError):
        await one.submit()
    store.is_away = False
    again, repeats = await one.submit()
    assert (repeats, again.key) == (True, first.key)
    await one.repeats.close()


async def test_what_cannot_be_written_down_is_tried_again(replicas, store, clock):
    one, two = replicas
    first, _ = await one.submit()
    store.is_away = True
    first.answered(200)
    async with asyncio.timeout(PATIENCE_S):
        while not clock.sleepers:
            await asyncio.sleep(0)
        store.is_away = False
        clock.advance(10.0)
        while store._unanswered:
            await asyncio.sleep(0)
    await one.lives.close()
    assert not (await two.submit())[1]


async def test_a_repetition_that_comes_too_late_is_a_submit_of_its_own(replicas, clock):
    one, _ = replicas
    first, _ = await one.submit()
    first.gone()
    await one.repeats.close()
    clock.advance(WITHIN_S + 1)
    assert not (await one.submit())[1]
