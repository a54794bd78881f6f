"""The channels of an AMQP connection that live long: the one that publishes, and those that consume."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

from pika import exceptions, spec
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel

from afield.broker.base import Delivery, OnDelivery, Properties, Publication
from afield.errors import BrokerError, BrokerRefused, BrokerUnreachable, Unroutable, WireError

__all__ = ["AmqpConsumer", "Publisher", "refusal"]

logger = logging.getLogger("afield.broker")


def refusal(error: BaseException) -> BrokerError:
    """What it means for a request that its channel was closed with this error."""
    if isinstance(error, exceptions.ChannelClosedByBroker):
        return BrokerRefused(f"the broker refused: {error.reply_text} ({error.reply_code})")
    return BrokerUnreachable(f"the connection was lost before the broker answered: {error}")


class _Pending:
    """A publication whose fate is not known."""

    __slots__ = ("done", "properties", "publication", "returned")

    def __init__(self, publication: Publication, done: asyncio.Future[None]) -> None:
        self.publication = publication
        self.properties = _to_pika(publication.properties)
        self.done = done
        self.returned = False


class Publisher:
    """Publishes with confirms, many at a time, in order.

    A publication that may not be made costs the channel, and with it the confirms of all others under way, and the
    broker does not say whose fault it was. So the others go out again on a new channel one by one until the guilty one
    is found. They may then arrive twice, as after a lost connection.
    """

    def __init__(self, connection: AsyncioConnection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._channel: Channel | None = None
        self._opening = False
        self._last_tag = 0
        self._in_flight: OrderedDict[int, _Pending] = OrderedDict()
        self._waiting: deque[_Pending] = deque()
        # How many of those that wait have to go one at a time.
        self._suspects = 0

    async def publish(self, publication: Publication) -> None:
        """See :meth:`afield.broker.base.Connection.publish`."""
        pending = _Pending(publication, self._loop.create_future())
        if self._channel is not None and not self._waiting:
            self._send(pending)
        else:
            self._waiting.append(pending)
            self._proceed()
        await pending.done

    def lost(self, reason: str) -> None:
        """The connection is over."""
        self._channel = None
        abandoned = [*self._in_flight.values(), *self._waiting]
        self._in_flight.clear()
        self._waiting.clear()
        for pending in abandoned:
            _fail(pending, BrokerUnreachable(f"the connection was lost before the confirm: {reason}"))

    # Inside

    def _proceed(self) -> None:
        """Send what waits, as far as it may go now."""
        if self._channel is None:
            self._open()
            return
        while self._waiting and not (self._suspects and self._in_flight):
            self._suspects = max(0, self._suspects - 1)
            pending = self._waiting.popleft()
            if not pending.done.done():  # else its publisher was cancelled
                self._send(pending)
                if self._suspects:
                    return

    def _open(self) -> None:
        if self._opening or not self._connection.is_open:
            return
        self._opening = True
        self._connection.channel(on_open_callback=self._on_open).add_on_close_callback(self._on_close)

    def _on_open(self, channel: Channel) -> None:
        self._opening = False
        # Without waiting for the answer: what follows on the channel is numbered from 1 either way.
        channel.confirm_delivery(self._on_confirm)
        channel.add_on_return_callback(self._on_return)
        self._channel = channel
        self._last_tag = 0
        self._proceed()

    def _on_close(self, _channel: Channel, error: BaseException) -> None:
        self._opening = False
        self._channel = None
        if not isinstance(error, exceptions.ChannelClosedByBroker):
            return  # the whole connection goes; lost() follows
        suspects = list(self._in_flight.values())
        self._in_flight.clear()
        if len(suspects) == 1:
            _fail(suspects[0], refusal(error))
        else:
            for pending in suspects:
                pending.returned = False
            self._waiting.extendleft(reversed(suspects))
            self._suspects += len(suspects)
        logger.info("the broker closed the channel for publishing: %s", error)
        if self._waiting:
            self._proceed()

    def _send(self, pending: _Pending) -> None:
        assert self._channel is not None
        publication = pending.publication
        try:
            self._channel.basic_publish(
                publication.exchange,
                publication.routing_key,
                publication.body,
                pending.properties,
                mandatory=publication.mandatory,
            )
        except (exceptions.UnsupportedAMQPFieldException, exceptions.ShortStringTooLong, OverflowError) as error:
            _fail(pending, WireError(f"a message whose properties or routing key do not fit AMQP: {error}"))
            return
        self._last_tag += 1
        self._in_flight[self._last_tag] = pending

    def _on_return(self, _channel: Channel, method: Any, _properties: object, body: bytes) -> None:
        # A return does not say which publish it is for, only what it was. It comes before the confirm.
        for pending in self._in_flight.values():
            publication = pending.publication
            if (
                not pending.returned
                and publication.mandatory
                and publication.routing_key == method.routing_key
                and publication.exchange == method.exchange
                and publication.body == body
            ):
                pending.returned = True
                return
        logger.warning(
            "the broker returned a message that is not under way: %s %s", method.exchange, method.routing_key
        )

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        ok = isinstance(method, spec.Basic.Ack)
        if method.multiple:
            while self._in_flight and next(iter(self._in_flight)) <= method.delivery_tag:
                self._settle(self._in_flight.popitem(last=False)[1], ok=ok)
        else:
            pending = self._in_flight.pop(method.delivery_tag, None)
            if pending is not None:
                self._settle(pending, ok=ok)
        if self._waiting:
            self._proceed()

    def _settle(self, pending: _Pending, *, ok: bool) -> None:
        if pending.done.done():
            return
        publication = pending.publication
        if pending.returned:
            _fail(
                pending,
                Unroutable(
                    f"no queue is bound to exchange {publication.exchange!r} "
                    f"for routing key {publication.routing_key!r}"
                ),
            )
        elif ok:
            pending.done.set_result(None)
        else:
            _fail(pending, BrokerRefused(f"the broker dropped a message for {publication.routing_key!r}"))


def _fail(pending: _Pending, error: Exception) -> None:
    if not pending.done.done():
        pending.done.set_exception(error)


class AmqpConsumer:
    """A :class:`~afield.broker.base.Consumer` on a channel of its own.

    :param forget: called with it when it is over
    """

    def __init__(
        self,
        channel: Channel,
        queue: str,
        on_delivery: OnDelivery,
        loop: asyncio.AbstractEventLoop,
        forget: Callable[[AmqpConsumer], None],
    ) -> None:
        self._channel = channel
        self._queue = queue
        self._on_delivery = on_delivery
        self._loop = loop
        self._forget = forget
        self._tag = ""
        self._unacked: OrderedDict[int, None] = OrderedDict()
        # What came before whoever subscribes could know the consumer; None: nothing is held back.
        self._early: list[Delivery] | None = []
        #: true: nothing is called back any more
        self.deaf = False
        self.cancelled: asyncio.Future[str] = loop.create_future()
        channel.add_on_cancel_callback(lambda _: self.end("its queue was deleted"))
        channel.add_on_close_callback(self._on_close)

    def begin(self, done: Callable[[object], None], *, exclusive: bool) -> None:
        """Ask for deliveries."""
        self._tag = self._channel.basic_consume(self._queue, self._on_message, exclusive=exclusive, callback=done)

    def release(self) -> None:
        """Let deliveries through, once whoever awaits the subscription has been given it."""
        self._loop.call_soon(self._hand_over_early)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Done with this delivery, or with all up to it. After the channel's end: nothing happens.

        :raises ValueError: no such delivery, or it was acknowledged before
        """
        if self._channel.is_open:
            self._take(tag, multiple=multiple)
            self._channel.basic_ack(tag, multiple=multiple)
            self._finish()

    def nack(self, tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
        """Not done: put it back, or drop it. After the channel's end: nothing happens.

        :raises ValueError: no such delivery, or it was acknowledged before
        """
        if self._channel.is_open:
            self._take(tag, multiple=multiple)
            self._channel.basic_nack(tag, multiple=multiple, requeue=requeue)
            self._finish()

    async def cancel(self) -> None:
        """No more deliveries; what was not acknowledged stays with the connection until that closes."""
        self.deaf = True
        for delivery in self._early or ():
            self.nack(delivery.tag)
        self._early = None
        if self._channel.is_open and not self.cancelled.done():
            answered: asyncio.Future[None] = self._loop.create_future()

            def on_answer(_: object) -> None:
                if not answered.done():
                    answered.set_result(None)

            # pika gives back by itself what arrives from now on.
            self._channel.basic_cancel(self._tag, callback=on_answer)
            self._channel.add_on_close_callback(lambda *_: on_answer(None))
            await answered
        self.end("cancelled by its owner")

    def end(self, reason: str) -> None:
        """Say that it is over."""
        if not self.cancelled.done():
            self.cancelled.set_result(reason)
            self._finish()

    # Inside

    def _on_message(self, _channel: Channel, method: Any, properties: Any, body: bytes) -> None:
        delivery = Delivery(
            method.delivery_tag,
            body,
            _from_pika(properties),
            method.exchange,
            method.routing_key,
            method.redelivered,
        )
        self._unacked[delivery.tag] = None
        if self._early is not None:
            self._early.append(delivery)
        else:
            self._hand_over(delivery)

    def _hand_over_early(self) -> None:
        early, self._early = self._early, None
        for delivery in early or ():
            self._hand_over(delivery)

    def _hand_over(self, delivery: Delivery) -> None:
        if self.deaf:
            return
        try:
            self._on_delivery(delivery)
        except Exception:
            # Whoever consumes has a fault. It keeps the message, unacknowledged, and must not cost others theirs.
            logger.exception("a consumer of %r failed on a delivery", self._queue)

    def _take(self, tag: int, *, multiple: bool) -> None:
        if tag not in self._unacked:
            raise ValueError(f"unknown delivery tag {tag}")
        if not multiple:
            del self._unacked[tag]
            return
        while self._unacked.popitem(last=False)[0] != tag:
            pass

    def _on_close(self, _channel: Channel, error: BaseException) -> None:
        if isinstance(error, exceptions.ChannelClosedByBroker):
            logger.warning("the broker closed a consumer of %r: %s", self._queue, error)
        self._unacked.clear()
        self.end(str(error))
        self._forget(self)

    def _finish(self) -> None:
        """Close the channel when it is good for nothing any more."""
        if self.cancelled.done() and not self._unacked and self._channel.is_open:
            self._channel.close()


_EMPTY: Final = Properties(delivery_mode=1)


def _to_pika(properties: Properties) -> spec.BasicProperties:
    return spec.BasicProperties(  # type: ignore[no-untyped-call]
        content_type=properties.content_type,
        headers=dict(properties.headers) if properties.headers else None,
        delivery_mode=properties.delivery_mode,
        timestamp=properties.timestamp,
    )


def _from_pika(properties: Any) -> Properties:
    if properties.headers is None and properties.delivery_mode is None and properties.content_type is None:
        return _EMPTY if properties.timestamp is None else Properties({}, None, properties.timestamp, 1)
    return Properties(
        properties.headers or {},
        properties.content_type,
        properties.timestamp,
        properties.delivery_mode or 1,
    )
