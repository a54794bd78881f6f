"""PURE: what waits, where, and for whom: the records that the broker's core works on.

The order of a queue is the order of arrival, for ever: each message gets a number when it comes in, and keeps it when
it is put back. Whatever was delivered once has a lower number than whatever was not, so a queue is two parts: ``fresh``
(never delivered: a deque, nothing is ever inserted in its middle) and ``returned`` (put back: a heap by number), and
the next message is the first of ``returned``, or else of ``fresh``.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

import msgspec

from afield.broker.base import Permissions
from afield.broker.embedded.party import Party

__all__ = ["Cancelled", "Channel", "Confirmed", "Deliver", "Dropped", "Effect", "Message", "Queue", "Session"]

#: Bytes of deliveries that may wait to be written to one session before it gets no more until they are gone. Large
#: enough to fill a socket's buffer, small enough that no turn of the event loop is long.
WINDOW: Final = 512 * 1024

#: What a message costs beside its body, roughly; so that a million empty messages do not pass as nothing.
_OVERHEAD: Final = 100


class Message(msgspec.Struct):
    """A message as the broker holds it; nobody looks inside ``properties`` and ``body``.

    :param properties: :class:`~afield.broker.base.Properties`, or the bytes that came over the wire: whoever hands it
        out turns it into the form that is wanted
    """

    exchange: str
    routing_key: str
    properties: object
    body: bytes

    @property
    def weight(self) -> int:
        """Bytes that came over the wire; properties alone can be as long as a frame."""
        properties = self.properties
        return len(self.body) + len(properties) if isinstance(properties, bytes) else len(self.body)


class Receipt(msgspec.Struct):
    """What is owed for a message until all its queues are done with it.

    :param token: its publisher waits for the acknowledgement by every confirm_on_ack queue that it went to; None: not
    :param size: what was charged to the publisher's party
    """

    session: Session
    token: object
    outstanding: int
    size: int = 0
    ok: bool = True


class Entry(msgspec.Struct):
    """One message in one queue."""

    number: int
    message: Message
    receipt: Receipt | None
    redelivered: bool = False


class Held(msgspec.Struct):
    """Delivered and not yet acknowledged."""

    entry: Entry
    queue: Queue
    consumer: Subscription | None


class Deliver(msgspec.Struct):
    """Effect: hand this to a consumer."""

    consumer: Subscription
    tag: int
    message: Message
    redelivered: bool


class Confirmed(msgspec.Struct):
    """Effect: tell the publisher that its message is safe, or (``ok`` false) that it was dropped."""

    token: object
    ok: bool


class Cancelled(msgspec.Struct):
    """Effect: tell a consumer that its queue is gone."""

    consumer: Subscription


class Dropped(msgspec.Struct):
    """Effect: this session is over, by the broker's will; it holds nothing any more."""

    reason: str


Effect = Deliver | Confirmed | Cancelled | Dropped


class Queue:
    """Messages in order, and who wants them."""

    __slots__ = (
        "bindings",
        "confirm_on_ack",
        "consumers",
        "deleted",
        "exclusive",
        "fresh",
        "held",
        "low",
        "name",
        "next_number",
        "on_low",
        "returned",
        "size",
    )

    def __init__(self, name: str, *, confirm_on_ack: bool) -> None:
        self.name = name
        self.confirm_on_ack = confirm_on_ack
        self.fresh: deque[Entry] = deque()
        self.returned: list[tuple[int, Entry]] = []
        self.next_number = 0
        #: turn by turn: the first one is next
        self.consumers: deque[Subscription] = deque()
        self.exclusive: Subscription | None = None
        #: (exchange, pattern)
        self.bindings: set[tuple[str, str]] = set()
        self.deleted = False
        #: bytes of what waits in it
        self.size = 0
        #: messages that were delivered and are not acknowledged
        self.held = 0
        #: who wants to know, once, that no more than so many bytes are left; -1: nobody
        self.low = -1
        self.on_low: Callable[[str], None] | None = None

    @property
    def depth(self) -> int:
        """How many messages wait in it."""
        return len(self.fresh) + len(self.returned)

    def push(self, message: Message, receipt: Receipt | None) -> None:
        """Put a new message at the end."""
        self.fresh.append(Entry(self.next_number, message, receipt))
        self.next_number += 1
        self.size += message.weight + _OVERHEAD

    def put_back(self, entry: Entry) -> None:
        """Put a message that was delivered back at its place."""
        entry.redelivered = True
        heapq.heappush(self.returned, (entry.number, entry))
        self.size += entry.message.weight + _OVERHEAD

    def pop(self) -> Entry:
        """Take the next message; there must be one."""
        entry = heapq.heappop(self.returned)[1] if self.returned else self.fresh.popleft()
        self.size -= entry.message.weight + _OVERHEAD
        if self.size <= self.low:
            self._tell()
        return entry

    def sift(self, is_unwanted: Callable[[Message], bool]) -> list[Entry]:
        """Take these out; the others keep their places."""
        out = [entry for entry in self.fresh if is_unwanted(entry.message)]
        if out:
            numbers = {entry.number for entry in out}
            self.fresh = deque(entry for entry in self.fresh if entry.number not in numbers)
        back = [entry for _, entry in self.returned if is_unwanted(entry.message)]
        if back:
            numbers = {entry.number for entry in back}
            self.returned = [each for each in self.returned if each[0] not in numbers]
            heapq.heapify(self.returned)
        self.size -= sum(entry.message.weight + _OVERHEAD for entry in (*out, *back))
        if self.size <= self.low:
            self._tell()
        return out + back

    def tell_when_low(self, size: int, on_low: Callable[[str], None]) -> None:
        """Call ``on_low``, once, with the name when no more than so many bytes wait; at once if that is so. It must not
        call back into the broker.
        """
        self.low, self.on_low = size, on_low
        if self.size <= size:
            self._tell()

    def _tell(self) -> None:
        on_low, self.low, self.on_low = self.on_low, -1, None
        if on_low is not None:
            on_low(self.name)

    def able(self) -> Subscription | None:
        """Whose turn it is among those that can take a message now."""
        consumers = self.consumers
        for _ in range(len(consumers)):
            consumer = consumers[0]
            if len(consumers) > 1:
                consumers.rotate(-1)
            if consumer.able():
                return consumer
        return None


