"""A service, the real one, over a store and a broker's connection that may die at a step. Not a test: run by one.

Arguments: data directory, port, port for the queues. It prints a line of JSON when it is up, and serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import fault

from afield.broker.embedded.server import EmbeddedBroker
from afield.service.app import Service
from afield.service.settings import Limits, Settings
from afield.service.store.factory import open_store


class FaultyStore:
    """A store that keeps its promises until it dies."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def add_tasks(self, *arguments, **options):
        fault.reach("service: submit read, not committed")
        found = await self._store.add_tasks(*arguments, **options)
        if found is None:
            fault.reach("service: tasks committed, not queued, not answered")
        return found

    async def finish_tasks(self, finished):
        if finished:
            fault.reach("service: result here, not committed")
        ended = await self._store.finish_tasks(finished)
        if ended:
            fault.reach("service: result committed, not handed to its client")
            fault.reach("service: result committed and handed over, its endpoint not told")
        return ended

    async def mark_delivered(self, task_ids):
        fault.reach("service: result taken by its client, not written down")
        await self._store.mark_delivered(task_ids)

    async def move_tasks(self, moves):
        if any(move.life is not None for move in moves):
            fault.reach("service: tasks taken for good, not written down")
        moved = await self._store.move_tasks(moves)
        if any(move.life is not None for move in moves):
            fault.reach("service: tasks taken for good, written down")
        return moved


class FaultyConnection:
    """The service's own connection to its broker."""

    def __init__(self, connection):
        self._connection = connection

    def __getattr__(self, name):
        return getattr(self._connection, name)

    async def publish(self, publication):
        if publication.exchange == "groups" and fault.armed("service: result committed, not handed to its client"):
            await asyncio.Event().wait()  # the store dies with it
        await self._connection.publish(publication)
        if publication.exchange == "tasks":
            fault.reach("service: tasks queued, not answered")


_connect_local = EmbeddedBroker.connect_local


def _faulty(self, *arguments):
    return FaultyConnection(_connect_local(self, *arguments))


async def main() -> None:
    EmbeddedBroker.connect_local = _faulty
    data, port, amqp_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    service = Service(store=FaultyStore(open_store(data, data_dir=data)))
    limits = Limits(watch_s=0.2, grace_s=1.0)
    running = await service.start(Settings(data_dir=data, port=port, amqp_port=amqp_port, limits=limits))
    said = {"service_url": running.service_url, "token": running.token, "owner": running.owner.id,
            "port": running.port, "amqp_port": running.amqp_port}  # fmt: skip
    print(json.dumps(said), flush=True)
    failed = asyncio.ensure_future(service.failed())
    await asyncio.wait([asyncio.ensure_future(stop.wait()), failed], return_when=asyncio.FIRST_COMPLETED)
    await service.stop()


if __name__ == "__main__":
    asyncio.run(main())
