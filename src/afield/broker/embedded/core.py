"""PURE: a broker as a data structure. Who may what, which message goes where, who gets it when, and what happens to it.

Theory of operation
    Everybody who talks to the broker has a :class:`~.queues.Session`. Calls change the state at once; what others (or
    the caller, later) must be told lands as effects in the outbox of *their* session, and that session's ``wake`` is
    called. Nothing else is ever called, so no call comes back into the core while it is working. The owner of a session
    performs its outbox and says so with :meth:`Broker.performed`.

Rules
    1. Everything about delivery is in this file and ``queues``; what exists, and who may use it, is in ``register``;
       how it looks on a wire is in none of them.
    2. A message that was accepted is in a queue, held unacknowledged by a channel, or settled. It moves between these
       in one step, and its receipt, if a publisher waits for one, moves with it and is settled once.
    3. A session that ends puts back what it holds before anybody is given anything, so order is kept.
    4. No step but ``purge`` and ``discard`` is proportional to what waits in a queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

from afield.broker.base import Binding, ExchangeKind, Permissions, QueueSpec
from afield.broker.embedded.party import MOST_BYTES, Parties
from afield.broker.embedded.queues import (
    Cancelled,
    Channel,
    Confirmed,
    Dropped,
    Entry,
    Held,
    Message,
    Queue,
    Receipt,
    Session,
    Subscription,
)
from afield.broker.embedded.register import Refusal, Register
from afield.broker.embedded.replies import Reply

__all__ = ["Broker", "Refusal", "Routed"]

#: Routing keys that one session was found to be allowed; forgotten when there are many, because they come from outside.
_REMEMBERED_KEYS: Final = 4_096

#: Consumers of one queue: whose turn it is, is looked for among all of them.
_MOST_CONSUMERS: Final = 200


class Routed(Enum):
    """Where a message went."""

    #: no queue wanted it
    NOWHERE = "nowhere"
    #: it is as safe as it gets: the publisher may be told at once
    SAFE = "safe"
    #: the publisher is told when its consumers have acknowledged it (``Confirmed``)
    PENDING = "pending"


class Broker:
    """Exchanges, queues and sessions.

    :param on_settled: told what peers acknowledged: the queue's name, the messages in the order of the queue, and by
        whom. Must not call back into the broker.
    :param most_owed: bytes of its messages that one party may have here before no more of it is to be read
    """

    def __init__(
        self,
        on_settled: Callable[[str, list[Message], Session], None] | None = None,
        *,
        most_owed: int = MOST_BYTES,
    ) -> None:
        self.on_settled = on_settled
        #: asked before a peer is given a message of a queue (its name, the message): whether it is dropped instead.
        #: Must not call back into the broker
        self.is_unwanted: Callable[[str, Message], bool] | None = None
        self._parties = Parties(most_owed)
        self._hushed = False
        self._register = Register()
        self.queues = self._register.queues
        self.sessions: dict[Session, None] = {}

    # What exists

    def declare_exchange(self, name: str, kind: ExchangeKind) -> None:
        """Make it exist.

        :raises Refusal: it exists, and is of another kind
        """
        self._register.declare_exchange(name, kind)

    def declare_queue(self, spec: QueueSpec, bindings: Iterable[Binding] = ()) -> None:
        """Make it and its bindings exist.

        :raises Refusal: a binding speaks of an exchange that does not exist
        """
        self._register.declare_queue(spec, bindings)

    def delete_queue(self, name: str) -> int:
        """Remove it with what waits in it, and tell its consumers; how many messages that were."""
        queue = self._register.forget_queue(name)
        if queue is None:
            return 0
        for consumer in list(queue.consumers):
            self.cancel(consumer)
            consumer.channel.session.emit(Cancelled(consumer))
        return self._empty(queue)

    def purge(self, name: str) -> int:
        """Drop what waits in it and is not delivered; how many that were."""
        queue = self.queues.get(name)
        return self._empty(queue) if queue else 0

    def discard(self, name: str, is_unwanted: Callable[[Message], bool]) -> int:
        """Drop those of the messages that wait in it; how many that were. It looks at all."""
        queue = self.queues.get(name)
        dropped = queue.sift(is_unwanted) if queue else []
        for entry in dropped:
            self._settle(entry, ok=False)
        return len(dropped)

    def depth(self, name: str) -> int:
        """How many messages wait in it and are not delivered."""
        queue = self.queues.get(name)
        return queue.depth if queue else 0

    def consumers(self, name: str) -> int:
        """How many consume it."""
        queue = self.queues.get(name)
        return len(queue.consumers) if queue else 0

    # Who is here

    def open_session(self, permissions: Permissions, wake: Callable[[], None], *, peer: bool) -> Session:
        """Let somebody in who was authenticated."""
        session = Session(permissions, wake, peer=peer)
        session.party = self._parties.join(permissions.party or permissions.name, session, wake)
        self.sessions[session] = None
        return session

    def open_channel(self, session: Session) -> Channel:
        """A new numbering of deliveries."""
        channel = Channel(session)
        session.channels[channel] = None
        return channel

    def close_session(self, session: Session) -> None:
        """Somebody left: what they hold goes back, what they wait for is forgotten. Twice is fine."""
        if session.over:
            return
        session.over = True
        session.outbox.clear()
        self.sessions.pop(session, None)
        self._close_channels(list(session.channels))
        session.channels.clear()
        self._parties.leave(session.party, session)

    def close_channel(self, channel: Channel) -> None:
        """Put back what this channel holds, and end its consumers."""
        if channel in channel.session.channels:
            del channel.session.channels[channel]
            self._close_channels([channel])

    def drop(self, login: str | None, reason: str) -> int:
        """End every session of this login (None: of all); how many that were.

        What they held is put back at once. Their outbox then holds ``Dropped`` and nothing else.
        """
        dropped = [session for session in self.sessions if login is None or session.permissions.name == login]
        for session in dropped:
            self.close_session(session)
            session.outbox.append(Dropped(reason))
            session.wake()
        return len(dropped)

    def hush(self) -> None:
        """Deliver nothing more. Acknowledgements of what was delivered are still taken."""
        self._hushed = True

    def refuse(self) -> None:
        """Tell publishers who wait for the acknowledgement of messages that there will be none: they keep these."""
        for queue in self.queues.values():
            if queue.confirm_on_ack:
                self._empty(queue)
        for session in self.sessions:
            for channel in session.channels:
                for held in channel.unacked.values():
                    self._settle(held.entry, ok=False)
                    held.entry.receipt = None

    def owed(self) -> bool:
        """Whether a peer has deliveries that it has not acknowledged."""
        return any(channel.unacked for session in self.sessions if session.peer for channel in session.channels)

    def performed(self, session: Session) -> None:
        """What was in the outbox has been handed over: more may come, unless ``session.paused``."""
        starved = session.waiting_bytes > 0
        session.waiting_bytes = 0
        if starved:
            self.resume(session)

    def resume(self, session: Session) -> None:
        """Give a session what waits for it: it was paused, or its flow was stopped, and is not any more."""
        for channel in session.channels:
            self.resume_channel(channel)

    def resume_channel(self, channel: Channel) -> None:
        """The same, of one channel."""
        for consumer in channel.consumers.values():
            self._pump(consumer.queue)

    # What they do

    def check(self, session: Session, *, exchange: str | None = None, queue: str | None = None) -> None:
        """Make sure that these exist, whatever their attributes.

        :raises Refusal: one does not, or may not be known
        """
        self._register.check(session.permissions, exchange=exchange, queue=queue)

    def check_publish(self, session: Session, exchange: str, routing_key: str) -> None:
        """Make sure that somebody may publish there.

        :raises Refusal: they may not
        """
        key = (exchange, routing_key)
        if key not in session.allowed:
            self._allow(session, key)

    def publish(self, session: Session, message: Message, token: object = None) -> Routed:
        """Take a message in.

        :param token: what ``Confirmed`` shall name; None: the publisher does not want to know
        :raises Refusal: this login may not, or there is no such exchange
        """
        self.check_publish(session, message.exchange, message.routing_key)
        queues = self._register.exchange(message.exchange).route(message.routing_key)
        if not queues:
            return Routed.NOWHERE
        slow = [queue for queue in queues if queue.confirm_on_ack] if token is not None else []
        receipt = None
        if slow or session.peer:
            size = session.party.charge(message.weight) if session.peer else 0
            receipt = Receipt(session, token if slow else None, len(slow or queues), size)
        for queue in queues:
            queue.push(message, receipt if not slow or queue.confirm_on_ack else None)
            if queue.consumers:
                self._pump(queue)
        return Routed.PENDING if slow else Routed.SAFE

    def consume(
        self,
        channel: Channel,
        queue_name: str,
        name: str,
        *,
        exclusive: bool = False,
        prefetch: int = 0,
        no_ack: bool = False,
    ) -> Subscription:
        """Subscribe; deliveries follow as effects.

        :param name: the consumer's tag, new on this channel
        :raises Refusal: no such queue, not theirs, or somebody has it
        """
        login = channel.session.permissions.name
        queue = self._register.readable(channel.session.permissions, queue_name)
        if queue.exclusive or (exclusive and queue.consumers):
            raise Refusal(Reply.ACCESS_REFUSED, f"queue {queue_name!r} in exclusive use, not available to {login}")
        if len(queue.consumers) >= _MOST_CONSUMERS:
            raise Refusal(Reply.ACCESS_REFUSED, f"queue {queue_name!r} has {_MOST_CONSUMERS} consumers, and no more")
        consumer = Subscription(channel, queue, name, prefetch=prefetch, no_ack=no_ack)
        queue.consumers.append(consumer)
        queue.exclusive = consumer if exclusive else None
        channel.consumers[name] = consumer
        self._pump(queue)
        return consumer

    def cancel(self, consumer: Subscription) -> None:
        """No more deliveries; what it holds stays with its channel. Twice is fine."""
        if consumer.over:
            return
        consumer.over = True
        consumer.channel.consumers.pop(consumer.name, None)
        consumer.queue.consumers.remove(consumer)
        if consumer.queue.exclusive is consumer:
            consumer.queue.exclusive = None

    def get(self, channel: Channel, queue_name: str, *, no_ack: bool) -> tuple[int, Entry, int] | None:
        """Take one message without subscribing: (tag, entry, how many are left); None: it is empty."""
        queue = self._register.readable(channel.session.permissions, queue_name)
        entry = self._next(queue, channel.session)
        if entry is None:
            return None
        channel.last_tag += 1
        channel.session.waiting_bytes += entry.message.weight
        if no_ack:
            self._settle(entry, ok=True)
        else:
            channel.hold(channel.last_tag, entry, queue, None)
        return channel.last_tag, entry, queue.depth

    def ack(self, channel: Channel, tag: int, *, multiple: bool = False) -> None:
        """The messages are done with.

        :raises Refusal: no such delivery
        """
        done: dict[Queue, list[Message]] = {}
        for held in self._take(channel, tag, multiple=multiple):
            if held.entry.receipt is not None:
                self._settle(held.entry, ok=True)
            done.setdefault(held.queue, []).append(held.entry.message)
        for queue, messages in done.items():
            if self.on_settled is not None and channel.session.peer:
                self.on_settled(queue.name, messages, channel.session)
            self._pump(queue)

    def nack(self, channel: Channel, tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
        """The messages are not done with: back to their place, or dropped.

        :raises Refusal: no such delivery
        """
        self._return(self._take(channel, tag, multiple=multiple), requeue=requeue)

    def withdraw(self, channel: Channel, tag: int) -> None:
        """Put back a delivery that was not handed over after all. It may be settled already: tags can be guessed."""
        held = channel.take(tag, multiple=False)
        if held:
            self._return(held, requeue=True)

    def recover(self, channel: Channel) -> None:
        """Put back everything that the channel holds (AMQP 0-9-1, basic.recover)."""
        self._return(channel.take(0, multiple=True) or [], requeue=True)

    # Inside

    def _allow(self, session: Session, key: tuple[str, str]) -> None:
        self._register.check_publish(session.permissions, *key)
        if len(session.allowed) >= _REMEMBERED_KEYS:
            session.allowed.clear()
        session.allowed.add(key)

    def _take(self, channel: Channel, tag: int, *, multiple: bool) -> list[Held]:
        taken = channel.take(tag, multiple=multiple)
        if taken is None:
            raise Refusal(Reply.PRECONDITION_FAILED, f"unknown delivery tag {tag}")
        return taken

    def _return(self, taken: list[Held], *, requeue: bool) -> None:
        queues: dict[Queue, None] = {}
        for held in taken:
            queues[held.queue] = None
            if requeue and not held.queue.deleted:
                held.queue.put_back(held.entry)
            else:
                self._settle(held.entry, ok=False)
        for queue in queues:
            self._pump(queue)

    def _close_channels(self, channels: list[Channel]) -> None:
        held: list[Held] = []
        for channel in channels:
            for consumer in list(channel.consumers.values()):
                self.cancel(consumer)
            held += channel.take(0, multiple=True) or []
        self._return(held, requeue=True)

    def _empty(self, queue: Queue) -> int:
        dropped = [queue.pop() for _ in range(queue.depth)]
        for entry in dropped:
            self._settle(entry, ok=False)
        return len(dropped)

    def _settle(self, entry: Entry, *, ok: bool) -> None:
        receipt = entry.receipt
        if receipt is None:
            return
        receipt.outstanding -= 1
        receipt.ok = receipt.ok and ok
        if receipt.outstanding == 0:
            if receipt.token is not None:
                receipt.session.emit(Confirmed(receipt.token, receipt.ok))
            receipt.session.party.pay(receipt.size)

    def _next(self, queue: Queue, reader: Session) -> Entry | None:
        """The next message that this reader is to be given; None: there is none left."""
        while queue.depth:
            entry = queue.pop()
            if self.is_unwanted is None or not reader.peer or not self.is_unwanted(queue.name, entry.message):
                return entry
            self._settle(entry, ok=False)
        return None

    def _pump(self, queue: Queue) -> None:
        while (queue.fresh or queue.returned) and not self._hushed:
            consumer = queue.able()
            if consumer is None:
                return
            entry = self._next(queue, consumer.channel.session)
            if entry is None:
                return
            consumer.channel.session.deliver(consumer, entry)
            if consumer.no_ack:
                self._settle(entry, ok=True)
