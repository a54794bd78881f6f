"""The hands of a user endpoint that send: results, from memory or from the disk, and where tasks are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from afield.endpoint.agent import events as on
from afield.endpoint.agent.outbox import Outbox
from afield.endpoint.agent.queues import Queues
from afield.errors import BrokerError, BrokerUnreachable
from afield.wire import v2
from afield.wire.messages import Notice, Result

__all__ = ["Sending"]

logger = logging.getLogger("afield.endpoint")


class Sending:
    """Sends for one agent.

    :param feed: is told what came of it
    """

    def __init__(self, queues: Queues, outbox: Outbox, feed: Callable[[on.Event], None]) -> None:
        self._queues, self._outbox, self._feed = queues, outbox, feed

    async def results(self, number: int, body: bytes) -> None:
        """Send a batch."""
        try:
            await self._queues.send_results(body)
        except BrokerError as error:
            logger.warning("results could not be sent, they will be sent again: %s", error)
            self._feed(on.BatchFailed(number))
            if not isinstance(error, BrokerUnreachable):
                await self._queues.reconnect()  # it refuses; perhaps it does not after a while
        else:
            self._feed(on.BatchConfirmed(number))

    async def kept(self, number: int) -> None:
        """Send a batch that is on the disk.

        :raises OSError: it cannot be read again
        """
        await self.results(number, await asyncio.to_thread(self._outbox.body, number))

    async def keep(self, number: int, results: Sequence[Result]) -> None:
        """Put a batch on the disk."""
        try:
            await asyncio.to_thread(self._outbox.keep, number, results)
        except OSError as error:
            self._feed(on.BatchNotKept(number, str(error)))
        else:
            self._feed(on.BatchKept(number))

    async def notices(self, notices: Sequence[Notice]) -> None:
        """Say where tasks are. What does not arrive is said again after the next connection is there."""
        try:
            await self._queues.send_notices(v2.encode_notices(notices))
        except BrokerError as error:
            logger.info("it could not be told where tasks are: %s", error)
        self._feed(on.NoticesGone())
