"""PURE: one peer's AMQP connection: bytes in, bytes out, and everything that the protocol allows in between.

::

    HEADER ──"AMQP 0 0 9 1"──▶ STARTING ──StartOk──▶ CHECKING ──authenticated()──▶ TUNING ──TuneOk──▶ OPENING
       who comes from this side may be let down         │ refused                                        │ Open
                                                        ▼                                                ▼
                     OVER ◀──CloseOk or time── CLOSING ◀────────── fault, close(), revoked ───────────  OPEN

Rules
    1. A peer's fault costs the peer its channel or its connection, never anybody else anything.
    2. Nothing here waits or looks at a clock: times are handed in (seconds of any steady clock).
    3. What others do for this peer (deliveries, late confirms) is in its session's outbox; it becomes bytes only in
       :meth:`Peer.data_to_send`, so that one turn of the event loop is one write.
    4. Between Start and Tune a client takes every end of the connection for "wrong password" and gives up for good
       (reference: the published wire contract, section 4.3). So nothing but that, or a fault of its own, ends it there.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

from pamqp import commands

from afield.broker.base import Permissions
from afield.broker.embedded import frames
from afield.broker.embedded.channel import PeerChannel, WireConsumer
from afield.broker.embedded.core import Broker
from afield.broker.embedded.frames import FrameReader, Malformed
from afield.broker.embedded.offer import Introduction, Settings, Terms, start
from afield.broker.embedded.queues import Cancelled, Confirmed, Deliver, Dropped, Effect, Session
from afield.broker.embedded.replies import Reply

__all__ = ["Peer", "State"]

#: Longest frame before a peer is known. RabbitMQ has 4096, which long tokens as passwords exceed.
_FIRST_FRAME_MAX: Final = 16 * 1024
#: How many times the largest message a party may have begun and not finished, on all its channels together. Peers that
#: mean well publish on one.
_MANY_CHANNELS: Final = 3
#: Frames that a peer may send ahead while its login is being checked; well-meaning ones send none.
_HELD_MAX: Final = 16


class State(Enum):
    """Where a connection is; see the drawing above."""

    HEADER = auto()
    STARTING = auto()
    CHECKING = auto()
    TUNING = auto()
    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    OVER = auto()


class Peer:
    """One connection.

    Its owner calls :meth:`receive` with what came, asks :meth:`take_login` whether somebody is to be authenticated,
    writes :meth:`data_to_send`, and hangs up when ``state`` is OVER.

    :param wake: called when there is something to send that no call of the owner's has caused
    :param now: seconds of a steady clock
    """

    def __init__(self, core: Broker, settings: Settings, wake: Callable[[], None], now: float) -> None:
        self._core = core
        self._settings = settings
        self._wake = wake
        self.state = State.HEADER
        self.session: Session | None = None
        self._reader = FrameReader(min(settings.frame_max, _FIRST_FRAME_MAX))
        self._first = b""
        self._held: list[tuple[int, int, bytes]] = []
        self._out: list[bytes] = []
        # True: what comes is not looked at any more.
        self._deaf = False
        self._inside = False
        self._login: tuple[str, str] | None = None
        self._introduction = Introduction()
        self._terms = Terms(settings.frame_max, settings.channel_max, heartbeat_s=0)
        self._channels: dict[int, PeerChannel] = {}
        self._received = now
        self._sent = now
        self._deadline: float | None = now + settings.patience_s

    # For the owner

    def receive(self, data: bytes, now: float) -> None:
        """Bytes came."""
        self._received = now
        if self.session is not None and self.session.over and self.state is not State.CLOSING:
            # It was shut out in this turn of the event loop: what it asks for now nobody would ever take back.
            self._perform_all()
        if self.state is State.HEADER:
            data = self._protocol_header(data)
        if self.over or self._deaf:
            return
        try:
            for frame in self._reader.feed(data):
                self._frame(frame)
        except Malformed as fault:
            # Where the next frame begins is anybody's guess now. Its CloseOk is too: it has until the deadline to go.
            self._deaf = True
            self._fail(fault)

    def take_login(self) -> tuple[str, str] | None:
        """User name and password to check now, once; then call :meth:`authenticated`."""
        login, self._login = self._login, None
        return login

    def authenticated(self, permissions: Permissions | None, now: float) -> None:
        """The login was checked: rights, or None."""
        if self.state is not State.CHECKING:
            return
        if permissions is None:
            self._refuse_login()
            return
        self.session = self._core.open_session(permissions, self._wake, peer=True)
        settings = self._settings
        self._send(0, commands.Connection.Tune(settings.channel_max, settings.frame_max, settings.heartbeat_s))
        self.state = State.TUNING
        self._deadline = now + settings.patience_s
        held, self._held = self._held, []
        for frame in held:
            self._frame(frame)

    def data_to_send(self, now: float) -> bytes:
        """Everything that is to be written now."""
        self._perform_all()
        for channel in self._channels.values():
            channel.flush()
        if not self._out:
            return b""
        data = b"".join(self._out)
        # Channels hold on to the list.
        self._out.clear()
        self._sent = now
        return data

    def close(self, code: Reply, reason: str, now: float) -> None:
        """End it in good order: say Close, and let the peer agree. Where that could be misunderstood: just end."""
        if self.state in (State.TUNING, State.OPENING, State.OPEN):
            self._say_close(code, reason)
            self._deadline = now + self._settings.patience_s
        elif self.state is not State.CLOSING:
            self.lost()

    def lost(self) -> None:
        """The socket is gone; what the peer held goes back."""
        self.state = State.OVER
        self._end_session()

    def tick(self, now: float) -> None:
        """Look at the clock; call it every second or so."""
        if self._deadline is None and self.state is State.CLOSING:
            self._deadline = now + self._settings.patience_s
        elif self._deadline is not None and now >= self._deadline:
            self.lost()
        if self.held:
            self._received = now  # it may well talk; we do not listen
        heartbeat_s = self._terms.heartbeat_s
        if heartbeat_s and self.state is State.OPEN:
            if now - self._received > 2 * heartbeat_s:
                self.lost()
            elif now - self._sent >= heartbeat_s / 2:
                self._out.append(frames.HEARTBEAT_FRAME)

    def pause(self) -> None:
        """What was written cannot leave for now: nothing more is delivered."""
        if self.session is not None:
            self.session.paused = True

    def resume(self) -> None:
        """It has left."""
        if self.session is not None:
            self.session.paused = False
            self._core.resume(self.session)

    def written(self) -> None:
        """What :meth:`data_to_send` gave has been written."""
        if self.session is not None:
            self._core.performed(self.session)

    @property
    def over(self) -> bool:
        """Whether the owner is to hang up, after writing what there is to send."""
        return self.state is State.OVER

    @property
    def inside(self) -> bool:
        """Whether it has got in: it has shown who it is, and was told that it is welcome."""
        return self._inside

    @property
    def held(self) -> bool:
        """Whether nothing more of it is to be read for now: its party has sent more than was taken. Only then can it
        send more of it; a handshake, or a farewell, would just run out of time.
        """
        return self.state is State.OPEN and self.session is not None and self.session.party.held

    @property
    def in_handshake(self) -> bool:
        """Whether an end would be taken for a wrong password (rule 4)."""
        return self.state in (State.STARTING, State.CHECKING)

    # Frames

    def _protocol_header(self, data: bytes) -> bytes:
        wanted = len(frames.PROTOCOL_HEADER) - len(self._first)
        self._first += data[:wanted]
        if not frames.PROTOCOL_HEADER.startswith(self._first):
            # The answer to any other protocol is the name of ours (section 2.2.4).
            self._out.append(frames.PROTOCOL_HEADER)
            self.lost()
        elif len(self._first) == len(frames.PROTOCOL_HEADER):
            self._out.append(frames.method(0, start()))
            self.state = State.STARTING
        return data[wanted:]

    def _frame(self, frame: tuple[int, int, bytes]) -> None:
        try:
            self._dispatch(frame)
        except Malformed as fault:
            self._fail(fault)

    def _dispatch(self, frame: tuple[int, int, bytes]) -> None:
        kind, number, payload = frame
        if kind == frames.HEARTBEAT or self.over:
            return
        if self.state is State.CHECKING:
            self._hold(frame)
        elif number == 0:
            self._connection_method(kind, payload)
        elif self.state is State.OPEN:
            self._channel_frame(kind, number, payload)
        elif self.state is not State.CLOSING:
            raise Malformed(Reply.CHANNEL_ERROR, "a channel is used before the connection is open")

    def _hold(self, frame: tuple[int, int, bytes]) -> None:
        if len(self._held) >= _HELD_MAX:
            raise Malformed(Reply.COMMAND_INVALID, "commands before the login was answered")
        self._held.append(frame)

    def _channel_frame(self, kind: int, number: int, payload: bytes) -> None:
        channel = self._channels.get(number)
        if channel is None:
            self._open_channel(kind, number, payload)
            return
        if kind == frames.METHOD:
            channel.method(payload)
            if channel.over:
                del self._channels[number]
        elif kind == frames.HEADER:
            channel.content_header(payload)
            self._check_unfinished()
        else:
            channel.content_body(payload)

    def _check_unfinished(self) -> None:
        # Each may hold a message that has begun, in memory, for as long as its peer likes.
        assert self.session is not None
        if self.session.party.begun > _MANY_CHANNELS * self._settings.max_body:
            raise Malformed(Reply.RESOURCE_ERROR, "too many large messages that were begun and not finished")

    def _open_channel(self, kind: int, number: int, payload: bytes) -> None:
        if kind != frames.METHOD or frames.method_id(payload) != commands.Channel.Open.index:
            raise Malformed(Reply.CHANNEL_ERROR, f"channel {number} is not open")
        most = self._terms.channel_max
        if most and number > most:
            raise Malformed(Reply.CHANNEL_ERROR, f"channel {number} of {most}")
        assert self.session is not None
        self._channels[number] = PeerChannel(
            self._core,
            self.session,
            number,
            self._out,
            frame_max=self._terms.frame_max,
            max_body=self._settings.max_body,
            notify=self._introduction.notify,
        )
        self._out.append(frames.raw_method(number, commands.Channel.OpenOk.index, bytes(4)))

    def _connection_method(self, kind: int, payload: bytes) -> None:
        if kind != frames.METHOD:
            raise Malformed(Reply.UNEXPECTED_FRAME, "content on channel 0")
        if self.state is State.CLOSING:
            self._while_closing(frames.method_id(payload))
            return
        method: Any = frames.decode_method(payload)
        match method:
            case commands.Connection.Close() if self.state is not State.STARTING:
                self._send(0, commands.Connection.CloseOk())
                self.lost()
            case commands.Connection.StartOk() if self.state is State.STARTING:
                self._on_start_ok(method)
            case commands.Connection.TuneOk() if self.state is State.TUNING:
                self._on_tune_ok(method)
            case commands.Connection.Open() if self.state is State.OPENING:
                self._check_room()
                # Any virtual host will do: there is only one, and what it may be called is not worth a failure.
                self._out.append(frames.raw_method(0, commands.Connection.OpenOk.index, b"\x00"))
                self.state = State.OPEN
                self._inside = True
                self._deadline = None
            case _:
                raise Malformed(Reply.COMMAND_INVALID, f"{method.name} is out of place")

    def _while_closing(self, index: int) -> None:
        if index == commands.Connection.CloseOk.index:
            self.lost()
        elif index == commands.Connection.Close.index:
            self._send(0, commands.Connection.CloseOk())
            self.lost()

    def _check_room(self) -> None:
        # Not before: until the client has asked for Open, it would take this for a wrong password (rule 4).
        assert self.session is not None
        party, most = self.session.party, self._settings.connections
        if most and len(party.members) > most:
            raise Malformed(Reply.NOT_ALLOWED, f"{party.name} has {most} connections here, and no more: close some")

    # Handshake

    def _on_start_ok(self, method: commands.Connection.StartOk) -> None:
        self._introduction = Introduction.of(method)
        self.state = State.CHECKING
        self._deadline = None  # the time that a check takes is ours
        self._login = self._introduction.login
        if self._login is None:
            self._refuse_login()

    def _refuse_login(self) -> None:
        if not self._introduction.polite_refusal:
            # What the specification wants: an end without a word.
            self.lost()
            return
        self._say_close(Reply.ACCESS_REFUSED, "login was refused: wrong name or password, or it was revoked")

    def _on_tune_ok(self, method: commands.Connection.TuneOk) -> None:
        self._terms = Terms.of(method, self._settings)
        self._reader.frame_max = self._terms.frame_max
        self.state = State.OPENING

    # The end

    def _fail(self, fault: Malformed) -> None:
        if self.state in (State.HEADER, State.STARTING, State.CHECKING, State.CLOSING):
            # Not yet, or no more, somebody to talk to.
            self.lost()
        else:
            self._say_close(fault.code, fault.text)

    def _say_close(self, code: Reply, reason: str) -> None:
        for channel in self._channels.values():
            channel.flush()
        self._send(0, commands.Connection.Close(code, code.text(reason), 0, 0))
        self.state = State.CLOSING
        self._deadline = None
        self._end_session()

    def _end_session(self) -> None:
        for channel in self._channels.values():
            channel.lost()
        self._channels.clear()
        if self.session is not None:
            self._core.close_session(self.session)

    def _perform_all(self) -> None:
        if self.session is not None and self.session.outbox:
            effects, self.session.outbox = self.session.outbox, []
            for effect in effects:
                self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Deliver(consumer=consumer):
                wire = consumer.owner
                assert isinstance(wire, WireConsumer)
                wire.channel.deliver(effect, wire)
            case Confirmed(token=(PeerChannel() as channel, int(tag))):
                channel.confirmed(tag, ok=effect.ok)
            case Cancelled(consumer=consumer):
                wire = consumer.owner
                assert isinstance(wire, WireConsumer)
                wire.channel.consumer_cancelled(consumer)
            case Dropped(reason=reason):
                self._say_close(Reply.CONNECTION_FORCED, reason)
            case _:
                raise AssertionError(effect)

    def _send(self, channel: int, method: Any) -> None:
        self._out.append(frames.method(channel, method))
