"""What an endpoint writes about itself for its owner's commands: two small files, one for each kind of process.

``<endpoint>/status.json`` is written by the manager, ``<endpoint>/<user endpoint>/status.json`` by each user endpoint:
at each heartbeat, and soon after something changed; whole or not at all. They outlive their writer: whether it runs is
told by the lock, never by these.

A user endpoint's process belongs to whoever submitted, so its file is read with care: it is small, a plain file, and
has the expected form, or it counts as absent.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

__all__ = ["STATUS_FILE", "AgentStatus", "ChildRecord", "ManagerStatus", "Said", "read_status", "write_status"]

STATUS_FILE: Final = "status.json"
#: No status is longer, in bytes.
_MOST: Final = 256 * 1024

T = TypeVar("T")


class Said(msgspec.Struct, frozen=True):
    """Something that went wrong.

    :param at: unix time in seconds
    """

    at: float
    text: str


class ChildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A user endpoint that runs."""

    name: str
    pid: int | None
    directory: str
    log: str
    #: unix time in seconds
    started_at: float
    #: for whom: a user name of the service
    user: str = ""


class ManagerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, as its manager sees it. Times are unix times in seconds by its machine's clock."""

    endpoint_id: str
    service_url: str
    #: scheme, host and port of the queues, without the login
    broker: str
    pid: int
    hostname: str
    boot_id: str
    version: str
    started_at: float
    written_at: float
    connected: bool
    #: since when it is connected, or is not
    since: float
    #: why it is not connected, or what its clock suffers from; empty: all is well
    why: str = ""
    #: how far the service's clock is ahead of this machine's, in seconds; None: not known
    clock_ahead_s: float | None = None
    children: list[ChildRecord] = []
    errors: list[Said] = []


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A user endpoint, as it sees itself."""

    pid: int
    #: unix time in seconds
    written_at: float
    #: as in its heartbeats (reference: published wire contract section 5.5)
    state: dict[str, Any] = {}
    errors: list[Said] = []


def write_status(path: Path, status: msgspec.Struct) -> None:
    """Put it there; whoever reads finds the old one or the new one.

    :raises OSError: it cannot be written
    """
    part = path.with_name(f".{path.name}.new")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(status))
    part.replace(path)


def read_status(path: Path, kind: type[T]) -> T | None:
    """What was written last; None: nothing, or nothing that can be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        try:
            return msgspec.json.decode(file.read(_MOST), type=kind)
        except (OSError, msgspec.MsgspecError, RecursionError):
            return None
