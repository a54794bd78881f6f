"""The worker's end of the control channel: found, proved, read, written. Who says what: ``bundle_records``."""

from __future__ import annotations

import hmac
import os
import select
import socket
import ssl
import sys
import time
from contextlib import suppress
from typing import Final

import msgspec

from afield.worker.bundle_records import Door, Introduction, Say, proof
from afield.worker.frames import BODY_MOST, Frames, header

__all__ = ["Channel", "ChannelLost", "open_channel"]

#: Seconds that the engine may take to be reached, over all addresses.
_REACH_WITHIN_S: Final = 10.0
#: Seconds that it may take for one word of the introduction.
_WORD_WITHIN_S: Final = 10.0
#: Bytes of one word of the introduction.
_WORD_MOST: Final = 4096

_encode = msgspec.msgpack.Encoder().encode


class ChannelLost(Exception):  # noqa: N818 - it is no fault of anybody here
    """The engine is not heard any more; the message says how, for people."""


class Channel:
    """A connection to the engine. One of :func:`open_channel` has proved to be it.

    :param connection: connected
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._frames = Frames(_WORD_MOST)
        self._read: list[tuple[int, bytes]] = []
        self.door: Door | None = None

    def trust(self) -> None:
        """It has proved to be the engine: it may say more at once."""
        self._frames.most = BODY_MOST

    def fileno(self) -> int:
        """For whoever waits."""
        return self._socket.fileno()

    def say(self, word: Say, body: bytes = b"") -> None:
        """Say one thing. It blocks while the engine does not read.

        :raises ChannelLost: the connection is broken
        """
        try:
            self._socket.settimeout(_WORD_WITHIN_S)
            self._socket.sendall(header(len(body), word) + body)
        except OSError as error:
            raise ChannelLost(str(error)) from error

    def heard(self) -> list[tuple[int, bytes]]:
        """What has arrived; does not block.

        :raises ChannelLost: the connection has ended
        """
        found = self._read
        self._read = []
        while (more := self._receive(0)) is not None:
            found += more
        return found

    def wait(self, within_s: float) -> tuple[int, bytes]:
        """The next thing.

        :raises ChannelLost: there was none within so many seconds
        """
        deadline = time.monotonic() + within_s
        while not self._read:
            left = deadline - time.monotonic()
            more = self._receive(left) if left > 0 else None
            if more is None:
                raise ChannelLost(f"the endpoint said nothing for {within_s:g} s")
            self._read = more
        return self._read.pop(0)

    def close(self) -> None:
        """Take leave, so that the engine does not think that this process has ended."""
        with suppress(ChannelLost):
            self.say(Say.BYE)
        self._socket.close()

    def _receive(self, within_s: float) -> list[tuple[int, bytes]] | None:
        """One read; None: there is nothing."""
        try:
            self._socket.settimeout(within_s)
            count = self._socket.recv_into(self._frames.space())
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError as error:
            raise ChannelLost(str(error)) from error
        if not count:
            raise ChannelLost("the endpoint closed the connection")
        try:
            return self._frames.filled(count)
        except ValueError as error:
            raise ChannelLost(f"what answers is not an endpoint: {error}") from error


def open_channel(door: Door) -> Channel:
    """Reach the engine and have it prove that it is the one.

    :raises ChannelLost: it cannot be reached, or it is another
    """
    failures: list[str] = []
    for connection in _connections(door, failures):
        try:
            channel = _introduce(connection, door)
        except (ChannelLost, OSError) as error:
            failures.append(str(error))
            connection.close()
        else:
            channel.door = door
            return channel
    told = "; ".join(dict.fromkeys(failures)) or "nobody answered"
    raise ChannelLost(f"port {door.port} of {', '.join(door.addresses)}: {told}")


def _connections(door: Door, failures: list[str]) -> list[socket.socket]:
    """Those addresses that can be reached, all tried at once, the first to answer first."""
    trying: dict[int, socket.socket] = {}
    poll = select.poll()
    for address in door.addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        one.settimeout(0)
        with suppress(BlockingIOError, OSError):
            one.connect((address, door.port))
        trying[one.fileno()] = one
        poll.register(one, select.POLLOUT)
    found: list[socket.socket] = []
    deadline = time.monotonic() + _REACH_WITHIN_S
    while trying and not found and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000):
            one = trying.pop(descriptor)
            poll.unregister(descriptor)
            error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                failures.append(os.strerror(error))
                one.close()
            else:
                found.append(one)
    for one in trying.values():
        one.close()
    return found


def _introduce(connection: socket.socket, door: Door) -> Channel:
    """Each side proves that it knows the secret, and over TLS that nobody sits in between."""
    connection.settimeout(_WORD_WITHIN_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tie = b""
    if door.tls:
        connection = anonymous_tls(server=False).wrap_socket(connection)
        tie = connection.get_channel_binding("tls-unique") or b""
    channel = Channel(connection)
    try:
        _prove(channel, door, tie)
    except ChannelLost:
        connection.close()
        raise
    return channel


def _prove(channel: Channel, door: Door, tie: bytes) -> None:
    word, theirs = channel.wait(_WORD_WITHIN_S)
    if word != Say.CHALLENGE:
        raise ChannelLost("what answers is not an endpoint")
    ours = os.urandom(16)
    channel.say(Say.HELLO, _encode(introduction(ours, proof(door.secret, b"worker", theirs, ours, tie))))
    word, shown = channel.wait(_WORD_WITHIN_S)
    if word != Say.WELCOME or not hmac.compare_digest(shown, proof(door.secret, b"engine", theirs, ours, tie)):
        raise ChannelLost("what answers is another endpoint than the one that sent the tasks")
    channel.trust()


def anonymous_tls(*, server: bool) -> ssl.SSLContext:
    """Encryption without certificates: who is at the other end is proved by the secret, tied to this connection.

    :raises ssl.SSLError: this machine's OpenSSL does not offer it
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    if not server:
        context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # The last version with such ciphers, and with a name for a connection that both sides know.
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    return context


def introduction(nonce: bytes, shown: bytes) -> Introduction:
    """Who this worker is, in Parsl's words, which it finds in its environment."""
    env = os.environ
    return Introduction(
        nonce,
        shown,
        env.get("PARSL_WORKER_POOL_ID", ""),
        int(env.get("PARSL_WORKER_COUNT", "1")),
        int(env.get("PARSL_WORKER_RANK", "0")),
        env.get("PARSL_WORKER_BLOCK_ID", ""),
        socket.gethostname(),
        os.getpid(),
        sys.version.split()[0],
        os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )
