"""Which version speaks: the first byte of a body says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from afield.errors import WireError
from afield.wire import v1, v2
from afield.wire.messages import Cancel, Notice, Report, Result, Task

__all__ = ["Message", "decode"]

Message = Task | Result | Report | Notice | Cancel


def decode(body: bytes, headers: Mapping[str, object] | None = None) -> Sequence[Message]:
    """Every record in a message body, whichever version it has. A body of the published version holds one.

    :param body: with its version byte
    :param headers: AMQP headers; the published version keeps half of a task there
    :raises WireError: for an empty, truncated or foreign body
    """
    version = body[:1]
    if version == v2.VERSION:
        return v2.decode(body)
    if version == v1.VERSION:
        return [v1.decode(body, headers or {})]
    if not version:
        raise WireError("an empty message came")
    raise WireError(f"a message of version {version[0]} came; this end reads versions 1 and 2")
