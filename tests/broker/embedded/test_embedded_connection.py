"""The protocol, as conversations without sockets: bytes in, frames out, a clock in hand."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import body, commands, frame, header, heartbeat

from afield.broker.base import Binding, Permissions, QueueSpec
from afield.broker.embedded.connection import Peer, State
from afield.broker.embedded.core import Broker
from afield.broker.embedded.offer import Settings
from afield.broker.embedded.replies import Reply

EVERYTHING = Permissions("root", ("*",), (("*", "*"),), ("*",))
CAPABILITIES = {"authentication_failure_close": True, "consumer_cancel_notify": True}


class Client:
    """The other end of a peer, whose words are pamqp's."""

    def __init__(self, core: Broker | None = None, **options: object) -> None:
        if core is None:
            core = Broker()
            core.declare_exchange("results", "topic")
            core.declare_queue(QueueSpec("work"), [Binding("work", "results", "*.results")])
        self.core = core
        self.now = 0.0
        self.woken = 0
        self.peer = Peer(core, Settings(**options), self._wake, self.now)
        self._unread = b""

    def _wake(self) -> None:
        self.woken += 1

    def raw(self, data: bytes) -> list[object]:
        self.peer.receive(data, self.now)
        return self.answers()

    def send(self, *methods: object, channel: int = 1) -> list[object]:
        """Send frames in one piece; what comes back."""
        return self.raw(b"".join(marshal(method, channel) for method in methods))

    def answers(self) -> list[object]:
        self._unread += self.peer.data_to_send(self.now)
        self.peer.written()
        frames = []
        while self._unread:
            used, _channel, value = frame.unmarshal(self._unread)
            assert used, self._unread
            self._unread = self._unread[used:]
            frames.append(value)
        return frames

    def open(self, permissions: Permissions | None = EVERYTHING, heartbeat_s: int = 0, channel: bool = True) -> Client:
        (start,) = self.raw(b"AMQP\x00\x00\x09\x01")
        assert start.mechanisms == "PLAIN"
        self.send(start_ok(), channel=0)
        assert self.peer.take_login() == ("user", "pass")
        assert self.peer.take_login() is None
        self.peer.authenticated(permissions, self.now)
        (tune,) = self.answers()
        self.send(commands.Connection.TuneOk(tune.channel_max, tune.frame_max, heartbeat_s), channel=0)
        (ok,) = self.send(commands.Connection.Open("any/vhost"), channel=0)
        assert isinstance(ok, commands.Connection.OpenOk)
        if channel:
            (ok,) = self.send(commands.Channel.Open())
            assert isinstance(ok, commands.Channel.OpenOk)
        return self


def marshal(value: object, channel: int) -> bytes:
    return value if isinstance(value, bytes) else frame.marshal(value, channel)


def start_ok(
    capabilities: dict[str, bool] = CAPABILITIES, response: str = "\0user\0pass"
) -> commands.Connection.StartOk:
    return commands.Connection.StartOk({"capabilities": capabilities}, "PLAIN", response, "en_US")


def publish(text: bytes, routing_key: str = "work", exchange: str = "", mandatory: bool = False) -> list[object]:
    properties = commands.Basic.Properties(headers={"n": 1}, delivery_mode=2)
    content = [header.ContentHeader(0, len(text), properties)]
    if text:
        content.append(body.ContentBody(text))
    return [commands.Basic.Publish(0, exchange, routing_key, mandatory), *content]


def names(frames: list[object]) -> list[str]:
    return [value.name for value in frames]


# Handshake


def test_another_protocol_is_told_ours() -> None:
    client = Client()
    client.peer.receive(b"GET / HTTP/1.1\r\n\r\n", 0)
    assert client.peer.data_to_send(0) == b"AMQP\x00\x00\x09\x01"
    assert client.peer.over


def test_what_it_can_do_is_announced() -> None:
    (start,) = Client().raw(b"AMQP\x00\x00\x09\x01")
    capabilities = start.server_properties["capabilities"]
    assert capabilities["publisher_confirms"] is True
    assert capabilities["basic.nack"] is True


