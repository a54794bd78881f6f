"""Identifiers: what they are, how new ones are made, how foreign ones are read.

All of them are UUIDs in canonical lower-case text, because that is how they travel (reference: the published wire
contract). New ones are time-ordered (UUIDv7, RFC 9562 section 5.7): as database keys, random ones cost three times as
much, for each insert touches another page.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import NewType

from afield.errors import InvalidId

__all__ = [
    "EndpointId",
    "FunctionId",
    "IdentityId",
    "TaskGroupId",
    "TaskId",
    "UserEndpointId",
    "new_id",
    "new_ids",
    "parse_id",
]

TaskId = NewType("TaskId", str)
TaskGroupId = NewType("TaskGroupId", str)
FunctionId = NewType("FunctionId", str)
#: A core endpoint: what a machine's owner starts and people name in their scripts.
EndpointId = NewType("EndpointId", str)
#: A user endpoint: one process for one identity and one configuration, started by a core endpoint.
UserEndpointId = NewType("UserEndpointId", str)
IdentityId = NewType("IdentityId", str)

_lock = threading.Lock()
_last = 0


def new_ids(count: int) -> list[str]:
    """``count`` new UUIDv7 in rising order, unique and rising within this process.

    The 12 bits after the milliseconds are a counter's head start, so that ids made in one millisecond stay in order
    (RFC 9562 section 6.2, method 3); the last 62 bits are random.
    """
    global _last  # noqa: PLW0603 - the one counter that makes ids of this process rise
    with _lock:
        # 60 bits: 48 of milliseconds, 12 of the fraction.
        now = (time.time_ns() << 12) // 1_000_000
        first = max(now, _last + 1)
        _last = first + count - 1
    random = os.urandom(8 * count)
    ids = []
    for i in range(count):
        stamp = first + i
        tail = random[8 * i : 8 * i + 8].hex()
        head = f"{stamp >> 12:012x}"
        variant = "89ab"[int(tail[0], 16) & 3]
        ids.append(f"{head[:8]}-{head[8:]}-7{stamp & 0xFFF:03x}-{variant}{tail[1:4]}-{tail[4:]}")
    return ids


def new_id() -> str:
    """One new UUIDv7; see :func:`new_ids`."""
    return new_ids(1)[0]


def parse_id(value: object, what: str) -> str:
    """Canonical text of a UUID given as :class:`uuid.UUID` or any text that it accepts.

    :param value: the id as somebody gave it
    :param what: what it identifies, for the message: ``"endpoint"``
    :raises InvalidId: naming the value and what was expected
    """
    if isinstance(value, uuid.UUID):
        return str(value)
    try:
        if isinstance(value, str):
            return str(uuid.UUID(value))
    except ValueError:
        pass
    raise InvalidId(what, str(value))
