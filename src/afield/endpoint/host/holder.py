"""PURE: whether whoever is named in an endpoint's lock still runs.

Theory. Two things tell it, and neither is enough. The operating system's lock ends with its process, however that ends,
but on a shared file system it may not reach other machines (NFS with ``nolock``, Lustre without ``flock``), or may
outlive a machine that died (NFS version 3). The record in the file says who holds it and was renewed at each heartbeat,
but nobody removes it when its writer is killed. So:

1. The record's machine is this one, and has not been started again since: the lock is certain. Where the file system
   has no locks at all, the process must be there and its heartbeat fresh.
2. It is this machine before it was started again: it is over, unless somebody holds the lock with a fresh heartbeat
   (two machines of the same name).
3. It is another machine: the heartbeat decides, whatever the lock says. After three periods without one, the record
   belongs to a machine that is dead, and whoever comes next takes over. If it was only asleep, it finds at its next
   heartbeat that the lock is another's, and ends.

How old a heartbeat is, is told by the file system's own clock (its time of the file against its time of a new one), so
that clocks of login nodes need not agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

__all__ = ["MISSED", "Holder", "Seen", "lives"]

#: So many periods without a heartbeat, and a machine counts as dead.
MISSED: Final = 3


class Holder(msgspec.Struct, frozen=True):
    """Who runs an endpoint, as the lock's file says."""

    pid: int
    hostname: str
    #: unix time in seconds
    started_at: float
    #: of the machine; see :func:`afield.endpoint.host.machine.boot_id`
    boot_id: str = ""
    #: the last sign of life, unix time in seconds by its machine's clock
    heartbeat_at: float = 0.0
    #: seconds between two of them
    period_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What somebody who looks at a lock sees beside its record.

    :param locked: somebody holds the operating system's lock; None: this file system has none
    :param age_s: seconds since the last heartbeat, by the file system's clock
    :param hostname: of the machine that looks
    :param boot_id: of the machine that looks
    :param process_exists: whether this machine has a process of the record's number
    """

    locked: bool | None
    age_s: float
    hostname: str
    boot_id: str
    process_exists: bool


def lives(holder: Holder, seen: Seen) -> bool:
    """Whether it still runs (see the theory above)."""
    fresh = seen.age_s <= MISSED * holder.period_s
    if holder.boot_id == seen.boot_id:
        return seen.locked if seen.locked is not None else seen.process_exists and fresh
    if holder.hostname == seen.hostname:
        return bool(seen.locked) and fresh
    return fresh