class Subscription:
    """One consumer of one queue."""

    __slots__ = ("channel", "name", "no_ack", "over", "owner", "prefetch", "queue", "unacked")

    def __init__(self, channel: Channel, queue: Queue, name: str, *, prefetch: int, no_ack: bool) -> None:
        self.channel = channel
        self.queue = queue
        #: what the protocol calls a consumer tag
        self.name = name
        self.prefetch = prefetch
        self.no_ack = no_ack
        self.unacked = 0
        self.over = False
        #: for whoever performs the deliveries; the core never looks at it
        self.owner: object = None

    def able(self) -> bool:
        """Whether it can take a message now."""
        channel = self.channel
        session = channel.session
        return not session.choked and channel.flowing and (not self.prefetch or self.unacked < self.prefetch)


class Channel:
    """A numbering of deliveries within a session, and the consumers that share it."""

    __slots__ = ("consumers", "flowing", "last_tag", "session", "unacked")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.consumers: dict[str, Subscription] = {}
        # Ordered by tag. Not a dict: taking from the front of one, again and again, is quadratic.
        self.unacked: OrderedDict[int, Held] = OrderedDict()
        self.last_tag = 0
        #: false: the peer asked for a pause (Channel.Flow)
        self.flowing = True

    def hold(self, tag: int, entry: Entry, queue: Queue, consumer: Subscription | None) -> None:
        """Remember a delivery until it is acknowledged."""
        self.unacked[tag] = Held(entry, queue, consumer)
        queue.held += 1

    def take(self, tag: int, *, multiple: bool) -> list[Held] | None:
        """Remove what this acknowledgement speaks of; None: there is no such delivery.

        Tag 0 with ``multiple`` stands for everything (AMQP 0-9-1, basic.ack).
        """
        unacked = self.unacked
        taken: list[Held] = []
        if multiple and tag == 0:
            taken += unacked.values()
            unacked.clear()
        elif tag not in unacked:
            return None
        elif multiple:
            first = 0
            while first != tag:
                first, held = unacked.popitem(last=False)
                taken.append(held)
        else:
            taken.append(unacked.pop(tag))
        for held in taken:
            held.queue.held -= 1
            if held.consumer is not None:
                held.consumer.unacked -= 1
        return taken


class Session:
    """One authenticated connection, as the core sees it.

    Effects gather in ``outbox``; ``wake`` is called when there is a first one. Whoever owns the session takes them all
    at once, performs them, and calls :meth:`~afield.broker.embedded.core.Broker.performed`.

    :param peer: somebody else's, as opposed to the program's own
    :ivar party: set by who opens it
    """

    __slots__ = (
        *("allowed", "channels", "outbox", "over", "party", "paused", "peer", "permissions", "waiting_bytes", "wake"),
    )
    party: Party

    def __init__(self, permissions: Permissions, wake: Callable[[], None], *, peer: bool) -> None:
        self.permissions = permissions
        self.wake = wake
        self.peer = peer
        self.outbox: list[Effect] = []
        self.waiting_bytes = 0
        #: true: what was performed has not left this process yet (a full socket)
        self.paused = False
        self.over = False
        self.channels: dict[Channel, None] = {}
        #: (exchange, routing key) pairs that were found to be allowed
        self.allowed: set[tuple[str, str]] = set()

    @property
    def choked(self) -> bool:
        """Whether it has so much to read that it gets no more for now."""
        return self.paused or self.waiting_bytes >= WINDOW

    def emit(self, effect: Effect) -> None:
        """Add an effect, unless nobody is there any more."""
        if self.over:
            return
        if not self.outbox:
            self.wake()
        self.outbox.append(effect)

    def deliver(self, consumer: Subscription, entry: Entry) -> None:
        """Hand an entry to one of its consumers and remember it until it is acknowledged."""
        channel = consumer.channel
        channel.last_tag = tag = channel.last_tag + 1
        if not consumer.no_ack:
            channel.hold(tag, entry, consumer.queue, consumer)
            consumer.unacked += 1
        self.waiting_bytes += entry.message.weight + _OVERHEAD
        if not self.outbox:
            self.wake()
        self.outbox.append(Deliver(consumer, tag, entry.message, entry.redelivered))