@pytest.mark.parametrize("capabilities", [CAPABILITIES, {}])
def test_a_wrong_login_is_told_as_the_client_wants_it(capabilities: dict[str, bool]) -> None:
    client = Client()
    client.raw(b"AMQP\x00\x00\x09\x01")
    client.send(start_ok(capabilities), channel=0)
    client.peer.authenticated(None, 0)
    answers = client.answers()
    if capabilities:
        assert [(a.name, a.reply_code) for a in answers] == [("Connection.Close", 403)]
        client.send(commands.Connection.CloseOk(), channel=0)
    else:
        assert answers == []
    assert client.peer.over


@pytest.mark.parametrize("response", ["", "\0only", "a\0b\0c\0d"])
def test_a_response_that_is_not_plain(response: str) -> None:
    client = Client()
    client.raw(b"AMQP\x00\x00\x09\x01")
    (close,) = client.send(start_ok(response=response), channel=0)
    assert close.reply_code == 403
    assert client.peer.take_login() is None


def test_who_cannot_wait_for_the_answer_is_served_all_the_same() -> None:
    client = Client()
    tune_ok, opening = commands.Connection.TuneOk(10, 8192, 0), commands.Connection.Open("/")
    client.raw(b"AMQP\x00\x00\x09\x01")
    client.send(start_ok(), tune_ok, opening, channel=0)
    assert client.peer.state is State.CHECKING
    client.peer.authenticated(EVERYTHING, 0)
    assert names(client.answers()) == ["Connection.Tune", "Connection.OpenOk"]


@pytest.mark.parametrize("tune", [(0, 1024, 0), (0, 1_000_000, 0), (9_999, 8192, 0)])
def test_more_than_was_offered(tune: tuple[int, int, int]) -> None:
    client = Client()
    client.raw(b"AMQP\x00\x00\x09\x01")
    client.send(start_ok(), channel=0)
    client.peer.authenticated(EVERYTHING, 0)
    client.answers()
    (close,) = client.send(commands.Connection.TuneOk(*tune), channel=0)
    assert close.reply_code == Reply.NOT_ALLOWED


def test_silence_during_the_handshake_ends_it() -> None:
    client = Client(patience_s=10)
    client.raw(b"AMQP\x00\x00\x09\x01")
    client.peer.tick(9.9)
    assert not client.peer.over
    client.peer.tick(10.0)
    assert client.peer.over


def test_a_slow_check_of_the_login_is_not_the_peers_fault() -> None:
    client = Client(patience_s=10)
    client.raw(b"AMQP\x00\x00\x09\x01")
    client.send(start_ok(), channel=0)
    client.peer.tick(1000.0)
    assert client.peer.in_handshake
    client.peer.authenticated(EVERYTHING, 1000.0)
    client.peer.tick(1009.0)
    assert names(client.answers()) == ["Connection.Tune"]
    client.peer.tick(1010.0)
    assert client.peer.over


# Heartbeats


def test_heartbeats_are_sent_when_nothing_else_is() -> None:
    client = Client().open(heartbeat_s=10)
    client.now = 4.9
    client.peer.tick(client.now)
    assert client.answers() == []
    client.now = 5.0
    client.peer.tick(client.now)
    (beat,) = client.answers()
    assert isinstance(beat, heartbeat.Heartbeat)
    client.now = 9.0
    client.peer.tick(client.now)
    assert client.answers() == []


def test_two_missed_heartbeats_end_it_and_give_back_what_it_held() -> None:
    client = Client().open(heartbeat_s=10)
    client.send(commands.Basic.Consume(0, "work"), *publish(b"a"))
    assert client.core.depth("work") == 0
    client.now = 15.0
    client.raw(frame.marshal(heartbeat.Heartbeat(), 0))
    client.peer.tick(35.0)
    assert not client.peer.over
    client.peer.tick(35.1)
    assert client.peer.over
    assert client.core.depth("work") == 1


