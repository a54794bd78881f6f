"""What has arrived on a queue, by bunches: all that came while the last bunch was worked on is the next."""

from __future__ import annotations

import asyncio
from typing import Final

from afield.broker.base import Connection, Consumer, Delivery
from afield.errors import BrokerUnreachable

__all__ = ["Inbox"]

#: A bunch is worked on as a whole, so it is bounded: messages, and bytes (one message may be larger). RabbitMQ counts
#: messages only, however large, so these are few: with ten times as many, no more results a second get through
#: (python -m benchmarks --service).
_MOST: Final = 100
_MOST_BYTES: Final = 32_000_000
#: Messages that may be here: the bunch that is worked on, and the next one. What is beyond stays with the broker.
_AHEAD: Final = 2 * _MOST


class Inbox:
    """A queue of the service's own.

    :param connection: with the right to read it
    :param queue: its name
    """

    def __init__(self, connection: Connection, queue: str) -> None:
        self._connection = connection
        self._queue = queue
        self._waiting: list[Delivery] = []
        # the bunch that somebody works on
        self._taken: list[Delivery] = []
        self._something = asyncio.Event()
        self._closed = False
        self._consumer: Consumer | None = None

    async def open(self) -> None:
        """Begin to read.

        :raises BrokerError: that cannot be
        """
        self._consumer = await self._connection.consume(self._queue, self._arrived, prefetch=_AHEAD)
        self._consumer.cancelled.add_done_callback(lambda _: self._something.set())

    def close(self) -> None:
        """Let :meth:`take` end. What was not taken stays in the queue."""
        self._closed = True
        self._something.set()

    async def take(self) -> list[Delivery]:
        """The next bunch, in order; empty after :meth:`close`. One that was not done comes again.

        :raises BrokerUnreachable: no more can come, and nobody closed it
        """
        assert self._consumer is not None
        while not self._closed:
            if not self._taken and self._waiting:
                self._taken = self._cut()
            if self._taken:
                return self._taken
            if self._consumer.cancelled.done():
                raise BrokerUnreachable(
                    f"the service lost its own queue {self._queue!r}: {self._consumer.cancelled.result()}"
                )
            self._something.clear()
            await self._something.wait()
        return []

    def done(self, bunch: list[Delivery]) -> None:
        """Everything up to the end of this bunch is safe."""
        assert self._consumer is not None
        self._consumer.ack(bunch[-1].tag, multiple=True)
        self._taken = []

    def _arrived(self, delivery: Delivery) -> None:
        self._waiting.append(delivery)
        self._something.set()

    def _cut(self) -> list[Delivery]:
        total = 0
        for count, delivery in enumerate(self._waiting):
            total += len(delivery.body)
            if count >= _MOST or (count and total > _MOST_BYTES):
                bunch, self._waiting = self._waiting[:count], self._waiting[count:]
                return bunch
        bunch, self._waiting = self._waiting, []
        return bunch
