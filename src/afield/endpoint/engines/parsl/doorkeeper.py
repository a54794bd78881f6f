"""The engine's end of the control channel: lets workers in that know the secret, and passes on what they say.

A worker that ends without a word has died: its kernel closes the connection. One whose connection breaks in any other
way may live on, and comes again with its next bundle.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from afield.errors import ConfigurationError
from afield.worker.bundle_channel import anonymous_tls
from afield.worker.bundle_records import Door, Introduction, Say, proof
from afield.worker.frames import BODY_MOST, Frames, header

__all__ = ["Doorkeeper", "Guest", "Host"]

logger = logging.getLogger("afield.endpoint")

#: Seconds that a stranger may take to introduce itself.
_INTRODUCED_WITHIN_S: Final = 15.0
#: Bytes of a stranger's introduction.
_INTRODUCTION_MOST: Final = 4096
#: How many strangers may stand at the door; the one who stands there longest goes for the next one.
_STRANGERS_MOST: Final = 256
_introduction = msgspec.msgpack.Decoder(Introduction).decode


class Host(Protocol):
    """Who is told. All are called by the event loop."""

    def guest_came(self, guest: Guest) -> None:
        """A worker has introduced itself."""

    def guest_said(self, guest: Guest, word: int, body: bytes) -> None:
        """It said this."""

    def guest_left(self, guest: Guest, *, died: bool) -> None:
        """Its connection has ended.

        :param died: and so has its process
        """


class Guest(asyncio.Protocol):
    """One worker's connection."""

    def __init__(self, keeper: Doorkeeper, number: int) -> None:
        #: its name among all that ever came
        self.number = number
        #: who it is, once it has proved that it belongs here
        self.who: Introduction | None = None
        self._keeper = keeper
        self._frames = Frames(_INTRODUCTION_MOST)
        self._nonce = os.urandom(16)
        self._closing = False
        self._late: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def say(self, word: Say, body: bytes) -> None:
        """Say one thing, if it still listens."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(header(len(body), word) + body)

    def close(self) -> None:
        """End the connection."""
        self._closing = True
        if self._late is not None:
            self._late.cancel()
        if self._transport is not None:
            self._transport.abort()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody knocks."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._keeper.knocked(self)
        connection = transport.get_extra_info("socket")
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._late = asyncio.get_running_loop().call_later(_INTRODUCED_WITHIN_S, self.close)
        self.say(Say.CHALLENGE, self._nonce)

    def data_received(self, data: bytes) -> None:
        """It said something."""
        if self.who is None and len(data) > _INTRODUCTION_MOST:
            self.close()
            return
        while data:
            space = self._frames.space()
            count = min(len(space), len(data))
            space[:count] = data[:count]
            space.release()
            data = data[count:]
            try:
                frames = self._frames.filled(count)
                for word, body in frames:
                    self._heard(word, body)
            except (ValueError, msgspec.MsgspecError) as error:
                self._keeper.complain(str(error))
                self.close()
                return

    def eof_received(self) -> None:
        """It closed its end, or its process has ended. (None: the transport closes itself.)"""

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has ended."""
        self._keeper.gone(self)
        if self._late is not None:
            self._late.cancel()
        if self.who is not None:
            died = not self._closing and (error is None or isinstance(error, ConnectionResetError))
            self._keeper.host.guest_left(self, died=died)

    def _heard(self, word: int, body: bytes) -> None:
        if self.who is None:
            self._introduce(word, body)
        elif word == Say.BYE:
            self._closing = True
        elif not self._closing:
            self._keeper.host.guest_said(self, word, body)

    def _introduce(self, word: int, body: bytes) -> None:
        """Nobody is listened to who does not know the secret."""
        who = _introduction(body) if word == Say.HELLO else None
        tie = self._tie()
        secret = self._keeper.secret
        if who is None or not _same(who.proof, proof(secret, b"worker", self._nonce, who.nonce, tie)):
            raise ValueError("it does not know the secret")
        assert self._late is not None
        self._late.cancel()
        self.who = who
        self._frames.most = BODY_MOST
        self._keeper.strangers.pop(self, None)
        self.say(Say.WELCOME, proof(secret, b"engine", self._nonce, who.nonce, tie))
        self._keeper.host.guest_came(self)

    def _tie(self) -> bytes:
        """What both ends know of this connection and nobody in between."""
        assert self._transport is not None
        tls = self._transport.get_extra_info("ssl_object")
        return (tls.get_channel_binding("tls-unique") or b"") if tls is not None else b""