def test_no_heartbeats_where_the_client_wants_none() -> None:
    client = Client().open(heartbeat_s=0)
    client.peer.tick(1e9)
    assert client.answers() == []
    assert not client.peer.over


# Publishing


def test_confirms_come_without_select_ok_when_it_was_not_wanted() -> None:
    client = Client().open()
    (ack,) = client.send(commands.Confirm.Select(nowait=True), *publish(b"a"), *publish(b"b"), *publish(b"c"))
    assert (ack.name, ack.delivery_tag, ack.multiple) == ("Basic.Ack", 3, True)
    (ack,) = client.send(*publish(b"d"))
    assert (ack.delivery_tag, ack.multiple) == (4, False)
    (ok,) = client.send(commands.Confirm.Select())
    assert ok.name == "Confirm.SelectOk"
    (ack,) = client.send(*publish(b"e"))
    assert ack.delivery_tag == 5  # selecting again does not begin anew


def test_a_returned_message_is_confirmed_after_its_return() -> None:
    client = Client().open()
    answers = client.send(commands.Confirm.Select(nowait=True), *publish(b"body", "nobody", "results", mandatory=True))
    assert names(answers) == ["Basic.Return", "ContentHeader", "ContentBody", "Basic.Ack"]
    assert (answers[0].reply_code, answers[0].exchange, answers[0].routing_key) == (312, "results", "nobody")
    assert answers[2].value == b"body"
    assert answers[1].properties.headers == {"n": 1}


def test_what_nobody_wants_and_need_not_arrive_is_confirmed() -> None:
    client = Client().open()
    answers = client.send(commands.Confirm.Select(nowait=True), *publish(b"body", "nobody", "results"))
    assert names(answers) == ["Basic.Ack"]


def test_confirms_before_the_fault_are_told() -> None:
    client = Client().open()
    answers = client.send(
        commands.Confirm.Select(nowait=True), *publish(b"a"), *publish(b"b", exchange="missing"), *publish(b"c")
    )
    assert [(a.name, getattr(a, "delivery_tag", None)) for a in answers] == [("Basic.Ack", 1), ("Channel.Close", None)]
    assert answers[1].reply_code == 404
    assert client.core.depth("work") == 1


@given(st.lists(st.tuples(st.integers(0, 11), st.booleans(), st.booleans()), max_size=40))
def test_no_tag_is_answered_twice_and_multiple_is_always_true(answers: list[tuple[int, bool, bool]]) -> None:
    """Late confirms in any order: the client's set of what is outstanding fits each frame (as the endpoints' does)."""
    core = Broker()
    core.declare_queue(QueueSpec("slow", confirm_on_ack=True))
    client, consumer = Client(core).open(), Client(core).open()
    client.send(commands.Confirm.Select(nowait=True), *[f for _ in range(12) for f in publish(b"x", "slow")])
    tags = [f.delivery_tag for f in consumer.send(commands.Basic.Consume(0, "slow")) if f.name == "Basic.Deliver"]
    outstanding = set(range(1, 13))
    settled = set()
    for index, ok, flush in answers:
        if tags[index] in settled:
            continue
        settled.add(tags[index])
        consumer.send(commands.Basic.Ack(tags[index]) if ok else commands.Basic.Nack(tags[index], requeue=False))
        for answer in client.answers() if flush else []:
            _take(outstanding, answer)
    for answer in client.answers():
        _take(outstanding, answer)
    assert {n for n in range(1, 13) if tags[n - 1] not in settled} == outstanding


def _take(outstanding: set[int], answer: object) -> None:
    assert answer.delivery_tag in outstanding
    if answer.multiple:
        outstanding -= {tag for tag in outstanding if tag < answer.delivery_tag}
    outstanding.remove(answer.delivery_tag)


