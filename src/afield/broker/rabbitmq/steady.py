"""One connection of a service to a broker elsewhere, which outlives the broker's restarts.

It is a :class:`~afield.broker.base.Connection` over a :class:`~afield.broker.link.Link`: what it consumes it consumes
again on each new connection, and what is published while there is none waits a little.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from afield.broker.amqp import AmqpConnection, AmqpConnector
from afield.broker.base import Connection, Consumer, Delivery, NotSent, OnDelivery, Publication
from afield.broker.link import Backoff, Link
from afield.broker.rabbitmq.answers import answers_only
from afield.errors import BrokerRefused, BrokerUnreachable

__all__ = ["SteadyConnection", "SteadyConsumer"]

logger = logging.getLogger("afield.broker")

#: How long, in seconds, whoever publishes waits for a connection that was lost. A submit waits for this, so it is
#: short; what was not sent by then is sent from the store.
_PATIENCE_S: Final = 5.0

#: The service has nobody else to turn to, so it never gives up, and looks often.
_POLICY: Final = Backoff(longest_s=2.0, refusals=1_000_000_000)


class _WasLetIn:
    """Connects whom the broker has let in before: a refusal now is that of a broker which is on its way up or down, and
    trying again helps.
    """

    async def connect(self, url: str) -> AmqpConnection:
        try:
            return await AmqpConnector().connect(url)
        except BrokerRefused as error:
            raise BrokerUnreachable(str(error)) from error


class SteadyConnection:
    """Kept up from :meth:`open` to :meth:`close`.

    :param url: of the broker, with the service's own login
    :param prefetch: how many unacknowledged deliveries each consumer may have that does not say otherwise. Several
        services share a queue; without a bound the first would take all that waits
    :param came_back: awaited on each new connection but the first, before anything is consumed again: the broker may
        have lost what there was
    """

    def __init__(
        self,
        url: str,
        *,
        prefetch: int = 2_000,
        came_back: Callable[[], Awaitable[None]] | None = None,
        policy: Backoff = _POLICY,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._url = url
        self._prefetch = prefetch
        self._came_back = came_back
        self._policy = policy
        self._patience_s = patience_s
        self._link: Link | None = None
        self._consumers: list[SteadyConsumer] = []
        self._was_up = False
        self._is_up = False
        self._down_since = asyncio.get_running_loop().time()
        self._new: Connection | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Connect for the first time.

        :raises BrokerUnreachable: nobody listens there; a wrong address shows here, not in a log
        :raises BrokerRefused: the login is wrong
        """
        first = await AmqpConnector().connect(self._url)
        await first.close()
        self._link = Link(_WasLetIn(), self._where, on_up=self._on_up, on_down=self._on_down, policy=self._policy)
        self._link.start()
        await self._link.up()

    @property
    def is_up(self) -> bool:
        """Whether there is a connection just now."""
        return self._link is not None and self._link.connection is not None

    async def up(self) -> AmqpConnection:
        """The connection of this moment, or the next one if that comes soon after the last was lost.

        :raises NotSent: there is none, and none came in time
        """
        if self._link is None or self.closed.done():
            raise NotSent("the connection to the broker is closed")
        connection = self._link.connection or self._new
        if connection is None:
            now = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(max(0.0, self._down_since + self._patience_s - now)):
                    connection = await self._link.up()
            except TimeoutError:
                raise NotSent("the broker has been away for a while; what it should carry waits") from None
        assert isinstance(connection, AmqpConnection)
        return connection

    async def publish(self, publication: Publication) -> None:
        """See :meth:`afield.broker.base.Connection.publish`."""
        connection = await self.up()
        with answers_only():
            await connection.publish(publication)

    async def consume(
        self, queue: str, on_delivery: OnDelivery, *, exclusive: bool = False, prefetch: int = 0
    ) -> SteadyConsumer:
        """Subscribe, now and on each later connection; see :meth:`afield.broker.base.Connection.consume`.

        What was delivered on a connection that was lost comes again; acknowledging the first copy does nothing.
        """
        consumer = SteadyConsumer(queue, on_delivery, exclusive=exclusive, prefetch=prefetch or self._prefetch)
        connection = await self.up()
        self._consumers.append(consumer)
        try:
            with answers_only():
                await consumer.subscribe(connection)
        except BaseException:
            self._consumers.remove(consumer)
            raise
        return consumer

    async def check(self, *, exchange: str | None = None, queue: str | None = None) -> None:
        """See :meth:`afield.broker.base.Connection.check`."""
        connection = await self.up()
        with answers_only():
            await connection.check(exchange=exchange, queue=queue)

    async def waiting(self, queue: str) -> int:
        """See :meth:`afield.broker.base.Connection.waiting`."""
        connection = await self.up()
        with answers_only():
            return await connection.waiting(queue)

    async def close(self) -> None:
        """End it; twice is fine."""
        if not self.closed.done():
            self.closed.set_result("closed by its owner")
        for consumer in self._consumers:
            consumer.end("closed by its owner")
        if self._link is not None:
            await self._link.close()

    # Inside

    async def _where(self) -> str:
        return self._url

    async def _on_up(self, connection: Connection) -> None:
        if self._was_up:
            logger.warning("the broker is there again")
            if self._came_back is not None:
                self._new = connection
                try:
                    await self._came_back()
                finally:
                    self._new = None
        self._consumers = [one for one in self._consumers if not one.cancelled.done()]
        for consumer in self._consumers:
            await consumer.subscribe(connection)
        self._was_up = self._is_up = True

    def _on_down(self, reason: str) -> None:
        if self._is_up:
            self._is_up = False
            self._down_since = asyncio.get_running_loop().time()
        if not self.closed.done():
            logger.warning("the connection to the broker was lost: %s", reason)


