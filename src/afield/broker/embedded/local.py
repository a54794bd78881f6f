"""A way into the broker for whoever lives in the same process and event loop: no socket, no copy of a body."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import cast

from afield.broker.base import Delivery, OnDelivery, Permissions, Properties, Publication
from afield.broker.embedded.core import Broker, Refusal, Routed
from afield.broker.embedded.queues import Cancelled, Channel, Confirmed, Deliver, Dropped, Effect, Message, Subscription
from afield.errors import BrokerRefused, BrokerUnreachable, Unroutable, WireError

__all__ = ["EVERYTHING", "LocalConnection"]

logger = logging.getLogger("afield.broker")

#: The rights of the program that carries the broker.
EVERYTHING = Permissions("(this process)", consume=("*",), publish=(("*", "*"),), inspect=("*",))


def _write_as_they_are(properties: Properties) -> object:
    return properties


def _read_as_they_are(properties: object) -> Properties:
    return cast("Properties", properties)


class LocalConnection:
    """A :class:`~afield.broker.base.Connection` to a broker in this process.

    Made inside the event loop that the broker lives in.

    :param core: the broker
    :param permissions: what it may do
    :param peer: whether it stands for somebody else's connection
    :param write_properties: turns properties into what messages of this broker carry; may raise WireError
    :param read_properties: the way back; may raise WireError
    """

    def __init__(
        self,
        core: Broker,
        permissions: Permissions = EVERYTHING,
        *,
        peer: bool = False,
        write_properties: Callable[[Properties], object] = _write_as_they_are,
        read_properties: Callable[[object], Properties] = _read_as_they_are,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._core = core
        self._write_properties = write_properties
        self._read_properties = read_properties
        self._session = core.open_session(permissions, self._wake, peer=peer)
        self._consumers: dict[Subscription, LocalConsumer] = {}
        # Publishers that wait for the acknowledgement of a consumer.
        self._waiting: set[asyncio.Future[bool]] = set()
        self._names = 0
        # Messages that were dropped because of their properties.
        self._unreadable = 0
        self.closed: asyncio.Future[str] = self._loop.create_future()

    async def publish(self, publication: Publication) -> None:
        """Hand over one message; returns when it is safe.

        :raises Unroutable: mandatory, and no queue is bound for it
        :raises BrokerRefused: not allowed, no such exchange, or the queue dropped it
        :raises WireError: its properties have a form that AMQP does not know
        :raises BrokerUnreachable: the connection is gone, or went before the answer came
        """
        self._check_open()
        message = Message(
            publication.exchange,
            publication.routing_key,
            self._write_properties(publication.properties),
            publication.body,
        )
        confirmed: asyncio.Future[bool] = self._loop.create_future()
        try:
            routed = self._core.publish(self._session, message, confirmed)
        except Refusal as error:
            raise BrokerRefused(error.text) from error
        if routed is Routed.NOWHERE and publication.mandatory:
            raise Unroutable(
                f"no queue is bound to exchange {publication.exchange!r} for routing key {publication.routing_key!r}"
            )
        if routed is Routed.PENDING:
            await self._wait_for(confirmed, publication)

    async def _wait_for(self, confirmed: asyncio.Future[bool], publication: Publication) -> None:
        self._waiting.add(confirmed)
        try:
            ok = await confirmed
        finally:
            self._waiting.discard(confirmed)
        if not ok:
            raise BrokerRefused(f"the broker dropped a message for {publication.routing_key!r}: its queue was emptied")

    async def consume(
        self, queue: str, on_delivery: OnDelivery, *, exclusive: bool = False, prefetch: int = 0
    ) -> LocalConsumer:
        """Subscribe; see :meth:`afield.broker.base.Connection.consume`.

        :raises BrokerRefused: no such queue, not yours, or somebody else has it exclusively
        :raises BrokerUnreachable: the connection is gone
        """
        self._check_open()
        channel = self._core.open_channel(self._session)
        self._names += 1
        try:
            subscription = self._core.consume(
                channel, queue, f"local-{self._names}", exclusive=exclusive, prefetch=prefetch
            )
        except Refusal as error:
            self._core.close_channel(channel)
            raise BrokerRefused(error.text) from error
        forget = partial(self._consumers.pop, subscription, None)
        consumer = LocalConsumer(
            self._core, channel, subscription, on_delivery, self._loop.create_future(), forget=forget
        )
        self._consumers[subscription] = consumer
        return consumer

    async def check(self, *, exchange: str | None = None, queue: str | None = None) -> None:
        """Make sure that these exist.

        :raises BrokerRefused: one does not, or is not yours to see
        :raises BrokerUnreachable: the connection is gone
        """
        self._check_open()
        try:
            self._core.check(self._session, exchange=exchange, queue=queue)
        except Refusal as error:
            raise BrokerRefused(error.text) from error

    async def waiting(self, queue: str) -> int:
        """How many messages wait in a queue, not counting delivered ones.

        :raises BrokerRefused: no such queue, or it is not yours to see
        :raises BrokerUnreachable: the connection is gone
        """
        await self.check(queue=queue)
        return self._core.depth(queue)

    async def close(self) -> None:
        """End it; what was not acknowledged goes back to its queue."""
        self._core.close_session(self._session)
        self._end("closed by its owner")

    def _check_open(self) -> None:
        if self._session.over:
            reason = self.closed.result() if self.closed.done() else "it was dropped"
            raise BrokerUnreachable(f"the connection is over: {reason}")

    def _end(self, reason: str) -> None:
        if self.closed.done():
            return
        self.closed.set_result(reason)
        for consumer in self._consumers.values():
            consumer.end(reason)
        self._consumers.clear()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(BrokerUnreachable(f"the connection was lost before the confirm: {reason}"))

    def _wake(self) -> None:
        # Never at once: the core is in the middle of something.
        self._loop.call_soon(self._perform)

    def _perform(self) -> None:
        session = self._session
        effects, session.outbox = session.outbox, []
        for effect in effects:
            if session.over and not isinstance(effect, Dropped):
                return
            self._perform_one(effect)
        self._core.performed(session)

    def _perform_one(self, effect: Effect) -> None:
        if isinstance(effect, Deliver):
            self._deliver(effect)
        elif isinstance(effect, Confirmed):
            confirmed = cast("asyncio.Future[bool]", effect.token)
            if not confirmed.done():
                confirmed.set_result(effect.ok)
        elif isinstance(effect, Cancelled):
            consumer = self._consumers.pop(effect.consumer, None)
            if consumer is not None:
                consumer.end("its queue was deleted")
        else:
            self._end(effect.reason)

    def _deliver(self, effect: Deliver) -> None:
        subscription = effect.consumer
        if subscription.over:
            # It was on its way when the consumer cancelled. Nobody has seen it, so others may have it.
            self._core.withdraw(subscription.channel, effect.tag)
            return
        message = effect.message
        try:
            properties = self._read_properties(message.properties)
        except WireError as error:
            # Giving it back would bring it here again.
            self._unreadable += 1
            if self._unreadable.bit_count() == 1:  # the 1st, 2nd, 4th, 8th …: a flood does not fill the log
                logger.warning(
                    "dropped a message in %r (%d so far): %s", subscription.queue.name, self._unreadable, error
                )
            self._core.nack(subscription.channel, effect.tag, requeue=False)
            return
        delivery = Delivery(
            effect.tag, message.body, properties, message.exchange, message.routing_key, effect.redelivered
        )
        try:
            self._consumers[subscription].on_delivery(delivery)
        except Exception:
            # Whoever consumes has a fault. It keeps the message, unacknowledged, and must not cost others theirs.
            logger.exception("a consumer of %r failed on a delivery", subscription.queue.name)


class LocalConsumer:
    """A :class:`~afield.broker.base.Consumer` of a local connection."""

    def __init__(
        self,
        core: Broker,
        channel: Channel,
        subscription: Subscription,
        on_delivery: OnDelivery,
        cancelled: asyncio.Future[str],
        *,
        forget: Callable[[], object],
    ) -> None:
        self._forget = forget
        self._core = core
        self._channel = channel
        self._subscription = subscription
        self.on_delivery = on_delivery
        self.cancelled = cancelled

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Done with this delivery, or with all up to it. After the connection's end: nothing happens.

        :raises ValueError: no such delivery, or it was acknowledged before
        """
        if self._channel.session.over:
            return
        try:
            self._core.ack(self._channel, tag, multiple=multiple)
        except Refusal as error:
            raise ValueError(error.text) from error
        self._let_go()

    def nack(self, tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
        """Not done: put it back, or drop it. After the connection's end: nothing happens.

        :raises ValueError: no such delivery, or it was acknowledged before
        """
        if self._channel.session.over:
            return
        try:
            self._core.nack(self._channel, tag, multiple=multiple, requeue=requeue)
        except Refusal as error:
            raise ValueError(error.text) from error
        self._let_go()

    async def cancel(self) -> None:
        """No more deliveries; what was not acknowledged stays with the connection until that closes."""
        self._core.cancel(self._subscription)
        self._forget()
        self.end("cancelled by its owner")
        self._let_go()

    def _let_go(self) -> None:
        """Its channel is no longer needed when nothing can come by it, and nothing is to be acknowledged."""
        if self._subscription.over and not self._channel.unacked:
            self._core.close_channel(self._channel)

    def end(self, reason: str) -> None:
        """Say that it is over."""
        if not self.cancelled.done():
            self.cancelled.set_result(reason)
