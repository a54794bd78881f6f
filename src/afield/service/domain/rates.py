"""PURE: how often somebody may ask.

Theory: a token bucket for each identity. It holds ``burst`` requests and fills at ``rate`` a second; each request takes
one out, and where there is none, it is told after how many seconds there will be. That is one number and one time for
each identity; a bucket that is full again is as good as one that was never used, and is forgotten.
"""

from __future__ import annotations

from math import ceil
from typing import Final

__all__ = ["Rates"]

#: How many buckets are kept before those that are full again are looked for.
_MANY: Final = 10_000


class Rates:
    """The buckets of all identities. Times are unix seconds.

    :param rate: requests a second, for ever; 0: as many as anybody likes
    :param burst: requests at once, after a pause
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(max(burst, 1))
        # identity -> (requests left, at this moment)
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
        self._buckets[who] = (left - 1.0, now)
        if len(self._buckets) > self._many:
            self._forget_full(now)
        return None

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