def test_a_body_that_is_too_large_costs_the_channel() -> None:
    client = Client(max_body=10).open()
    (close,) = client.send(*publish(b"x" * 11))
    assert (close.name, close.reply_code) == ("Channel.Close", 311)
    client.send(*publish(b"ignored"), commands.Channel.CloseOk())
    client.send(commands.Channel.Open(), *publish(b"x" * 10))
    assert client.core.depth("work") == 1


def test_many_large_messages_that_never_end_cost_the_connection() -> None:
    client = Client(max_body=10).open()
    unfinished = publish(b"x" * 10)[:2]
    for number in range(2, 5):
        client.send(commands.Channel.Open(), channel=number)
        assert client.send(*unfinished, channel=number) == []
    assert client.send(*publish(b"x" * 10)[2:], channel=4) == []  # one is finished, and another begun
    assert client.core.depth("work") == 1
    assert client.send(*unfinished, channel=4) == []
    client.send(commands.Channel.Open(), channel=5)
    (close,) = client.send(*unfinished, channel=5)
    assert (close.name, close.reply_code) == ("Connection.Close", 506)


def test_frames_are_no_longer_than_agreed() -> None:
    client = Client().open()
    client.send(*publish(b"x" * 100_000))
    small = Client(client.core)
    small.raw(b"AMQP\x00\x00\x09\x01")
    small.send(start_ok(), channel=0)
    small.peer.authenticated(EVERYTHING, 0)
    small.answers()
    small.send(commands.Connection.TuneOk(0, 4096, 0), commands.Connection.Open("/"), channel=0)
    answers = small.send(commands.Channel.Open(), commands.Basic.Consume(0, "work"))
    bodies = [answer.value for answer in answers if answer.name == "ContentBody"]
    assert max(map(len, bodies)) == 4096 - 8
    assert b"".join(bodies) == b"x" * 100_000


# Consuming


def test_consume_ok_comes_before_the_first_delivery() -> None:
    client = Client().open()
    client.send(*publish(b"a"))
    answers = client.send(commands.Basic.Consume(0, "work", "me"))
    assert names(answers) == ["Basic.ConsumeOk", "Basic.Deliver", "ContentHeader", "ContentBody"]
    assert answers[0].consumer_tag == "me"


def test_nothing_is_delivered_after_cancel_ok() -> None:
    client = Client().open()
    client.send(commands.Basic.Consume(0, "work", "me"))
    answers = client.send(*publish(b"a"), commands.Basic.Cancel("me"))
    assert names(answers) == ["Basic.CancelOk"]
    assert client.core.depth("work") == 1


def test_cancel_without_waiting_and_close() -> None:
    client = Client().open()
    client.send(commands.Basic.Consume(0, "work", "me"), *publish(b"a"))
    answers = client.send(commands.Basic.Cancel("me", nowait=True), commands.Channel.Close(200, "bye", 0, 0))
    assert names(answers) == ["Channel.CloseOk"]
    assert client.core.depth("work") == 1


def test_a_number_may_be_used_again_after_its_channel_closed() -> None:
    client = Client().open()
    client.send(commands.Channel.Close(200, "bye", 0, 0))
    (ok,) = client.send(commands.Channel.Open())
    assert ok.name == "Channel.OpenOk"


@pytest.mark.parametrize("wanted", [True, False])
def test_a_deleted_queue_is_told_to_those_who_want_to_hear(wanted: bool) -> None:
    client = Client()
    client.raw(b"AMQP\x00\x00\x09\x01")
    client.send(start_ok({"consumer_cancel_notify": wanted}), channel=0)
    client.peer.authenticated(EVERYTHING, 0)
    client.send(commands.Connection.TuneOk(0, 0, 0), commands.Connection.Open("/"), channel=0)
    client.send(commands.Channel.Open(), commands.Basic.Consume(0, "work", "me"))
    client.core.delete_queue("work")
    assert names(client.answers()) == (["Basic.Cancel"] if wanted else [])


def test_a_full_socket_gets_nothing_more() -> None:
    client = Client().open()
    client.send(commands.Basic.Consume(0, "work"))
    client.peer.pause()
    client.send(*publish(b"a"))
    assert client.core.depth("work") == 1
    client.peer.resume()
    assert names(client.answers())[0] == "Basic.Deliver"


