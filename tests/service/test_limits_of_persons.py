"""What counts for a person counts whichever of their identities asks, at whichever replica."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from afield.service.clock import HandClock
from afield.service.domain.caller import Caller
from afield.service.domain.people import ClientRecord, IdentityRecord
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits
from afield.service.store.memory import MemoryStore
from afield.service.together.memory import MemoryReplica, Table
from afield.service.use.in_flight import InFlight
from afield.service.use.limits import KeepLimits
from afield.service.use.people.persons import Persons

from .conftest import ADA, BOB, World, identity

pytestmark = pytest.mark.anyio

ROBOT = IdentityRecord("0000000c-0000-4000-8000-000000000000", "robot", "Robot", "", 1.0, provider="client")
EVE = Caller(identity("eve", 3))


async def link(store: MemoryStore) -> None:
    """Ada and Bob are one person, and Bob made the robot."""
    for one in (ADA.identity, BOB.identity):
        await store.people.put_identity(msgspec.structs.replace(one, person_id=ADA.id))
    await store.people.put_identity(ROBOT)
    await store.people.put_identity(EVE.identity)
    await store.people.put_client(ClientRecord(ROBOT.id, "robot", BOB.id, 1.0, b"digest"))


async def callers(store: MemoryStore) -> list[Caller]:
    """As the door lets them in."""
    ids = (ADA.id, BOB.id, ROBOT.id)
    found = await store.people.identities(ids)
    return [Caller(found[one]) for one in ids]


class TestPersons:
    async def test_linked_identities_and_clients_are_one_person(self):
        store = MemoryStore()
        await link(store)
        persons = Persons(store.people, HandClock())
        found = [await persons.behind(caller) for caller in await callers(store)]
        assert {one.id for one in found} == {ADA.id}
        assert {frozenset(one.identity_ids) for one in found} == {frozenset((ADA.id, BOB.id, ROBOT.id))}
        assert (await persons.behind(EVE)).identity_ids == (EVE.id,)

    async def test_a_client_that_nobody_made_any_more_is_somebody_by_itself(self):
        store = MemoryStore()
        await store.people.put_identity(ROBOT)
        assert (await Persons(store.people, HandClock()).behind(Caller(ROBOT))).identity_ids == (ROBOT.id,)

    async def test_what_changes_is_noticed_after_some_seconds(self):
        store, clock = MemoryStore(), HandClock()
        persons = Persons(store.people, clock)
        await persons.behind(ADA)
        await link(store)
        (ada, *_) = await callers(store)
        assert (await persons.behind(ada)).identity_ids == (ADA.id,)
        clock.advance(10.0)
        assert set((await persons.behind(ada)).identity_ids) == {ADA.id, BOB.id, ROBOT.id}


class TestWaiting:
    async def test_identities_and_clients_of_one_person_share_what_may_wait(self):
        world = await World(MemoryStore(), Limits(waiting_per_user=10)).start()
        await link(world.store)
        ada, bob, robot = await callers(world.store)
        core = await world.core(online=False, multi_user=True)
        function_id = await world.function(public=True)
        for caller, count in ((ada, 4), (bob, 3), (robot, 3)):
            await world.submit(core, function_id, count, caller=caller)
        for caller in (ada, bob, robot):
            with pytest.raises(Refusal, match="You have 10 tasks waiting"):
                await world.submit(core, function_id, caller=caller)
        await world.submit(core, function_id, 10, caller=EVE)
        await world.stop()

    async def test_they_do_not_get_past_it_at_the_same_moment_either(self):
        world = await World(MemoryStore(), Limits(waiting_per_user=10)).start()
        await link(world.store)
        core = await world.core(online=False, multi_user=True)
        function_id = await world.function(public=True)
        answers = await asyncio.gather(
            *(world.submit(core, function_id, 6, caller=one) for one in await callers(world.store)),
            return_exceptions=True,
        )
        assert sorted(isinstance(one, Refusal) for one in answers) == [False, True, True]
        await world.stop()


class TestRequests:
    @pytest.fixture
    async def replicas(self) -> tuple[KeepLimits, KeepLimits]:
        store, table, clock = MemoryStore(), Table(), HandClock()
        await link(store)
        self.store, self.clock, self.seats = store, clock, (MemoryReplica(table), MemoryReplica(table))
        for seat in self.seats:
            await seat.open()
        limits = Limits(requests_per_s=1.0, requests_burst=5)
        one, other = (KeepLimits(store, InFlight(store), clock, limits, seat) for seat in self.seats)
        return one, other

    async def many(self, keep: KeepLimits, caller: Caller) -> int:
        for count in range(100):
            try:
                await keep.request(caller)
            except Refusal:
                return count
        return 100

    async def news(self, *replicas: KeepLimits) -> None:
        for one in replicas:
            await one.tell_requests()
        await asyncio.sleep(0)

    async def test_what_one_let_through_counts_at_the_other(self, replicas):
        one, other = replicas
        assert await self.many(one, EVE) == 5
        await self.news(*replicas)
        assert await self.many(other, EVE) == 0
        self.clock.advance(3.0)
        assert await self.many(other, EVE) == 3
        await self.news(*replicas)
        assert await self.many(one, EVE) == 0

    async def test_all_identities_of_a_person_share_it(self, replicas):
        one, other = replicas
        ada, bob, robot = await callers(self.store)
        assert (await self.many(one, ada), await self.many(one, bob), await self.many(one, robot)) == (5, 0, 0)
        await self.news(*replicas)
        assert await self.many(other, robot) == 0

    async def test_news_of_thousands_are_short_enough_to_arrive_whole(self, replicas):
        one, other = replicas
        crowd = [
            Caller(IdentityRecord(f"{n:08x}-0000-4000-8000-000000000000", f"u{n}", "U", "", 1.0)) for n in range(1000)
        ]
        for caller in crowd:
            assert await self.many(one, caller) == 5
        await self.news(*replicas)
        assert {await self.many(other, caller) for caller in crowd} == {0}

    async def test_who_cannot_be_heard_counts_alone_and_holds_nothing_against_anybody_later(self, replicas):
        one, other = replicas
        self.seats[0].go_deaf()
        assert await self.many(one, EVE) == 5
        await self.news(*replicas)
        self.seats[0].hear_again()
        await self.news(*replicas)
        assert await self.many(other, EVE) == 5

    async def test_alone_there_is_nothing_to_tell(self):
        keep = KeepLimits(MemoryStore(), InFlight(MemoryStore()), HandClock(), Limits(requests_per_s=1.0))
        assert not keep.is_shared
        await keep.tell_requests()
