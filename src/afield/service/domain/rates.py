"""PURE: how often somebody may ask.

Theory: a token bucket for each person. It holds ``burst`` requests and fills at ``rate`` a second; each request takes
one out, and where there is none, it is told after how many seconds there will be. That is one number and one time for
each person; a bucket that is full again is as good as one that was never used, and is forgotten.

Of several replicas each has buckets of its own, and none asks another before it answers. But each tells the others,
about once a second, how many requests it let through, and they take as many out of theirs, below nothing if need be.
So what one let through too much, before it heard of the others, all hold back afterwards: n replicas let through no
more than n times ``burst`` and what they do not know of each other yet, and over a longer time ``rate``. That holds
wherever a load balancer sends somebody's requests; a share of the rate for each replica would be too little for those
who are always sent to the same one.
"""

from __future__ import annotations

from math import ceil
from typing import Final

__all__ = ["Rates"]

#: How many buckets are kept before those that are full again are looked for.
_MANY: Final = 10_000


class Rates:
    """The buckets of all persons. Times are unix seconds.

    :param rate: requests a second, for ever; 0: as many as anybody likes
    :param burst: requests at once, after a pause
    :param shared: whether there are other replicas, who want to know what was let through here
    """

    def __init__(self, rate: float, burst: int, *, shared: bool = False) -> None:
        self._rate = rate
        self._burst = float(max(burst, 1))
        self._shared = shared
        # person -> requests that were let through, and that the other replicas do not know of
        self._untold: dict[str, int] = {}
        # person -> (requests left, at this moment); less than none: others let through too much
        self._buckets: dict[str, tuple[float, float]] = {}
        self._many = _MANY

    def ask(self, who: str, now: float) -> int | None:
        """Somebody asks. None: they may; else the whole seconds after which they may ask again."""
        if self._rate <= 0:
            return None
        left = self._left(who, now)
        if left < 1.0:
            self._buckets[who] = (left, now)
            return max(1, ceil((1.0 - left) / self._rate))
        if self._shared:
            self._untold[who] = self._untold.get(who, 0) + 1
        self._take(who, left - 1.0, now)
        return None

    def untold(self) -> dict[str, int]:
        """How many requests were let through here since this was asked last, of each person who had any."""
        untold, self._untold = self._untold, {}
        return untold

    def elsewhere(self, who: str, count: int, now: float) -> None:
        """Another replica has let through so many requests of somebody."""
        if self._rate > 0:
            self._take(who, self._left(who, now) - count, now)

    def _take(self, who: str, left: float, now: float) -> None:
        self._buckets[who] = (left, now)
        if len(self._buckets) > self._many:
            self._forget_full(now)

    def _left(self, who: str, now: float) -> float:
        found = self._buckets.get(who)
        if found is None:
            return self._burst
        left, since = found
        # A clock that was set back must not take anything away.
        return min(self._burst, left + max(0.0, now - since) * self._rate)

    def _forget_full(self, now: float) -> None:
        self._buckets = {who: kept for who, kept in self._buckets.items() if self._left(who, now) < self._burst}
        self._many = max(_MANY, 2 * len(self._buckets))  # so that looking costs little for each request
