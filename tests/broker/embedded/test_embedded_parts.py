"""The broker's pure parts, each by itself."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pamqp import commands

from afield.broker.base import Binding, Permissions, Properties, QueueSpec
from afield.broker.embedded import properties
from afield.broker.embedded.core import Broker, Refusal
from afield.broker.embedded.queues import Channel, Confirmed, Deliver, Message, Session, Subscription
from afield.broker.embedded.routing import Exchange, matches
from afield.errors import WireError

ALL = Permissions("root", ("*",), (("*", "*"),), ("*",))

# Routing


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("*.results", "e.results", True),
        ("*.results", "results", False),
        ("*.results", "a.b.results", False),
        ("#", "", True),
        ("#", "a.b", True),
        ("a.#", "a", True),
        ("a.#.b", "a.b", True),
        ("a.#.b", "a.x.y.b", True),
        ("a.#.b", "a.x.y.c", False),
        ("#.a.#", "x.a.y", True),
        ("*", "", True),
        ("a.*", "a.", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_topics(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected


words = st.lists(st.sampled_from(["a", "b", "*", "#"]), min_size=1, max_size=5)


@given(words, st.lists(st.sampled_from("ab"), min_size=1, max_size=6))
def test_topics_as_the_specification_defines_them(pattern: list[str], key: list[str]) -> None:
    def defined(p: list[str], k: list[str]) -> bool:
        if not p:
            return not k
        if p[0] == "#":
            return defined(p[1:], k) or (bool(k) and defined(p, k[1:]))
        return bool(k) and p[0] in ("*", k[0]) and defined(p[1:], k[1:])

    assert matches(".".join(pattern), ".".join(key)) is defined(pattern, key)


def test_a_hostile_topic_costs_little() -> None:
    began = time.process_time()
    matches(".".join("#a" * 60), ".".join("a" * 120))
    matches("#.a." * 60 + "#.b", "a." * 120 + "a")
    assert time.process_time() - began < 1.0


def test_routes_follow_the_bindings() -> None:
    for kind in ("direct", "topic", "fanout"):
        exchange: Exchange[str] = Exchange("e", kind)
        assert exchange.route("k") == ()
        exchange.bind("one", "k")
        exchange.bind("two", "k")
        assert exchange.route("k") == ("one", "two")
        exchange.unbind("one", "k")
        exchange.unbind("one", "k")
        assert exchange.route("k") == ("two",)


# Properties

texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
some = st.builds(
    Properties,
    st.dictionaries(texts, values, max_size=5),
    st.none() | texts,
    st.none() | st.integers(0, 2**64 - 1),
    st.sampled_from([1, 2]),
)


@given(some)
def test_properties_there_and_back(sent: Properties) -> None:
    assert properties.decode(properties.encode(sent)) == sent


@given(st.binary(max_size=80))
def test_properties_that_are_none(raw: bytes) -> None:
    with contextlib.suppress(WireError):
        properties.decode(raw)


@pytest.mark.parametrize("seconds", [2**33, 2**40, 2**62, 2**63, 2**64 - 1])
def test_a_time_that_no_calendar_has(seconds: int) -> None:
    """Any peer may write one; it must not end the one who reads."""
    header = b"\x01aT" + seconds.to_bytes(8)
    with contextlib.suppress(WireError):
        properties.decode(b"\x20\x00" + len(header).to_bytes(4) + header)


@given(some, st.data())
def test_properties_that_end_too_early(sent: Properties, data: st.DataObject) -> None:
    raw = properties.encode(sent)
    with pytest.raises(WireError):
        properties.decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_properties_of_all_kinds_from_another_codec() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    theirs = commands.Basic.Properties(
        content_type="text/plain",
        content_encoding="gzip",
        headers={"a": [1, "x", True], "b": {"c": None}, "t": moment, "big": 2**40, "neg": -7, "u": 60_000},
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        reply_to="r",
        expiration="1",
        message_id="m",
        timestamp=moment,
    )
    ours = properties.decode(theirs.marshal())
    assert ours.headers == theirs.headers
    assert (ours.content_type, ours.delivery_mode, ours.timestamp) == ("text/plain", 2, int(moment.timestamp()))


@pytest.mark.parametrize("value", [object(), 2**70, {"x": {1, 2}}])
def test_headers_that_amqp_does_not_know(value: object) -> None:
    with pytest.raises(WireError):
        properties.encode(Properties({"key": value}))


# The core


def session(core: Broker, permissions: Permissions = ALL) -> Session:
    return core.open_session(permissions, lambda: None, peer=True)


def send(core: Broker, sender: Session, text: bytes, token: object = None, queue: str = "q") -> object:
    return core.publish(sender, Message("", queue, None, text), token)


def taken(core: Broker, owner: Session) -> list[Deliver]:
    effects, owner.outbox = owner.outbox, []
    core.performed(owner)
    return [effect for effect in effects if isinstance(effect, Deliver)]


def test_a_kind_cannot_change() -> None:
    core = Broker()
    core.declare_exchange("e", "direct")
    with pytest.raises(Refusal):
        core.declare_exchange("e", "topic")
    with pytest.raises(Refusal):
        core.declare_queue(QueueSpec("q"), [Binding("q", "missing", "k")])
    assert core.queues == {}


def test_turn_by_turn() -> None:
    core = Broker()
    core.declare_queue(QueueSpec("q"))
    owners = [session(core) for _ in range(3)]
    for owner in owners:
        core.consume(core.open_channel(owner), "q", "c")
    for n in range(9):
        send(core, owners[0], b"%d" % n)
    assert [[d.message.body for d in taken(core, owner)] for owner in owners] == [
        [b"0", b"3", b"6"],
        [b"1", b"4", b"7"],
        [b"2", b"5", b"8"],
    ]


def test_what_a_leaver_held_goes_to_others_and_not_to_itself() -> None:
    core = Broker()
    core.declare_queue(QueueSpec("q"))
    here, there = session(core), session(core)
    for name in ("a", "b"):
        core.consume(core.open_channel(here), "q", name)
    send(core, there, b"1")
    send(core, there, b"2")
    core.consume(core.open_channel(there), "q", "c", prefetch=1)
    core.close_session(here)
    (delivery,) = taken(core, there)
    assert (delivery.message.body, delivery.redelivered) == (b"1", True)
    assert core.depth("q") == 1


def test_acknowledging_from_the_front_again_and_again_is_linear() -> None:
    core = Broker()
    core.declare_queue(QueueSpec("q"))
    owner = session(core)
    channel = core.open_channel(owner)
    core.consume(channel, "q", "c")
    for _ in range(100_000):
        send(core, owner, b"")
        owner.outbox.clear()
        owner.waiting_bytes = 0
    began = time.process_time()
    for tag in range(1, 100_001):
        core.ack(channel, tag, multiple=True)
    assert time.process_time() - began < 5.0
    assert not channel.unacked


class Brokerage(RuleBasedStateMachine):
    """Anything may happen in any order; no message is lost or doubled, and confirms tell the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.core = Broker()
        self.core.declare_queue(QueueSpec("q", confirm_on_ack=True))
        self.publisher = session(self.core)
        self.next = 0
        self.settled: dict[int, bool] = {}
        self.confirmed: dict[int, bool] = {}
        self.owners: list[tuple[Session, Channel, Subscription]] = []
        # What each consumer has been handed and not settled: tag -> number.
        self.held: dict[Session, dict[int, int]] = {}

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        for _ in range(count):
            send(self.core, self.publisher, b"%d" % self.next, self.next)
            self.next += 1

    @rule(prefetch=st.integers(0, 3))
    def join(self, prefetch: int) -> None:
        owner = session(self.core)
        channel = self.core.open_channel(owner)
        self.owners.append((owner, channel, self.core.consume(channel, "q", "c", prefetch=prefetch)))
        self.held[owner] = {}

    @precondition(lambda self: self.owners)
    @rule(data=st.data())
    def perform(self, data: st.DataObject) -> None:
        owner, _, _ = data.draw(st.sampled_from(self.owners))
        for delivery in taken(self.core, owner):
            self.held[owner][delivery.tag] = int(delivery.message.body)

    @precondition(lambda self: self.owners)
    @rule(data=st.data(), ok=st.booleans(), requeue=st.booleans(), multiple=st.booleans())
    def settle(self, data: st.DataObject, ok: bool, requeue: bool, multiple: bool) -> None:
        owner, channel, _ = data.draw(st.sampled_from(self.owners))
        held = self.held[owner]
        if not held:
            return
        tag = data.draw(st.sampled_from(sorted(held)))
        # A multiple also covers what waits in the outbox; a client that has not seen it cannot mean it.
        gone = [t for t in held if t == tag or (multiple and t < tag)]
        if ok:
            self.core.ack(channel, tag, multiple=multiple)
        else:
            self.core.nack(channel, tag, multiple=multiple, requeue=requeue)
        for each in gone:
            number = held.pop(each)
            if ok or not requeue:
                assert number not in self.settled
                self.settled[number] = ok

    @precondition(lambda self: self.owners)
    @rule(data=st.data(), how=st.sampled_from(["cancel", "channel", "session"]))
    def leave(self, data: st.DataObject, how: str) -> None:
        owner, channel, consumer = data.draw(st.sampled_from(self.owners))
        if how == "cancel":
            self.core.cancel(consumer)
            return
        self.owners.remove((owner, channel, consumer))
        self.held[owner] = {}
        if how == "channel":
            self.core.close_channel(channel)
        self.core.close_session(owner)

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        queue = self.core.queues["q"]
        waiting = [int(e.message.body) for e in queue.fresh] + [int(e.message.body) for _, e in queue.returned]
        out = [int(h.entry.message.body) for _, channel, _ in self.owners for h in channel.unacked.values()]
        assert sorted([*waiting, *out, *self.settled]) == list(range(self.next))
        assert all(consumer.unacked >= 0 for _, _, consumer in self.owners)

    @invariant()
    def confirms_tell_the_truth(self) -> None:
        for effect in self.publisher.outbox:
            assert isinstance(effect, Confirmed)
            assert effect.token not in self.confirmed
            self.confirmed[effect.token] = effect.ok  # type: ignore[index]
        self.publisher.outbox = []
        assert self.confirmed == self.settled

    @invariant()
    def what_is_handed_out_is_in_order(self) -> None:
        for owner, _, _ in self.owners:
            bodies = [int(e.message.body) for e in owner.outbox if isinstance(e, Deliver) and not e.redelivered]
            assert bodies == sorted(bodies)


TestBrokerage = Brokerage.TestCase