def test_a_backlog_is_written_in_pieces() -> None:
    client = Client().open()
    for _ in range(40):
        client.send(*publish(b"x" * 100_000))
    client.peer.receive(frame.marshal(commands.Basic.Consume(0, "work"), 1), 0)
    sizes = []
    while data := client.peer.data_to_send(0):
        sizes.append(len(data))
        client.peer.written()
    assert sum(sizes) > 4_000_000
    assert max(sizes) < 1_000_000


def test_flow_stops_and_goes_on() -> None:
    client = Client().open()
    client.send(commands.Basic.Consume(0, "work"), commands.Channel.Flow(False))
    assert client.send(*publish(b"a")) == []
    answers = client.send(commands.Channel.Flow(True))
    assert names(answers)[:2] == ["Channel.FlowOk", "Basic.Deliver"]


def test_recover_gives_everything_again() -> None:
    client = Client().open()
    client.send(commands.Basic.Consume(0, "work"), *publish(b"a"), *publish(b"b"))
    answers = client.send(commands.Basic.Recover(True))
    deliveries = [a for a in answers if a.name == "Basic.Deliver"]
    assert [d.redelivered for d in deliveries] == [True, True]
    assert [a.value for a in answers if a.name == "ContentBody"] == [b"a", b"b"]


# Faults


@pytest.mark.parametrize(
    ("method", "code"),
    [
        (commands.Basic.Consume(0, "missing"), 404),
        (commands.Basic.Get(0, "missing"), 404),
        (commands.Queue.Declare(0, "missing", passive=True), 404),
        (commands.Exchange.Declare(0, "missing", passive=True), 404),
        (commands.Basic.Ack(1), 406),
        (commands.Basic.Nack(1, multiple=True), 406),
        (commands.Basic.Reject(1), 406),
        (commands.Queue.Declare(0, "new"), 403),
        (commands.Queue.Declare(0, "work"), 403),
        (commands.Exchange.Declare(0, "new"), 403),
        (commands.Queue.Bind(0, "work", "results", "#"), 403),
        (commands.Queue.Unbind(0, "work", "results", "#"), 403),
        (commands.Queue.Purge(0, "work"), 403),
        (commands.Queue.Delete(0, "work"), 403),
        (commands.Exchange.Delete(0, "results"), 403),
        (commands.Exchange.Bind(0, "results", "results", "#"), 403),
    ],
)
def test_faults_that_cost_the_channel(method: object, code: int) -> None:
    client = Client().open()
    (close,) = client.send(method)
    assert (close.name, close.reply_code) == ("Channel.Close", code)
    assert (close.class_id << 16 | close.method_id) == method.index
    assert client.send(commands.Basic.Consume(0, "work")) == []  # not before it has agreed
    client.send(commands.Channel.CloseOk())
    (ok,) = client.send(commands.Channel.Open())
    assert ok.name == "Channel.OpenOk"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([commands.Basic.Qos(0, 10, True)], 540),
        ([commands.Basic.Qos(1000, 0)], 540),
        ([commands.Tx.Select()], 540),
        ([commands.Basic.Recover(False)], 540),
        ([commands.Basic.Publish(0, "", "work", False, True)], 540),
        ([b"\x01\x00\x01\x00\x00\x00\x04\x00\xff\x00\xff\xce"], 540),
        ([commands.Basic.ConsumeOk("x")], 503),
        ([commands.Channel.Open()], 503),
        ([b"\x01\x00\x01\x00\x00\x00\x02\x00\x3c\xce"], 502),
        ([b"\x01\x00\x01\x00\x00\x00\x06\x00\x3c\x00\x28\x00\x00\xce"], 502),
        ([b"\x01\x00\x01\x00\x00\x00\x06\x00\x3c\x00\x50\x00\x00\xce"], 502),
        ([b"\x01\x00\x01\x00\x00\x00\x06\x00\x3c\x00\x14\x00\x00\xce"], 502),
        ([commands.Basic.Consume(0, "work", "x"), commands.Basic.Consume(0, "work", "x")], 530),
        ([body.ContentBody(b"x")], 505),
        ([header.ContentHeader(0, 1, commands.Basic.Properties())], 505),
        ([commands.Basic.Publish(0, "", "work"), commands.Basic.Ack(1)], 505),
        ([*publish(b"1234")[:2], body.ContentBody(b"12345")], 501),
        ([b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x28\xff"], 501),
        ([b"\x01\x00\x01\xff\xff\xff\xff"], 501),
        ([b"\x07\x00\x01\x00\x00\x00\x00\xce"], 501),
    ],
)
def test_faults_that_cost_the_connection(frames: list[object], code: int) -> None:
    client = Client().open()
    close = client.send(*frames)[-1]
    assert (close.name, close.reply_code) == ("Connection.Close", code)
    assert client.peer.state is State.CLOSING
    client.peer.tick(0)
    client.peer.tick(10)  # it does not answer
    assert client.peer.over


