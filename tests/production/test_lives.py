"""Which replicas live: in one process, and on one PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from afield.service.together.lives import Lives, MemoryLives, OnlyLife
from afield.service.together.postgres_lives import PostgresLives
from afield.testing.lives import Begin, Kill, LivesConformance

pytestmark = pytest.mark.anyio

PATIENCE_S = 30.0


class TestMemory(LivesConformance):
    """The fake."""

    @pytest.fixture
    def begin(self) -> Begin:
        table: set[str] = set()

        async def begin() -> Lives:
            one = MemoryLives(table)
            await one.open()
            return one

        return begin

    @pytest.fixture
    def kill(self) -> Kill:
        return lambda life: life.close()


@pytest.mark.postgres
class TestPostgres(LivesConformance):
    """The real one."""

    @pytest.fixture
    async def begin(self, postgres_url: str) -> AsyncIterator[Begin]:
        begun: list[PostgresLives] = []

        async def begin() -> Lives:
            one = PostgresLives(postgres_url)
            begun.append(one)
            await one.open()
            return one

        yield begin
        for one in begun:
            await one.close()

    @pytest.fixture
    def kill(self) -> Kill:
        async def kill(life: Lives) -> None:
            assert isinstance(life, PostgresLives)
            assert life._keeper is not None
            life._keeper.cancel()
            life._connection._transport.abort()

        return kill

    async def test_who_lost_its_connection_lives_on(self, begin: Begin, postgres_url: str) -> None:
        one, two = await begin(), await begin()
        assert isinstance(two, PostgresLives)
        lost = two._connection
        connection = await asyncpg.connect(postgres_url)
        await connection.execute("SELECT pg_terminate_backend($1)", lost.get_server_pid())
        await connection.close()
        async with asyncio.timeout(PATIENCE_S):
            while two._connection is lost or two._connection is None:
                await asyncio.sleep(0)
        assert await one.ended([two.life]) == frozenset()
        assert await two.ended([one.life]) == frozenset()

    async def test_who_cannot_ask_says_so(self, begin: Begin, postgres_url: str) -> None:
        one = await begin()
        assert isinstance(one, PostgresLives)
        one._url = postgres_url + "_gone"
        one._connection.terminate()
        with pytest.raises(ConnectionError, match="which services live"):
            await one.ended(["another"])

    async def test_a_process_that_is_killed_is_known_to_be_gone(self, begin: Begin, postgres_url: str) -> None:
        code = (
            "import asyncio, sys\n"
            "from afield.service.together.postgres_lives import PostgresLives\n"
            "async def main():\n"
            "    one = PostgresLives(sys.argv[1]); await one.open(); print(one.life, flush=True)\n"
            "    await asyncio.Event().wait()\n"
            "asyncio.run(main())"
        )
        one = await begin()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, postgres_url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        life = (await process.stdout.readline()).decode().strip()
        assert await one.ended([life]) == frozenset()
        process.kill()
        await process.wait()
        async with asyncio.timeout(PATIENCE_S):
            while await one.ended([life]) != {life}:
                await asyncio.sleep(0)


async def test_who_is_alone_knows_that_all_others_have_ended() -> None:
    one = OnlyLife()
    await one.open()
    assert await one.ended([one.life, "earlier"]) == {"earlier"}
    assert OnlyLife().life != one.life
    await one.close()