class Doorkeeper:
    """Listens for workers.

    :param host: is told what they say
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.secret = os.urandom(32)
        self.guests: set[Guest] = set()
        #: those of them who have not introduced themselves, the first to come first
        self.strangers: dict[Guest, None] = {}
        self._shown_out = 0
        self._server: asyncio.Server | None = None
        self._count = 0

    async def open(
        self, *, bind: str | None, addresses: Sequence[str], ports: tuple[int, int], encrypted: bool
    ) -> Door | str:
        """Listen.

        :param bind: where; None: everywhere
        :param addresses: by which workers may reach it
        :param ports: on one of these, from and up to but without
        :param encrypted: nothing is said in the clear
        :returns: what workers need to know; or for people, why there can be no channel
        :raises ConfigurationError: no port is free
        """
        context = None
        if encrypted:
            try:
                context = anonymous_tls(server=True)
            except ssl.SSLError as error:
                return f"this machine's OpenSSL offers no encryption without certificates ({error})"
        port = await self._listen(bind, ports, context)
        return Door(tuple(addresses), port, self.secret, encrypted)

    async def close(self) -> None:
        """Listen no more, and let everybody go."""
        if self._server is not None:
            self._server.close()
        for guest in tuple(self.guests):
            guest.close()
        if self._server is not None:
            await self._server.wait_closed()
            # The transports let go of their sockets in the next turn of the loop.
            await asyncio.sleep(0)

    async def _listen(self, bind: str | None, ports: tuple[int, int], context: ssl.SSLContext | None) -> int:
        loop = asyncio.get_running_loop()
        first, behind = ports
        wanted = list(range(first, max(behind, first + 1)))
        random.shuffle(wanted)
        refused: OSError | None = None
        for port in wanted:
            try:
                self._server = await loop.create_server(
                    self._guest,
                    bind,
                    port,
                    ssl=context,
                    ssl_handshake_timeout=_INTRODUCED_WITHIN_S if context is not None else None,
                )
            except OSError as error:
                refused = error
            else:
                return port
        raise ConfigurationError(
            f"no port of engine.worker_port_range ({first} to {behind}) is free for workers to connect to: {refused}"
        )

    def knocked(self, guest: Guest) -> None:
        """Somebody is at the door. Whoever can reach this machine may knock, as often as they like."""
        self.guests.add(guest)
        self.strangers[guest] = None
        if len(self.strangers) > _STRANGERS_MOST:
            first = next(iter(self.strangers))
            del self.strangers[first]
            first.close()

    def gone(self, guest: Guest) -> None:
        """A connection has ended."""
        self.guests.discard(guest)
        self.strangers.pop(guest, None)

    def complain(self, why: str) -> None:
        """Somebody is shown out. The log is not to be filled by that: it is told of the 1st, 2nd, 4th, 8th, …"""
        self._shown_out += 1
        if self._shown_out & (self._shown_out - 1) == 0:
            logger.warning(
                "a connection to the workers' port was closed, for it is not a worker's: %s (number %d of them)",
                why,
                self._shown_out,
            )

    def _guest(self) -> Guest:
        self._count += 1
        return Guest(self, self._count)


def _same(one: bytes, other: bytes) -> bool:
    import hmac

    return hmac.compare_digest(one, other)
