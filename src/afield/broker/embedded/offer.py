"""PURE: what the broker offers a peer that comes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from pamqp import commands

__all__ = ["Settings", "start"]


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