@pytest.mark.parametrize("number", [2, 0xFFFF])
def test_a_channel_that_is_not_open(number: int) -> None:
    client = Client().open()
    (close,) = client.send(*publish(b"a"), channel=number)
    assert (close.name, close.reply_code) == ("Connection.Close", 504)


def test_more_channels_than_agreed() -> None:
    client = Client(channel_max=3).open()
    assert names(client.send(commands.Channel.Open(), channel=3)) == ["Channel.OpenOk"]
    (close,) = client.send(commands.Channel.Open(), channel=4)
    assert close.reply_code == 504


def test_both_close_a_channel_at_once() -> None:
    client = Client().open()
    client.send(commands.Basic.Ack(1))
    assert names(client.send(commands.Channel.Close(200, "bye", 0, 0))) == ["Channel.CloseOk"]
    client.send(commands.Channel.CloseOk())
    assert names(client.send(commands.Channel.Open())) == ["Channel.OpenOk"]


def test_what_is_said_fits_in_a_short_string() -> None:
    client = Client().open()
    (close,) = client.send(commands.Basic.Consume(0, "q" * 250))
    assert len(close.reply_text.encode()) <= 255
    assert close.reply_text.startswith("NOT_FOUND - ")


def test_revoked() -> None:
    client = Client().open()
    client.send(commands.Basic.Consume(0, "work"), *publish(b"a"))
    client.send(*publish(b"b"))
    assert client.core.drop("root", "revoked") == 1
    assert client.core.depth("work") == 2
    assert client.woken
    (close,) = client.answers()
    assert (close.name, close.reply_code) == ("Connection.Close", 320)
    assert client.send(*publish(b"c")) == []
    assert client.core.depth("work") == 2
    client.send(commands.Connection.CloseOk(), channel=0)
    assert client.peer.over


def test_the_broker_says_goodbye() -> None:
    client = Client().open()
    client.peer.close(Reply.CONNECTION_FORCED, "shutting down", 0)
    (close,) = client.answers()
    assert close.reply_code == 320
    client.send(commands.Connection.CloseOk(), channel=0)
    assert client.peer.over


def test_the_client_says_goodbye() -> None:
    client = Client().open()
    client.send(commands.Basic.Consume(0, "work"), *publish(b"a"))
    (ok,) = client.send(commands.Connection.Close(200, "bye", 0, 0), channel=0)
    assert ok.name == "Connection.CloseOk"
    assert client.peer.over
    assert client.core.depth("work") == 1


# Nonsense


