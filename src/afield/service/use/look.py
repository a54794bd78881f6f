"""To look at what waits in a queue of a broker elsewhere: it is read and put back at its place.

Nobody else can read the queue for that moment. Messages without the id of a task are put back, and are not told of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from contextlib import suppress
from typing import Final

from afield.broker.base import BrokerAdmin, Connection, Delivery
from afield.errors import BrokerRefused

__all__ = ["look"]

#: For how long, in seconds, waiting tasks are looked at.
_LOOK_S: Final = 30.0

#: Seconds between two questions whether everything is back.
_PAUSE_S: Final = 0.02


async def look(connection: Connection, admin: BrokerAdmin, queue: str, but: Container[str]) -> set[str] | None:
    """The ids of the tasks that wait in a published user endpoint's queue.

    :param but: these are taken out instead
    :return: None: somebody reads it, it went away meanwhile, or it took too long
    :raises BrokerRefused: there is no such queue
    """
    count = await admin.depth(queue)
    seen: list[tuple[int, str | None]] = []
    enough = asyncio.Event()

    def arrived(delivery: Delivery) -> None:
        task_id = delivery.properties.headers.get("task_uuid")
        seen.append((delivery.tag, task_id if isinstance(task_id, str) else None))
        if len(seen) >= count:
            enough.set()

    consumer = await connection.consume(queue, arrived, exclusive=True)
    consumer.cancelled.add_done_callback(lambda _: enough.set())
    try:
        if count:
            async with asyncio.timeout(_LOOK_S):
                await enough.wait()
        if consumer.cancelled.done():
            return None
    except TimeoutError:
        return None
    finally:
        await consumer.cancel()
        stay = [tag for tag, task_id in seen if task_id is None or task_id not in but]
        for tag in {tag for tag, _ in seen}.difference(stay):
            consumer.ack(tag)
        if stay:
            consumer.nack(stay[-1], multiple=True)
            await _until_back(connection, admin, queue, len(stay))
    return {task_id for _, task_id in seen if task_id is not None and task_id not in but}


async def _until_back(connection: Connection, admin: BrokerAdmin, queue: str, count: int) -> None:
    """Quorum queues put back a moment later. Who looked before that would take what waits for taken."""
    with suppress(TimeoutError, BrokerRefused):
        async with asyncio.timeout(_LOOK_S):
            while await admin.depth(queue) < count and not await admin.consumers(queue):
                await connection.check(queue=queue)  # it may have been deleted meanwhile
                await asyncio.sleep(_PAUSE_S)
