"""Health and readiness tell the truth: each part is broken, and named."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from afield.broker.base import QueueSpec
from afield.broker.memory import MemoryBroker
from afield.service.app import Running, Service
from afield.service.domain.names import RESULTS
from afield.service.operate.health import Part, PartFailed, Readiness
from afield.service.operate.parts import broker_part, loops_part, store_part
from afield.service.settings import Settings
from afield.service.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[Service, Running, httpx2.AsyncClient]]:
    service = Service()
    running = await service.start(settings)
    try:
        async with httpx2.AsyncClient(base_url=running.service_url, trust_env=False, verify=False) as http:
            yield service, running, http
    finally:
        await service.stop()


def not_ready(answer: httpx2.Response, *parts: str) -> str:
    """The answer names these parts."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    body = answer.json()
    assert body["code"] == "SERVICE_NOT_READY"
    assert body["error_args"] == list(parts)
    return body["detail"]


async def test_a_service_that_is_well(tmp_path):
    async with serving(Settings(data_dir=tmp_path, port=0, amqp_port=0)) as (_, _, nobody):
        assert (await nobody.get("/health")).json() == {"status": "ok"}
        assert (await nobody.get("/healthz")).json() == {"status": "ok"}
        assert (await nobody.get("/ready")).json() == {
            "status": "ready", "parts": {"store": "ok", "broker": "ok", "loops": "ok"}
        }  # fmt: skip


class TestEachPartBroken:
    """And the process itself still answers, or whoever supervises it would start it anew for nothing."""

    async def test_sqlite_whose_tables_are_gone(self, tmp_path):
        async with serving(Settings(data_dir=tmp_path, port=0, amqp_port=0)) as (_, _, nobody):
            with sqlite3.connect(tmp_path / "afield.db") as other:
                other.execute("ALTER TABLE functions RENAME TO lost")
            other.close()
            said = not_ready(await nobody.get("/ready"), "store")
            assert "store: " in said
            assert str(tmp_path) not in said
            assert (await nobody.get("/health")).status_code == 200
            with sqlite3.connect(tmp_path / "afield.db") as other:
                other.execute("ALTER TABLE lost RENAME TO functions")
            other.close()
            assert (await nobody.get("/ready")).status_code == 200

    @pytest.mark.postgres
    async def test_postgresql_that_lets_nobody_in(self, tmp_path, postgres_url):
        import asyncpg

        url = await postgres_url()
        settings = Settings(data_dir=tmp_path, port=0, amqp_port=0, database=url, log_level="error")
        async with serving(settings) as (_, _, nobody):
            assert (await nobody.get("/ready")).status_code == 200
            server, _, name = url.rpartition("/")
            admin = await asyncpg.connect(server + "/postgres")
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            answer = await nobody.get("/ready")
            assert answer.json()["error_args"][0] == "store"  # and loops, which could not go on without it
            assert name not in not_ready(answer, *answer.json()["error_args"])
            assert (await nobody.get("/health")).status_code == 200
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            assert "store" not in (await nobody.get("/ready")).json().get("error_args", [])
            await admin.close()

    async def test_a_broker_that_is_away(self):
        broker = MemoryBroker()
        await broker.declare_queue(QueueSpec(RESULTS))
        readiness = Readiness([broker_part(await broker.connect("memory://service"))])
        assert await readiness.look() == {"broker": None}
        broker.go_down()
        assert await readiness.look() == {"broker": "the connection is closed"}

    async def test_a_broker_that_lost_the_queue_of_results(self):
        broker = MemoryBroker()
        await broker.declare_queue(QueueSpec(RESULTS))
        readiness = Readiness([broker_part(await broker.connect("memory://service"))])
        await broker.delete_queue(RESULTS)
        assert await readiness.look() == {"broker": "BrokerRefused"}

    async def test_a_loop_that_ended(self, tmp_path):
        async with serving(Settings(data_dir=tmp_path, port=0, amqp_port=0)) as (service, _, nobody):
            assert service._supervisor is not None
            [beats] = [task for task in asyncio.all_tasks() if task.get_name() == "beats"]
            beats.cancel()
            await asyncio.gather(beats, return_exceptions=True)
            assert "beats" in not_ready(await nobody.get("/ready"), "loops")
            assert (await nobody.get("/health")).status_code == 200


class SlowStore(MemoryStore):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.asked = asyncio.Event(), 0

    async def function(self, function_id):
        self.asked += 1
        await self.go.wait()


class TestReadiness:
    async def test_a_part_that_does_not_answer(self):
        store = SlowStore()
        assert await Readiness([store_part(store)], patience_s=0.01).look() == {"store": "no answer within 0.01 s"}

    async def test_who_asks_meanwhile_gets_the_same_answer(self):
        store = SlowStore()
        readiness = Readiness([store_part(store)])
        asking = [asyncio.ensure_future(readiness.look()) for _ in range(50)]
        while not store.asked:
            await asyncio.sleep(0)
        store.go.set()
        assert await asyncio.gather(*asking) == [{"store": None}] * 50
        assert store.asked == 1
        assert await readiness.look() == {"store": None}
        assert store.asked == 2

    async def test_who_asks_and_leaves_takes_nothing_from_others(self):
        store = SlowStore()
        readiness = Readiness([store_part(store)])
        leaving, staying = (asyncio.ensure_future(readiness.look()) for _ in range(2))
        while not store.asked:
            await asyncio.sleep(0)
        leaving.cancel()
        store.go.set()
        assert await staying == {"store": None}

    async def test_all_that_is_wrong_is_named(self):
        async def broken() -> None:
            raise RuntimeError("password=hunter2")

        async def told() -> None:
            raise PartFailed("out of order")

        looked = await Readiness([Part("a", broken), Part("b", told), loops_part(lambda: ["x", "y"])]).look()
        # What others raise may hold anything, so it is for the log alone.
        assert looked == {"a": "RuntimeError", "b": "out of order", "loops": "not running: x, y"}