def _session() -> bytes:
    """Everything that a client may say in an ordinary life, after the handshake."""
    frames = [
        commands.Confirm.Select(nowait=True),
        commands.Exchange.Declare(0, "results", passive=True),
        commands.Queue.Declare(0, "work", passive=True),
        commands.Basic.Qos(0, 3),
        commands.Basic.Consume(0, "work", "me", exclusive=True),
        *publish(b"a"),
        *publish(b"", "e.results", "results", mandatory=True),
        *publish(b"b" * 3000, "nobody", mandatory=True),
        commands.Basic.Ack(1),
        commands.Basic.Nack(2, requeue=True),
        commands.Basic.Get(0, "work", True),
        commands.Basic.Cancel("me"),
        *publish(b"c"),
        commands.Channel.Close(200, "", 0, 0),
    ]
    return b"".join(marshal(value, 1) for value in frames) + frame.marshal(heartbeat.Heartbeat(), 0)


SESSION = _session()


def _fed(chunks: list[bytes]) -> tuple[bytes, int, State]:
    client = Client().open()
    out = b""
    for chunk in chunks:
        client.peer.receive(chunk, 0)
    out += client.peer.data_to_send(0)
    return out, client.core.depth("work"), client.peer.state


def _cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in at}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.integers(0, len(SESSION)), max_size=60))
def test_chunks_do_not_matter(at: list[int]) -> None:
    assert _fed(_cut(SESSION, at)) == _fed([SESSION])


def test_byte_by_byte() -> None:
    assert _fed([bytes((byte,)) for byte in SESSION]) == _fed([SESSION])


def _is_unharmed(core: Broker) -> None:
    """Others still publish and consume, and nothing is lost or doubled."""
    core.declare_queue(QueueSpec("other"))
    other = Client(core).open()
    answers = other.send(commands.Basic.Consume(0, "other"), *publish(b"still", "other"))
    assert [a.value for a in answers if a.name == "ContentBody"] == [b"still"]
    waiting = core.depth("work")
    (got,) = (a for a in other.send(commands.Queue.Declare(0, "work", passive=True)))
    assert (got.message_count, got.consumer_count) == (waiting, core.consumers("work"))


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, len(SESSION)))
def test_random_bytes_after_a_good_start(junk: bytes, upto: int) -> None:
    client = Client().open()
    client.peer.receive(SESSION[:upto] + junk, 0)
    client.peer.data_to_send(0)
    client.peer.written()
    client.peer.lost()
    _is_unharmed(client.core)
    assert client.core.consumers("work") == 0


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes_from_the_start(junk: bytes) -> None:
    client = Client()
    client.peer.receive(junk, 0)
    client.peer.receive(b"AMQP\x00\x00\x09\x01" + junk, 0)
    client.peer.data_to_send(0)
    _is_unharmed(client.core)


@settings(max_examples=500)
@given(st.integers(0, 2**32))
def test_flipped_bytes(seed: int) -> None:
    """A session with a few bytes changed: it ends or goes on, and never raises."""
    rng = random.Random(seed)
    data = bytearray(SESSION)
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    client = Client().open()
    for chunk in _cut(bytes(data), [rng.randrange(len(data)) for _ in range(3)]):
        client.peer.receive(chunk, 0)
        client.peer.data_to_send(0)
        client.peer.written()
    client.peer.lost()
    _is_unharmed(client.core)


@settings(max_examples=300)
@given(st.sampled_from(sorted(commands.INDEX_MAPPING)), st.binary(max_size=60), st.integers(0, 2))
def test_any_method_with_any_arguments(index: int, arguments: bytes, channel: int) -> None:
    client = Client().open()
    payload = index.to_bytes(4) + arguments
    framed = bytes((1,)) + channel.to_bytes(2) + len(payload).to_bytes(4) + payload + b"\xce"
    client.peer.receive(framed, 0)
    client.peer.data_to_send(0)
    client.peer.written()
    client.peer.lost()
    _is_unharmed(client.core)


def test_a_method_with_huge_arguments_is_not_even_read() -> None:
    client = Client().open()
    payload = commands.Basic.Consume.index.to_bytes(4) + bytes(100_000)
    (close,) = client.raw(b"\x01\x00\x01" + len(payload).to_bytes(4) + payload + b"\xce")
    assert close.reply_code == 502
