"""A user endpoint's three queues over one connection: tasks in, results and heartbeats out.

The service gives an address for each, and they are the same, with one login that may do all three. One connection is
not only cheaper: what is true of it is true of all three, so there is no state in which tasks come and results cannot
go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from afield.broker.base import Connection, Connector, Consumer, Delivery, Publication
from afield.broker.link import Link
from afield.endpoint.host.credentials import one_url, publication
from afield.errors import BrokerUnreachable
from afield.wire import v1
from afield.wire.commands import QueueCredentials
from afield.wire.messages import Report

__all__ = ["Queues"]

#: Deliveries that may be here unacknowledged. They have to be more than the engine can run, for a delivery stays open
#: as long as one of its tasks runs; beyond that they only take memory.
_PREFETCH: Final = 1024


class Queues:
    """The queues of one user endpoint. Made inside an event loop.

    :param credentials: how to reach them
    :param on_up: the connection is there; deliveries follow
    :param on_delivery: a message from the task queue
    :param on_down: there is no connection any more, or still none
    :param on_refused: the broker says no, for good
    :raises VersionMismatch: the credentials are for several connections
    """

    def __init__(
        self,
        connector: Connector,
        credentials: QueueCredentials,
        *,
        on_up: Callable[[], None],
        on_delivery: Callable[[Delivery], None],
        on_down: Callable[[], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self._url = _url(credentials)
        self._credentials = credentials
        self._told_up, self._told_down, self._told_refused = on_up, on_down, on_refused
        self._on_delivery = on_delivery
        self._connection: Connection | None = None
        self._consumer: Consumer | None = None
        self._link = Link(connector, self._address, on_up=self._up, on_down=self._down)
        self._link.finished.add_done_callback(self._finished)

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None

    def start(self) -> None:
        """Begin to connect."""
        self._link.start()

    async def close(self) -> None:
        """End the connection in good order."""
        await self._link.close()

    async def reconnect(self) -> None:
        """Give up the connection, and come again after a pause."""
        if self._connection is not None:
            await self._connection.close()

    def refresh(self, credentials: QueueCredentials) -> None:
        """Use these for the next connection."""
        self._url, self._credentials = _url(credentials), credentials

    def acknowledge(self, tag: int) -> None:
        """A delivery is settled. Without a connection nothing happens: it will come again."""
        if self._consumer is not None:
            self._consumer.ack(tag)

    async def send_results(self, body: bytes) -> None:
        """Publish a batch; returns when it is safe.

        :raises BrokerError: it is not known to be
        """
        await self._publish(publication(self._credentials.result_queue_info, body))

    async def send_report(self, report: Report) -> None:
        """Publish a heartbeat.

        :raises BrokerError: it may not have arrived
        """
        body = v1.encode_report(report)
        await self._publish(publication(self._credentials.heartbeat_queue_info, body))

    async def _publish(self, message: Publication) -> None:
        # Not Link.publish, which waits for a connection: what cannot be sent now belongs on the disk now.
        if self._connection is None:
            raise BrokerUnreachable("there is no connection to the broker at the moment")
        await self._connection.publish(message)

    async def _address(self) -> str:
        return self._url

    async def _up(self, connection: Connection) -> None:
        self._connection = connection
        self._told_up()
        queue = self._credentials.task_queue_info.queue
        self._consumer = await connection.consume(queue, self._on_delivery, exclusive=True, prefetch=_PREFETCH)
        self._consumer.cancelled.add_done_callback(lambda _: self._consumer_is_over(connection))

    def _consumer_is_over(self, connection: Connection) -> None:
        # Its queue was deleted. What is gone for good is told when it is asked for again.
        if self._connection is connection:
            self._closing = asyncio.ensure_future(connection.close())

    def _down(self, _reason: str) -> None:
        self._connection = self._consumer = None
        self._told_down()

    def _finished(self, finished: asyncio.Future[None]) -> None:
        error = finished.exception() if not finished.cancelled() else None
        if error is not None:
            self._told_refused(str(error))


def _url(credentials: QueueCredentials) -> str:
    return one_url(
        credentials.task_queue_info.connection_url,
        credentials.result_queue_info.connection_url,
        credentials.heartbeat_queue_info.connection_url,
    )
