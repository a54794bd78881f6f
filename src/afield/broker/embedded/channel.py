"""PURE: one AMQP channel of one peer: its methods, the message that is coming in piece by piece, and its confirms.

A fault on a channel ends the channel (``Channel.Close``) and leaves the connection alone; until the peer has agreed,
what it still sends there is thrown away. Faults that no well-meaning client can have end the connection
(:class:`~.frames.Malformed`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from pamqp import commands
from pamqp.base import Frame

from afield.broker.embedded import frames
from afield.broker.embedded.confirms import Confirms
from afield.broker.embedded.core import Broker, Refusal, Routed
from afield.broker.embedded.frames import Malformed, shortstr
from afield.broker.embedded.queues import Deliver, Message, Session, Subscription
from afield.broker.embedded.replies import Reply

__all__ = ["PeerChannel", "WireConsumer"]

_ACKNOWLEDGEMENTS: Final = frozenset(
    (commands.Basic.Ack.index, commands.Basic.Nack.index, commands.Basic.Reject.index),
)


class PeerChannel:
    """One channel.

    :param number: its number on the connection, from 1
    :param out: where bytes for the peer go
    :param frame_max: longest frame that the peer takes
    :param max_body: longest message body that may come, in bytes
    :param notify: the peer wants to hear that its consumer's queue is gone
    """

    def __init__(
        self,
        core: Broker,
        session: Session,
        number: int,
        out: list[bytes],
        *,
        frame_max: int,
        max_body: int,
        notify: bool,
    ) -> None:
        self._core = core
        self._session = session
        self._channel = core.open_channel(session)
        self.number = number
        self._out = out
        self._frame_max = frame_max
        self._max_body = max_body
        self._notify = notify
        #: true: we said Close and wait for CloseOk
        self.closing = False
        self.over = False
        self._prefetch = 0
        self._names = 0
        self._confirms: Confirms | None = None
        # The message that is coming in: its Basic.Publish, then its header, then its body.
        self._publish: tuple[str, str, int] | None = None
        self._properties: bytes | None = None
        self._missing = self._announced = 0
        # Not a list of pieces: those of two bytes would take twenty times their length.
        self._body = bytearray()

    # What comes

    def method(self, payload: bytes) -> None:
        """A method frame for this channel."""
        index = frames.method_id(payload)
        if self.closing:
            self._method_while_closing(index)
            return
        if self._publish is not None:
            raise Malformed(Reply.UNEXPECTED_FRAME, "a method in the middle of a message")
        try:
            if index == commands.Basic.Publish.index:
                self._begin(frames.decode_publish(payload))
            elif index in _ACKNOWLEDGEMENTS:
                self._acknowledge(index, *frames.decode_acknowledgement(payload))
            else:
                self._cold(frames.decode_method(payload))
        except Refusal as refusal:
            self.fail(refusal.code, refusal.text, index)

    def content_header(self, payload: bytes) -> None:
        """A content header frame for this channel."""
        if self.closing:
            return
        if self._publish is None or self._properties is not None:
            raise Malformed(Reply.UNEXPECTED_FRAME, "a content header without its basic.publish")
        size, self._properties = frames.decode_header(payload)
        if size > self._max_body:
            self.fail(
                Reply.CONTENT_TOO_LARGE,
                f"a message of {size} bytes; this broker takes {self._max_body}",
                commands.Basic.Publish.index,
            )
            return
        self._missing = self._announced = size
        self._session.party.begun += size
        if size == 0:
            self._complete(b"")

    def content_body(self, payload: bytes) -> None:
        """A body frame for this channel."""
        if self.closing:
            return
        if self._properties is None:
            raise Malformed(Reply.UNEXPECTED_FRAME, "a body without its content header")
        self._missing -= len(payload)
        if self._missing < 0:
            raise Malformed(Reply.FRAME_ERROR, "a body is longer than its header says")
        if self._missing == 0 and not self._body:
            self._complete(payload)
            return
        self._body += payload
        if self._missing == 0:
            self._complete(bytes(self._body))

    # What goes

    def deliver(self, effect: Deliver, wire: WireConsumer) -> None:
        """Write a delivery, unless its consumer or channel ended while it waited to be written."""
        if self.closing or self.over:
            return
        if effect.consumer.over and not effect.consumer.no_ack:
            # The peer has been told, or will be, that there are no more; others may have it.
            self._core.withdraw(self._channel, effect.tag)
            return
        message = effect.message
        self._out.append(
            frames.delivery(
                self.number,
                wire.tag,
                effect.tag,
                shortstr(message.exchange) + shortstr(message.routing_key),
                redelivered=effect.redelivered,
            )
        )
        self._content(message)

    def confirmed(self, tag: int, *, ok: bool) -> None:
        """A publish is safe, or was dropped."""
        if self._confirms is not None and not self.closing and not self.over:
            self._confirms.answer(tag, ok=ok)

    def consumer_cancelled(self, consumer: Subscription) -> None:
        """Tell the peer that its consumer's queue is gone."""
        if self._notify and not self.closing and not self.over:
            # no-wait: there is nothing to answer
            self._send(commands.Basic.Cancel.index, shortstr(consumer.name) + b"\x01")

    def lost(self) -> None:
        """Its connection is over."""
        self._forget_content()

    def flush(self) -> None:
        """Write the confirms that have gathered."""
        if self._confirms is not None:
            self._out += self._confirms.flush()

    def fail(self, code: Reply, text: str, index: int = 0) -> None:
        """End this channel by a fault of the peer's.

        :param index: class and method at fault
        """
        self.flush()
        self._core.close_channel(self._channel)
        self.closing = True
        self._forget_content()
        close = commands.Channel.Close(code, code.text(text), index >> 16, index & 0xFFFF)
        self._out.append(frames.method(self.number, close))

    # Inside

    def _method_while_closing(self, index: int) -> None:
        # Both sides may say Close at once; each then answers the other's (AMQP 0-9-1, channel.close).
        if index == commands.Channel.Close.index:
            self._send(commands.Channel.CloseOk.index, b"")
        elif index == commands.Channel.CloseOk.index:
            self.over = True

    def _send(self, index: int, arguments: bytes) -> None:
        self._out.append(frames.raw_method(self.number, index, arguments))

    def _content(self, message: Message) -> None:
        assert isinstance(message.properties, bytes)
        frames.append_content(self._out, self.number, message.properties, message.body, self._frame_max)

    def _begin(self, publish: tuple[str, str, int]) -> None:
        if publish[2] & 2:
            raise Malformed(Reply.NOT_IMPLEMENTED, "basic.publish with immediate=true")
        # Now, not when it is all here: who may not publish shall not fill our memory.
        self._core.check_publish(self._session, publish[0], publish[1])
        self._publish = publish

    def _forget_content(self) -> None:
        self._publish = self._properties = None
        self._session.party.begun -= self._announced
        self._missing = self._announced = 0
        self._body = bytearray()

    def _complete(self, body: bytes) -> None:
        assert self._publish is not None
        exchange, routing_key, bits = self._publish
        message = Message(exchange, routing_key, self._properties, body)
        self._forget_content()
        token = None if self._confirms is None else (self, self._confirms.next_tag())
        try:
            routed = self._core.publish(self._session, message, token)
        except Refusal as refusal:
            self.fail(refusal.code, refusal.text, commands.Basic.Publish.index)
            return
        if routed is Routed.NOWHERE and bits & 1:
            arguments = Reply.NO_ROUTE.to_bytes(2) + shortstr("NO_ROUTE") + shortstr(exchange) + shortstr(routing_key)
            self._send(commands.Basic.Return.index, arguments)
            self._content(message)
        if token is not None and routed is not Routed.PENDING:
            self.confirmed(token[1], ok=True)

    def _acknowledge(self, index: int, tag: int, bits: int) -> None:
        if index == commands.Basic.Ack.index:
            self._core.ack(self._channel, tag, multiple=bool(bits & 1))
        elif index == commands.Basic.Nack.index:
            self._core.nack(self._channel, tag, multiple=bool(bits & 1), requeue=bool(bits & 2))
        else:
            self._core.nack(self._channel, tag, requeue=bool(bits & 1))

    def _cold(self, method: Any) -> None:
        handler = self._handlers.get(type(method))
        if handler is None:
            raise Malformed(Reply.COMMAND_INVALID, f"{method.name} is not for a client to send on a channel")
        handler(self, method)

    def _on_close(self, _method: commands.Channel.Close) -> None:
        self.flush()
        self._core.close_channel(self._channel)
        self._send(commands.Channel.CloseOk.index, b"")
        self.over = True

    def _on_flow(self, method: commands.Channel.Flow) -> None:
        self._channel.flowing = bool(method.active)
        self._send(commands.Channel.FlowOk.index, bytes((self._channel.flowing,)))
        self._core.resume_channel(self._channel)

    def _on_exchange_declare(self, method: commands.Exchange.Declare) -> None:
        if not method.passive:
            self._refuse(method)
        self._core.check(self._session, exchange=str(method.exchange))
        if not method.nowait:
            self._send(commands.Exchange.DeclareOk.index, b"")

    def _on_queue_declare(self, method: commands.Queue.Declare) -> None:
        if not method.passive:
            self._refuse(method)
        name = str(method.queue)
        self._core.check(self._session, queue=name)
        if not method.nowait:
            counts = self._core.depth(name).to_bytes(4) + self._core.consumers(name).to_bytes(4)
            self._send(commands.Queue.DeclareOk.index, shortstr(name) + counts)

    def _refuse(self, method: Frame) -> None:
        raise Refusal(Reply.ACCESS_REFUSED, f"{method.name} is the broker's own business; everything exists already")

    def _on_select(self, method: commands.Confirm.Select) -> None:
        self._confirms = self._confirms or Confirms(self.number)
        if not method.nowait:
            self._send(commands.Confirm.SelectOk.index, b"")

    def _on_qos(self, method: commands.Basic.Qos) -> None:
        if method.global_ or method.prefetch_size:
            raise Malformed(Reply.NOT_IMPLEMENTED, "basic.qos with global=true or a prefetch size")
        self._prefetch = int(method.prefetch_count or 0)
        self._send(commands.Basic.QosOk.index, b"")

    def _on_consume(self, method: commands.Basic.Consume) -> None:
        name = str(method.consumer_tag)
        if not name:
            self._names += 1
            name = f"ctag-{self.number}.{self._names}"
        if name in self._channel.consumers:
            raise Malformed(Reply.NOT_ALLOWED, f"consumer tag {name!r} is in use on this channel")
        consumer = self._core.consume(
            self._channel,
            str(method.queue),
            name,
            exclusive=bool(method.exclusive),
            prefetch=self._prefetch,
            no_ack=bool(method.no_ack),
        )
        consumer.owner = WireConsumer(self, shortstr(name))
        # The deliveries are effects, which are written after this.
        if not method.nowait:
            self._send(commands.Basic.ConsumeOk.index, shortstr(name))

    def _on_cancel(self, method: commands.Basic.Cancel) -> None:
        consumer = self._channel.consumers.get(str(method.consumer_tag))
        if consumer is not None:
            self._core.cancel(consumer)
        if not method.nowait:
            self._send(commands.Basic.CancelOk.index, shortstr(str(method.consumer_tag)))

    def _on_get(self, method: commands.Basic.Get) -> None:
        if self._session.choked:
            # The same message, put back and asked for again and again in one breath, would fill our memory.
            raise Malformed(Reply.RESOURCE_ERROR, "messages are asked for faster than they are read")
        got = self._core.get(self._channel, str(method.queue), no_ack=bool(method.no_ack))
        if got is None:
            self._send(commands.Basic.GetEmpty.index, b"\x00")
            return
        tag, entry, left = got
        message = entry.message
        arguments = b"".join(
            (
                tag.to_bytes(8),
                bytes((entry.redelivered,)),
                shortstr(message.exchange),
                shortstr(message.routing_key),
                left.to_bytes(4),
            )
        )
        self._send(commands.Basic.GetOk.index, arguments)
        self._content(message)

    def _on_recover(self, method: commands.Basic.Recover) -> None:
        if not method.requeue:
            raise Malformed(Reply.NOT_IMPLEMENTED, "basic.recover with requeue=false")
        self._core.recover(self._channel)
        self._send(commands.Basic.RecoverOk.index, b"")

    def _not_implemented(self, method: Frame) -> None:
        raise Malformed(Reply.NOT_IMPLEMENTED, method.name)

    _handlers: ClassVar[dict[type[Frame], Callable[[PeerChannel, Any], None]]] = {
        commands.Basic.Cancel: _on_cancel,
        commands.Basic.Consume: _on_consume,
        commands.Basic.Get: _on_get,
        commands.Basic.Qos: _on_qos,
        commands.Basic.Recover: _on_recover,
        commands.Channel.Close: _on_close,
        commands.Channel.Flow: _on_flow,
        commands.Confirm.Select: _on_select,
        commands.Exchange.Bind: _refuse,
        commands.Exchange.Declare: _on_exchange_declare,
        commands.Exchange.Delete: _refuse,
        commands.Exchange.Unbind: _refuse,
        commands.Queue.Bind: _refuse,
        commands.Queue.Declare: _on_queue_declare,
        commands.Queue.Delete: _refuse,
        commands.Queue.Purge: _refuse,
        commands.Queue.Unbind: _refuse,
        commands.Tx.Commit: _not_implemented,
        commands.Tx.Rollback: _not_implemented,
        commands.Tx.Select: _not_implemented,
    }


class WireConsumer:
    """What a delivery to a subscription needs on the wire (its ``owner``)."""

    __slots__ = ("channel", "tag")

    def __init__(self, channel: PeerChannel, tag: bytes) -> None:
        self.channel = channel
        #: the consumer tag as a short string
        self.tag = tag
