"""PURE: which workers there are: those that introduced themselves, and the pools that HTEX tells of.

A pool is what HTEX runs on one node, or with MPI in one block: a manager process and its workers. The first worker of a
pool that introduces itself tells how many there are, long before anybody asks HTEX.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Crew", "Pool"]


class Pool(NamedTuple):
    """The workers of one manager."""

    #: its name
    uid: str
    workers: int
    #: the block, which is the batch job, that it belongs to
    block: str
    #: takes new tasks
    active: bool = True


class Crew:
    """The workers of one engine.

    :param pools: how many there are at most, all blocks together
    :param per_pool: workers in one, as far as the configuration says
    """

    def __init__(self, pools: int, per_pool: int) -> None:
        self._most = pools
        self._per_pool = per_pool
        self._pools: dict[str, Pool] = {}
        # Numbers of connections -> the pool of each.
        self._guests: dict[int, str] = {}

    @property
    def pools(self) -> Iterable[Pool]:
        """All."""
        return self._pools.values()

    @property
    def workers(self) -> int:
        """How many there are now."""
        return sum(pool.workers for pool in self._pools.values())

    @property
    def possible(self) -> int:
        """How many there may be, if all blocks come."""
        most = max((pool.workers for pool in self._pools.values()), default=0)
        return self._most * max(self._per_pool, most)

    def came(self, guest: int, pool: Pool) -> None:
        """A worker has introduced itself."""
        self._guests[guest] = pool.uid
        self._pools.setdefault(pool.uid, pool)

    def left(self, guest: int, *, died: bool) -> None:
        """A worker is not heard any more."""
        uid = self._guests.pop(guest, None)
        if died and uid is not None and uid not in self._guests.values():
            # HTEX says so only much later, if the whole pool has ended. If it has not, it is told of again.
            self._pools.pop(uid, None)

    def told(self, pools: Iterable[Pool]) -> None:
        """HTEX tells of all pools that it knows."""
        heard = set(self._guests.values())
        mine = {uid: pool for uid, pool in self._pools.items() if uid in heard}
        self._pools = mine | {pool.uid: pool for pool in pools}
