"""PURE: what the broker offers a peer that comes, and what the peer makes of it (AMQP 0-9-1, section 2.2.4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Final

from pamqp import commands

from afield.broker.embedded.frames import Malformed
from afield.broker.embedded.replies import Reply

__all__ = ["Introduction", "Settings", "Terms", "start"]

#: Shortest frame_max that the specification allows.
_FRAME_MIN: Final = 4096


@dataclass(frozen=True, slots=True)
class Settings:
    """What the broker offers its peers.

    :param heartbeat_s: how often at least something is sent; a peer that is silent for twice as long is gone; 0: never
    :param frame_max: longest frame in bytes, 4096 or more
    :param channel_max: channels per connection
    :param max_body: longest message body in bytes
    :param connections: of one party at once; 0: any number
    :param patience_s: how long a peer may take to log in, and to agree to a Close
    """

    heartbeat_s: int = 60
    frame_max: int = 131_072
    channel_max: int = 256
    max_body: int = 64 * 1024 * 1024
    connections: int = 0
    patience_s: float = 10.0


@cache
def start() -> commands.Connection.Start:
    """The broker's first words: who it is and what it can do.

    Without ``publisher_confirms`` and ``basic.nack`` the published endpoints refuse to publish.
    """
    return commands.Connection.Start(
        version_major=0,
        version_minor=9,
        server_properties={
            "product": "Afield",
            "version": version("afield"),
            "platform": "Python",
            "capabilities": {
                "authentication_failure_close": True,
                "basic.nack": True,
                "connection.blocked": False,
                "consumer_cancel_notify": True,
                "exchange_exchange_bindings": False,
                "per_consumer_qos": True,
                "publisher_confirms": True,
            },
        },
        mechanisms="PLAIN",
        locales="en_US",
    )


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a client says of itself.

    :param login: name and password; None: nothing that could be checked
    :param polite_refusal: it wants to be told that its login was refused
    :param notify: it wants to hear that its consumer's queue is gone
    """

    login: tuple[str, str] | None = None
    polite_refusal: bool = False
    notify: bool = False

    @classmethod
    def of(cls, method: commands.Connection.StartOk) -> Introduction:
        """As it is in the answer to Start."""
        capabilities = method.client_properties.get("capabilities")
        if not isinstance(capabilities, dict):
            capabilities = {}
        response: object = method.response  # pamqp: bytes where it is not UTF-8
        raw = response if isinstance(response, bytes) else str(response).encode()
        parts = raw.split(b"\x00")  # RFC 4616: authorization identity, user, password
        login = None
        if method.mechanism == "PLAIN" and len(parts) == 3:
            try:
                login = parts[1].decode(), parts[2].decode()
            except UnicodeDecodeError:
                login = None
        return cls(
            login,
            polite_refusal=capabilities.get("authentication_failure_close") is True,
            notify=capabilities.get("consumer_cancel_notify") is True,
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """What both agree on: see :class:`Settings`."""

    frame_max: int
    channel_max: int
    heartbeat_s: int

    @classmethod
    def of(cls, method: commands.Connection.TuneOk, offered: Settings) -> Terms:
        """As they are in the answer to Tune; 0 stands for what was offered.

        :raises Malformed: it wants more than was offered
        """
        frame_max = int(method.frame_max or 0) or offered.frame_max
        if not _FRAME_MIN <= frame_max <= offered.frame_max:
            raise Malformed(Reply.NOT_ALLOWED, f"frame_max {frame_max} is not within what was offered")
        channel_max = int(method.channel_max or 0) or offered.channel_max
        if channel_max > offered.channel_max:
            raise Malformed(Reply.NOT_ALLOWED, f"channel_max {channel_max} is more than was offered")
        return cls(frame_max, channel_max, int(method.heartbeat or 0))
