"""The embedded broker: sockets around the protocol, and the ways in for the program that carries it."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol, cast

from afield.broker.base import Authenticate, Permissions, Properties
from afield.broker.embedded import properties
from afield.broker.embedded.admin import CoreAdmin
from afield.broker.embedded.connection import Peer
from afield.broker.embedded.core import Broker
from afield.broker.embedded.door import Door
from afield.broker.embedded.local import EVERYTHING, LocalConnection
from afield.broker.embedded.offer import Settings
from afield.broker.embedded.party import MOST_BYTES
from afield.broker.embedded.queues import Message, Session
from afield.broker.embedded.replies import Reply
from afield.errors import WireError

__all__ = ["EmbeddedBroker", "Reader", "Settled"]

logger = logging.getLogger("afield.broker")

#: How often the clock is looked at: heartbeats, and peers that let us wait.
_TICK_S: Final = 1.0
#: A peer that lets this much wait to be read is not listened to until it has read it; else its own requests (confirms,
#: returned messages) would fill our memory.
_DEAF_BYTES: Final = 8 * 1024 * 1024
#: How long peers may take to agree to a Close when the broker closes.
_FAREWELL_S: Final = 2.0
#: How long, when the broker closes, peers are given to acknowledge what they have. The published ones look twice a
#: second for what is to be acknowledged, and take a connection that ends in between badly: clients stumble over what
#: they could not acknowledge, endpoints run it again.
_LAST_ACKS_S: Final = 1.0
#: How often it is said that peers were sent away.
_SAY_S: Final = 60.0


class Reader(Protocol):
    """A peer's connection, as others may look at it."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A message that a peer has acknowledged.

    :param reader: the peer's connection
    """

    body: bytes
    properties: Properties
    reader: Reader | None = None


class EmbeddedBroker(CoreAdmin):
    """An AMQP 0-9-1 broker in this process and event loop: a :class:`~afield.broker.base.BrokerAdmin` with a door.

    ::

        broker = EmbeddedBroker(authenticate)
        await broker.declare_exchange("tasks", "direct")
        port = await broker.listen("127.0.0.1", 0)
        ...
        await broker.close()

    :param authenticate: who is this
    :param heartbeat_s: what peers are asked for; one that is silent for twice as long is dropped; 0: no heartbeats
    :param frame_max: longest frame in bytes
    :param max_body: longest message body in bytes
    :param handshakes: connections that may be there without having logged in; one more is hung up on at once. Each has
        ten seconds for it
    :param handshakes_per_address: the same, from one address
    :param connections: of one party that have logged in, at once; one more is told so; 0: any number
    :param most_owed: bytes of its messages that one party may have here, not yet acknowledged by who reads them, before
        it is not listened to
    :param clock: seconds of any steady clock
    :param on_settled: called in the event loop when a peer has acknowledged messages of a queue, with its name and the
        messages in order. Must not wait, raise, or call the broker.
    """

    def __init__(
        self,
        authenticate: Authenticate,
        *,
        heartbeat_s: int = 60,
        frame_max: int = 131_072,
        max_body: int = 64 * 1024 * 1024,
        handshakes: int = 1_000,
        handshakes_per_address: int = 200,
        connections: int = 0,
        most_owed: int = MOST_BYTES,
        clock: Callable[[], float] = monotonic,
        on_settled: Callable[[str, list[Settled]], None] | None = None,
    ) -> None:
        super().__init__(Broker(most_owed=most_owed))
        self.on_settled = on_settled
        self._authenticate = authenticate
        self._settings = Settings(
            heartbeat_s=heartbeat_s, frame_max=frame_max, max_body=max_body, connections=connections
        )
        self.clock = clock
        self._door = Door(handshakes, handshakes_per_address)
        self._sent_away = 0
        self._say_at = clock()
        self._servers: list[asyncio.Server] = []
        self._sockets: set[_Socket] = set()
        self._local: list[LocalConnection] = []
        self._ticking: asyncio.TimerHandle | None = None
        # Done when the last socket is gone, or the last handshake is over; made when somebody waits.
        self._waiting: asyncio.Event | None = None

    @property
    def on_settled(self) -> Callable[[str, list[Settled]], None] | None:
        """See the class; may be set later, before peers come."""
        return self._on_settled

    @on_settled.setter
    def on_settled(self, hook: Callable[[str, list[Settled]], None] | None) -> None:
        self._on_settled = hook
        self._core.on_settled = None if hook is None else self._settled

    async def listen(self, host: str, port: int, ssl: ssl.SSLContext | None = None) -> int:
        """Accept peers.

        :param port: 0: any free one
        :param ssl: for ``amqps``
        :returns: the port
        :raises OSError: it is taken, or not ours to take
        """
        loop = asyncio.get_running_loop()
        patience_s = None if ssl is None else self._settings.patience_s
        server = await loop.create_server(
            self._accept, host, port, ssl=ssl, backlog=1024, ssl_handshake_timeout=patience_s
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def stop_listening(self) -> None:
        """Accept nobody any more; who is here may stay."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def close(self) -> None:
        """Stop listening, then end all connections in good order. Twice is fine.

        Peers that are just logging in are let in first: an end in that moment would read as a wrong password, which is
        final for them. Whoever has something to acknowledge may do so. And whoever waits for a confirm is told that
        there is none: published endpoints keep a result that was refused, and forget one of which they hear nothing.
        """
        await self.stop_listening()
        await self._wait_until(lambda: not any(s.peer.in_handshake for s in self._sockets))
        self._core.hush()
        await self._wait_until(lambda: not self._core.owed(), _LAST_ACKS_S)
        self._core.refuse()
        await asyncio.sleep(0)  # the sockets' turn to write that
        for socket in list(self._sockets):
            socket.say_goodbye()
        await self._wait_until(lambda: not self._sockets)
        for socket in list(self._sockets):
            socket.abort()
        for connection in self._local:
            await connection.close()
        self._local.clear()
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def connect_local(self, permissions: Permissions = EVERYTHING) -> LocalConnection:
        """A connection within this process, with all rights unless said otherwise."""
        self._local = [connection for connection in self._local if not connection.closed.done()]
        connection = LocalConnection(
            self._core,
            permissions,
            write_properties=properties.encode,
            read_properties=_read,
        )
        self._local.append(connection)
        return connection

    # For its sockets

    def _accept(self) -> _Socket:
        return _Socket(self, self._core, self._settings, self._authenticate)

    def joined(self, socket: _Socket) -> None:
        """A peer has come."""
        if not self._door.come(socket.address):
            self._send_away(socket)
            return
        socket.at_the_door = True
        self._sockets.add(socket)
        if not self._servers:
            # It was accepted in the moment in which we stopped. Before Start, an end means "come again".
            socket.abort()
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def changed(self, socket: _Socket) -> None:
        """A peer has gone, or said something."""
        if socket.at_the_door and (socket.gone or socket.peer.inside):
            socket.at_the_door = False
            self._door.leave(socket.address)
        if socket.gone:
            self._sockets.discard(socket)
        if self._waiting is not None:
            self._waiting.set()

    def _send_away(self, socket: _Socket) -> None:
        socket.abort()
        self._sent_away += 1
        if self.clock() >= self._say_at:
            logger.warning(
                "hung up on %d connections since this was last said, the latest from %s: too many wait to log in",
                self._sent_away,
                socket.address,
            )
            self._sent_away, self._say_at = 0, self.clock() + _SAY_S

    def _tick(self) -> None:
        self._ticking = None
        for socket in list(self._sockets):
            socket.tick()
        if self._sockets:
            self._ticking = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    async def _wait_until(self, condition: Callable[[], bool], seconds: float = _FAREWELL_S) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._waiting = asyncio.Event()
                    await self._waiting.wait()
        except TimeoutError:
            logger.info("some peers took longer than %g s, and are not waited for", seconds)

    def _settled(self, queue: str, messages: list[Message], reader: Session) -> None:
        assert self._on_settled is not None
        settled = []
        for message in messages:
            try:
                settled.append(Settled(message.body, _read(message.properties), reader))
            except WireError:
                # Peers wrote and peers read it; it cannot be one of those that the hook is for.
                settled.append(Settled(message.body, Properties(), reader))
        self._on_settled(queue, settled)


def _read(raw: object) -> Properties:
    return properties.decode(cast("bytes", raw))


class _Socket(asyncio.Protocol):
    """Moves bytes between a transport and a :class:`Peer`; one write for each turn of the event loop."""

    def __init__(self, broker: EmbeddedBroker, core: Broker, settings: Settings, authenticate: Authenticate) -> None:
        self._broker = broker
        self._authenticate = authenticate
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._login: asyncio.Task[None] | None = None
        self._flushing = False
        self.gone = False
        #: counted among those that have not logged in
        self.at_the_door = False
        #: where it comes from
        self.address = ""
        self._clock = broker.clock
        self.peer = Peer(core, settings, self._wake, self._clock())

    # From the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peername = transport.get_extra_info("peername")
        self.address = str(peername[0]) if peername else ""  # gone already
        self._broker.joined(self)

    def data_received(self, data: bytes) -> None:
        self.peer.receive(data, self._clock())
        self._broker.changed(self)
        login = self.peer.take_login()
        if login is not None:
            self._login = self._loop.create_task(self._check(*login))
        self._wake()

    def eof_received(self) -> bool:
        return False  # hang up as well

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.gone = True
        if self._login is not None:
            self._login.cancel()
        self.peer.lost()
        self._broker.changed(self)

    def pause_writing(self) -> None:
        self.peer.pause()

    def resume_writing(self) -> None:
        self.peer.resume()
        self._listen()

    # From the broker

    def tick(self) -> None:
        """Look at the clock."""
        if self.peer.over:
            # It had a whole tick to take our last words.
            self.abort()
            return
        self.peer.tick(self._clock())
        self._wake()

    def say_goodbye(self) -> None:
        """End it in good order."""
        self.peer.close(Reply.CONNECTION_FORCED, "the broker is shutting down", self._clock())
        self._wake()

    def abort(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()

    # Inside

    async def _check(self, login: str, password: str) -> None:
        try:
            permissions = await self._authenticate(login, password)
        except Exception:
            # It promised not to. Whatever we say now, the peer hears "wrong password"; at least say it here.
            logger.exception("login %.100r could not be checked", login)
            self.abort()
            return
        if permissions is None:
            logger.warning("login %.100r was refused", login)
        self.peer.authenticated(permissions, self._clock())
        self._wake()
        self._broker.changed(self)

    def _wake(self) -> None:
        if not self._flushing and not self.gone:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        transport = self._transport
        if self.gone or transport is None:
            return
        data = self.peer.data_to_send(self._clock())
        if data:
            transport.write(data)
        if self.peer.over:
            transport.close()
            return
        self.peer.written()
        self._listen()

    def _listen(self) -> None:
        """Read what comes, or, for now, do not."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self.peer.held or transport.get_write_buffer_size() > _DEAF_BYTES:
            transport.pause_reading()
        else:
            transport.resume_reading()
