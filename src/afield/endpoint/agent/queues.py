"""A user endpoint's queues over one connection: wishes to cancel and tasks in, results and heartbeats out.

The service gives an address for each, and they are the same, with one login that may do all of it. One connection is
not only cheaper: what is true of it is true of all of them, so there is no state in which tasks come and results cannot
go.

What waits in the control queue is read before the first task: what was cancelled while nobody was here must not begin.
A service that does not know of cancelling gives no control queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
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

_CATCH_UP_S: Final = 10.0


class Queues:
    """The queues of one user endpoint. Made inside an event loop.

    :param credentials: how to reach them
    :param on_up: the connection is there; deliveries follow
    :param on_delivery: a message from the task queue
    :param on_control: a message from the control queue
    :param on_down: there is no connection any more, or still none
    :param on_refused: the broker says no, for good
    :param catch_up_s: how long tasks wait for what was in the control queue, in seconds. It is only reached when
        somebody empties that queue in the very moment in which it is counted
    :raises VersionMismatch: the credentials are for several connections
    """

    def __init__(
        self,
        connector: Connector,
        credentials: QueueCredentials,
        *,
        on_up: Callable[[], None],
        on_delivery: Callable[[Delivery], None],
        on_control: Callable[[Delivery], None],
        on_down: Callable[[], None],
        on_refused: Callable[[str], None],
        catch_up_s: float = _CATCH_UP_S,
    ) -> None:
        self._catch_up_s = catch_up_s
        self._url = _url(credentials)
        self._credentials = credentials
        self._told_up, self._told_down, self._told_refused = on_up, on_down, on_refused
        self._on_delivery, self._on_control = on_delivery, on_control
        self._connection: Connection | None = None
        self._consumer: Consumer | None = None
        self._control: Consumer | None = None
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

    def acknowledge_control(self, tags: Iterable[int]) -> None:
        """Messages of the control queue are answered. Without a connection nothing happens: they will come again."""
        if self._control is not None:
            for tag in tags:
                self._control.ack(tag)

    async def send_results(self, body: bytes) -> None:
        """Publish a batch; returns when it is safe.

        :raises BrokerError: it is not known to be
        """
        await self._publish(publication(self._credentials.result_queue_info, body))

    async def send_notices(self, body: bytes) -> None:
        """Publish where tasks are, on the way of the results; returns when the service has it.

        :raises BrokerError: it may not have arrived
        """
        await self._publish(publication(self._credentials.result_queue_info, body, persistent=False))

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
        if self._credentials.control_queue_info is not None:
            await self._catch_up(connection, self._credentials.control_queue_info.queue)
        queue = self._credentials.task_queue_info.queue
        self._consumer = await connection.consume(queue, self._on_delivery, exclusive=True, prefetch=_PREFETCH)
        self._consumer.cancelled.add_done_callback(lambda _: self._consumer_is_over(connection))

    async def _catch_up(self, connection: Connection, queue: str) -> None:
        """Consume the control queue; returns when what waits in it has been handed on."""
        left = await connection.waiting(queue)
        caught_up = asyncio.get_running_loop().create_future()

        def on_control(delivery: Delivery) -> None:
            nonlocal left
            self._on_control(delivery)
            left -= 1
            if left == 0 and not caught_up.done():
                caught_up.set_result(None)

        self._control = await connection.consume(queue, on_control, exclusive=True)
        self._control.cancelled.add_done_callback(lambda _: self._consumer_is_over(connection))
        if left > 0:
            await asyncio.wait(
                (caught_up, connection.closed), timeout=self._catch_up_s, return_when=asyncio.FIRST_COMPLETED
            )

    def _consumer_is_over(self, connection: Connection) -> None:
        # Its queue was deleted. What is gone for good is told when it is asked for again.
        if self._connection is connection:
            self._closing = asyncio.ensure_future(connection.close())

    def _down(self, _reason: str) -> None:
        self._connection = self._consumer = self._control = None
        self._told_down()

    def _finished(self, finished: asyncio.Future[None]) -> None:
        error = finished.exception() if not finished.cancelled() else None
        if error is not None:
            self._told_refused(str(error))


def _url(credentials: QueueCredentials) -> str:
    control = credentials.control_queue_info
    return one_url(
        *([control.connection_url] if control is not None else []),
        credentials.task_queue_info.connection_url,
        credentials.result_queue_info.connection_url,
        credentials.heartbeat_queue_info.connection_url,
    )
