"""Several services: in one process, and on one PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from afield.ids import new_id
from afield.service.clock import HandClock
from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits
from afield.service.store.memory import MemoryStore
from afield.service.together.base import News, Together
from afield.service.together.memory import MemoryReplica, Table
from afield.service.together.postgres import PostgresReplica
from afield.service.together.single import Single
from afield.service.use.in_flight import InFlight
from afield.service.use.limits import KeepLimits
from afield.testing.together import Seat, TogetherConformance

pytestmark = pytest.mark.anyio

PATIENCE_S = 30.0


class TestMemory(TogetherConformance):
    """The fake."""

    @pytest.fixture
    async def seat(self) -> Seat:
        table = Table()

        async def seat() -> Together:
            replica = MemoryReplica(table)
            await replica.open()
            return replica

        return seat


@pytest.fixture
async def around_postgres(postgres_url: str) -> AsyncIterator[Seat]:
    replicas: list[PostgresReplica] = []

    async def seat() -> Together:
        replica = PostgresReplica(postgres_url)
        await replica.open()
        if not replicas:
            await replica.take_duty()
        replicas.append(replica)
        return replica

    yield seat
    for replica in replicas:
        await replica.close()


@pytest.mark.postgres
class TestPostgres(TogetherConformance):
    """The real one."""

    @pytest.fixture
    async def seat(self, around_postgres: Seat) -> Seat:
        return around_postgres

    async def test_a_lost_connection_comes_back_and_says_so(self, seat: Seat, postgres_url: str) -> None:
        one, two = await seat(), await seat()
        heard: asyncio.Queue[News] = asyncio.Queue()
        missed = [asyncio.Event(), asyncio.Event()]
        one.listen("start", heard.put_nowait)
        one.on_missed(missed[0].set)
        two.on_missed(missed[1].set)
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(event.wait() for event in missed))
            duties = [asyncio.ensure_future(replica.take_duty()) for replica in (one, two)]
            await asyncio.wait(duties, return_when=asyncio.FIRST_COMPLETED)
            for duty in duties:
                duty.cancel()
            assert one.on_duty != two.on_duty
            two.tell(News("start", "again"))
            assert (await heard.get()).about == "again"

    async def test_who_lost_its_connection_knows_that_it_is_deaf_and_says_later_what_it_could_not(
        self, seat: Seat, postgres_url: str
    ) -> None:
        one, two = await seat(), await seat()
        missed, heard = asyncio.Event(), asyncio.Queue[News]()
        hears_then: list[bool] = []
        one.on_missed(lambda: hears_then.append(one.hears))
        one.on_missed(missed.set)
        two.listen("doubt", heard.put_nowait)
        assert isinstance(one, PostgresReplica)
        lost = one._connection
        connection = await asyncpg.connect(postgres_url)
        await connection.execute("SELECT pg_terminate_backend($1)", lost.get_server_pid())
        await connection.close()
        async with asyncio.timeout(PATIENCE_S):
            while one.hears:
                await asyncio.sleep(0)
            one.tell(News("doubt", "a"))
            await one.all_said()
            assert (await heard.get()).about == "a"
            await missed.wait()
        assert hears_then == [True]
        assert one.hears


async def test_who_is_alone_is_on_duty() -> None:
    single = Single()
    await single.open()
    assert single.on_duty
    assert single.hears
    single.tell(News("start", "a"))
    await single.all_said()
    async with single.alone("a"), single.alone("a"):  # a key does not keep a service from itself
        pass
    await single.close()


@pytest.mark.postgres
async def test_replicas_tell_each_other_what_they_let_through(around_postgres: Seat) -> None:
    one, other = await around_postgres(), await around_postgres()
    store, clock = MemoryStore(), HandClock()
    limits = Limits(requests_per_s=1.0, requests_burst=3)
    here, there = (KeepLimits(store, InFlight(store), clock, limits, seat) for seat in (one, other))
    caller = Caller(IdentityRecord(new_id(), "ada", "Ada", "", 1.0))
    heard = asyncio.Event()
    other.listen("requests", lambda _: heard.set())
    for _ in range(3):
        await here.request(caller)
    await here.tell_requests()
    async with asyncio.timeout(PATIENCE_S):
        await heard.wait()
    with pytest.raises(Refusal, match="more often than"):
        await there.request(caller)
