"""How many tasks and results a service takes a second: embedded, and in production mode, side by side.

::

    python -m benchmarks --service [--tasks 20000]

The production mode needs a PostgreSQL at ``AFIELD_TEST_POSTGRES``, in which a database of its own is made, and a
RabbitMQ on this machine, of which a node of its own is started. The modes take turns, and ratios are what to look at.

*submit*: batches over HTTP, four at a time, until each is answered: committed, and handed to the queue. *results*: an
endpoint that is played here takes them and answers at once, until a client has all results from its task group's queue.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from afield.broker.amqp import AmqpConnector
from afield.broker.base import Delivery
from afield.ids import new_id
from afield.testing.rabbitmq_node import rabbitmq_is_installed, rabbitmq_node
from afield.wire import codec
from benchmarks.sizing import BATCH, SOURCE, Measured, bring_up, packed, post

__all__ = ["show"]

PAYLOAD = 300
AT_ONCE = 4


async def _measure(service: Measured, tasks: int) -> tuple[float, float]:
    """Tasks accepted and results delivered, a second."""
    headers = {"Authorization": f"Bearer {service.token}", "X-Afield-Wire": "2"}
    async with aiohttp.ClientSession(service.url, headers=headers) as http:
        function_id = str((await post(http, "/v3/functions", SOURCE))["function_uuid"])
        metadata = {"hostname": "lab", "local_user": "ada", "afield_wire": 2}
        registered = await post(http, "/v3/endpoints", {"endpoint_name": "e", "metadata": metadata})
        user = await bring_up(http, registered, function_id, PAYLOAD)
        path = f"/v3/endpoints/{registered['endpoint_id']}/submit"
        body = {"tasks": {function_id: [packed(PAYLOAD)] * BATCH}, "create_queue": True}
        first = await post(http, path, {**body, "tasks": {function_id: [packed(PAYLOAD)]}})
        body["task_group_id"] = first["task_group_id"]
        left = iter(range(tasks // BATCH))

        async def submit() -> None:
            for _ in left:
                await post(http, path, body)

        begin = time.perf_counter()
        await asyncio.gather(*(submit() for _ in range(AT_ONCE)))
        submitted = tasks / (time.perf_counter() - begin)
        async with http.get("/v2/get_amqp_result_connection_url") as answer:
            where = await answer.json()
        async with _watcher(where["connection_url"], f"{where['queue_prefix']}{first['task_group_id']}") as counted:
            begin = time.perf_counter()
            running = asyncio.ensure_future(user.run(tasks + 2, b"00\n" + b"r" * PAYLOAD))
            await counted(tasks)
            finished = tasks / (time.perf_counter() - begin)
            await running
    return submitted, finished


@asynccontextmanager
async def _watcher(url: str, queue: str) -> AsyncIterator[Callable[[int], asyncio.Future[None]]]:
    arrived: asyncio.Queue[Delivery] = asyncio.Queue()
    connection = await AmqpConnector().connect(url)
    consumer = await connection.consume(queue, arrived.put_nowait)

    async def count(wanted: int) -> None:
        while wanted > 0:
            delivery = await arrived.get()
            wanted -= len(codec.decode(delivery.body, delivery.properties.headers))
            consumer.ack(delivery.tag)

    yield lambda wanted: asyncio.ensure_future(count(wanted))
    await connection.close()


@contextmanager
def _database(url: str) -> Iterator[str]:
    import asyncpg

    connect: Callable[[str], Any] = asyncpg.connect
    name = "afield_bench_" + new_id().replace("-", "")

    async def do(statement: str) -> None:
        connection = await connect(url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(do(f'CREATE DATABASE "{name}"'))
    try:
        yield url.rsplit("/", 1)[0] + "/" + name
    finally:
        asyncio.run(do(f'DROP DATABASE "{name}" WITH (FORCE)'))


def _once(extra: list[str], tasks: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as where:
        service = Measured(Path(where), extra)
        try:
            return asyncio.run(_measure(service, tasks))
        finally:
            service.process.terminate()
            service.process.wait(60)


def show(console: Console, *, tasks: int, repetitions: int) -> int:
    """Measure both and print a table; the exit status."""
    postgres = os.environ.get("AFIELD_TEST_POSTGRES")
    if not postgres or not rabbitmq_is_installed():
        console.print("the production mode needs AFIELD_TEST_POSTGRES, and RabbitMQ installed on this machine")
        return 1
    found: dict[str, list[tuple[float, float]]] = {"embedded": [], "production": []}
    with tempfile.TemporaryDirectory(prefix="afield-") as place, rabbitmq_node(Path(place)) as node:
        for _ in range(repetitions):
            found["embedded"].append(_once([], tasks))
            with _database(postgres) as database:
                extra = ["--database", database, "--broker", node.url, "--broker-api", node.api]
                found["production"].append(_once(extra, tasks))
    console.print(f"{tasks:,} tasks of {PAYLOAD} bytes, {repetitions} times in turns; medians, lowest to highest")
    for number, what in enumerate(("submit", "results")):
        rates = {mode: [one[number] for one in values] for mode, values in found.items()}
        middle = {mode: statistics.median(values) for mode, values in rates.items()}
        for mode, values in rates.items():
            console.print(f"{what:8} {mode:11} {middle[mode]:9,.0f}/s  ({min(values):,.0f} to {max(values):,.0f})")
        console.print(f"{what:8} production / embedded {middle['production'] / middle['embedded']:.2f}")
    return 0