@dataclass(slots=True)
class _Turn:
    """One subscription of many: deliveries of the n-th have tags above its ``base``."""

    consumer: Consumer
    base: int


class SteadyConsumer:
    """A :class:`~afield.broker.base.Consumer` that subscribes again."""

    def __init__(self, queue: str, on_delivery: OnDelivery, *, exclusive: bool, prefetch: int) -> None:
        self._queue = queue
        self._on_delivery = on_delivery
        self._exclusive = exclusive
        self._prefetch = prefetch
        self._turn: _Turn | None = None
        self._last = 0
        self._farewells: set[asyncio.Future[None]] = set()
        self.cancelled: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def subscribe(self, connection: Connection) -> None:
        """Begin to read on this connection.

        :raises BrokerRefused: it may not
        :raises BrokerUnreachable: that connection is gone
        """
        base = self._last

        def arrived(delivery: Delivery) -> None:
            self._last = base + delivery.tag
            self._on_delivery(
                Delivery(
                    self._last,
                    delivery.body,
                    delivery.properties,
                    delivery.exchange,
                    delivery.routing_key,
                    delivery.redelivered,
                )
            )

        self._turn = None
        consumer = await connection.consume(self._queue, arrived, exclusive=self._exclusive, prefetch=self._prefetch)
        self._turn = _Turn(consumer, base)
        consumer.cancelled.add_done_callback(lambda _: self._lost(connection, consumer))

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Done with this delivery; of an earlier connection: nothing happens, it comes again."""
        turn = self._turn
        if turn is not None and tag > turn.base:
            turn.consumer.ack(tag - turn.base, multiple=multiple)

    def nack(self, tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
        """Not done; of an earlier connection: nothing happens, it comes again."""
        turn = self._turn
        if turn is not None and tag > turn.base:
            turn.consumer.nack(tag - turn.base, multiple=multiple, requeue=requeue)

    async def cancel(self) -> None:
        """No more deliveries, on this connection and later ones."""
        turn = self._turn
        self.end("cancelled by its owner")
        if turn is not None:
            await turn.consumer.cancel()

    def end(self, reason: str) -> None:
        """Say that it is over."""
        if not self.cancelled.done():
            self.cancelled.set_result(reason)

    def _lost(self, connection: Connection, consumer: Consumer) -> None:
        """The subscription ended; with its connection, which comes back, or alone: its queue was deleted, or the broker
        lost patience. Then the connection is given up too, so that all begins anew on the next one.
        """
        turn = self._turn
        if turn is None or turn.consumer is not consumer or self.cancelled.done() or connection.closed.done():
            return
        logger.warning("reading %r ended: %s", self._queue, consumer.cancelled.result())
        farewell = asyncio.ensure_future(connection.close())
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)
