"""A service that dies, as if by kill -9, when it has accepted tasks and before it answers. Not a test: run by one.

Arguments: where it dies (``committed`` or ``queued``), data directory, database, broker, its API. It prints a line of
JSON when it is up.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from afield.service.app import Service
from afield.service.flows.kept import Kept
from afield.service.settings import Settings
from afield.service.store.factory import open_store


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingStore:
    """A store that keeps its promises until it dies."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def add_tasks(self, *arguments, **options):
        await self._store.add_tasks(*arguments, **options)
        die()


async def main() -> None:
    where, data, database, broker, broker_api = sys.argv[1:]
    store = open_store(database, connections=3)
    if where == "queued":
        Kept.hand_over = die
    service = Service(store=DyingStore(store) if where == "committed" else store)
    running = await service.start(
        Settings(
            data_dir=Path(data), port=0, database=database, database_connections=3, broker=broker, broker_api=broker_api
        )
    )
    print(json.dumps({"service_url": running.service_url, "token": running.token}), flush=True)
    await service.failed()


if __name__ == "__main__":
    asyncio.run(main())
