"""A PostgreSQL that is away for a while, under a service that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from afield.wire import codec
from afield.wire.messages import Result

pytestmark = [pytest.mark.anyio, pytest.mark.rabbitmq, pytest.mark.postgres]

PATIENCE_S = 30.0


class Way:
    """The way to the database, which can be closed: whoever was on it is cut off, and nobody gets on it."""

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._on_it: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        login, at, _ = self._there.netloc.rpartition("@")
        return self._there._replace(netloc=f"{login}{at}127.0.0.1:{self.port}").geturl()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._on_it):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection(self._there.hostname, self._there.port or 5432)
        await asyncio.gather(self._pass_on(reader, behind[1]), self._pass_on(behind[0], writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._on_it.add(writer)
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        self._on_it.discard(writer)
        writer.close()


@pytest.fixture
async def way(postgres_url: str) -> AsyncIterator[Way]:
    one = Way(postgres_url)
    await one.open()
    yield one
    await one.close()


@pytest.fixture
async def one(way, site):
    """A service behind it; when it stops, the way is open."""
    made = await site(database=way.url)
    yield made
    await way.close()
    await way.open()


async def is_ready(one, well: bool) -> dict[str, str]:
    """Wait until the service says that it is, or is not; what it says."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await one.http.get("/ready")
            if (answer.status_code == 200) is well:
                return dict(answer.json())
            assert answer.status_code in (200, 503)


async def test_one_that_stops_meanwhile_stops_in_good_order(one, way):
    core = await one.core()
    await one.submit(core.id, await one.function(), 2)  # the broker has them, and the store is yet to hear of it
    await way.close()
    async with asyncio.timeout(PATIENCE_S):
        await one.stop()


async def test_loops_outlast_it_and_nothing_is_lost(one, way, caplog):
    core = await one.core()
    await core.report()
    await one.until(core.id, "online")
    function_id = await one.function()
    submitting = asyncio.ensure_future(one.submit(core.id, function_id))
    user = await core.start()
    await user.report()
    accepted = await submitting
    watcher = await one.watch(accepted)
    (task,) = await user.take(1)

    await way.close()
    await is_ready(one, well=False)
    # What comes meanwhile is kept by the broker, and each loop that is woken by it finds nobody to tell.
    await user.send(Result(task.task_id, b"00\nvalue\n", details={}))
    await core.report()
    async with asyncio.timeout(PATIENCE_S):
        while not all(f"{loop} waits" in caplog.text for loop in ("results", "beats")):
            await one.http.get("/ready")
    assert (await one.http.get("/health")).status_code == 200
    assert watcher.deliveries.empty()

    await way.open()
    await is_ready(one, well=True)
    delivery = await watcher.next()
    (result,) = codec.decode(delivery.body, delivery.properties.headers)
    assert result.task_id == task.task_id
    user.done()
    again = await one.submit(core.id, function_id)
    assert [task.task_id for task in await user.take(1)] == again["tasks"][function_id]
    assert await one.states(accepted["tasks"][function_id]) == {task.task_id: "success"}
