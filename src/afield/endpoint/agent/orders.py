"""What a manager says to a user endpoint through the pipe to its standard input.

A frame is four bytes of length, big-endian, and that much JSON. The first one is :class:`Start`; later ones are the
others. The end of the pipe means that the manager is gone.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

import msgspec

from afield.endpoint.settings import LendingSettings, UserSettings
from afield.errors import WireError
from afield.wire.commands import QueueCredentials

__all__ = ["HEADER", "Order", "Refresh", "Start", "Stop", "decode_order", "encode_order"]

HEADER: Final = Struct(">I")


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Everything a user endpoint is told at its start."""

    #: such as ``uep.<endpoint id>.<user endpoint id>``
    name: str
    #: where it keeps its journal, its outbox and its logs; it exists
    directory: str
    settings: UserSettings
    credentials: QueueCredentials
    #: what goes unchanged into every heartbeat
    facts: dict[str, Any] = {}
    #: where the keys of the engine block stand: ``engine.provider.type`` -> ``file, line N``
    places: dict[str, str] = {}
    #: rules of the machine's owner for each task of this person; None: there are none
    lending: LendingSettings | None = None
    #: the id of whoever submits, whose use of the machine counts together
    person: str = ""


class Refresh(msgspec.Struct, frozen=True, tag="refresh"):
    """Fresh credentials, for the next connection."""

    credentials: QueueCredentials


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End.

    :param why: for people, such as ``"its manager is stopping"``
    :param grace_s: how long running tasks may go on, in seconds
    """

    why: str
    grace_s: float


Order = Start | Refresh | Stop

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


def encode_order(order: Order) -> bytes:
    """As a frame."""
    body = _encode(order)
    return HEADER.pack(len(body)) + body


def decode_order(body: bytes) -> Order:
    """From the body of a frame.

    :raises WireError: it is none; manager and user endpoint are of different versions
    """
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise WireError(
            f"the manager says something that this user endpoint does not understand ({error}): both should run the "
            "same version of afield"
        ) from error
