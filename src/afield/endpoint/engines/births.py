"""PURE: how many workers to start, and when to stop trying.

A worker that ends is replaced at once, unless workers end without ever having begun a job: a wrong interpreter, another
version, no memory. After :data:`TRIES` of those in a row starting them is given up, or the machine would do nothing
but start workers. After a pause, one is tried again; if it does well, all others follow.

``now`` is any monotonic clock in seconds; the caller hands it in.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["PAUSE_S", "TRIES", "Births"]

#: Workers in a row that end without having begun a job, before the engine gives up.
TRIES: Final = 3
#: Seconds before it tries again, unless somebody says otherwise.
PAUSE_S: Final = 10.0


class Births:
    """Counts workers.

    :param wanted: how many there should be
    :param pause_s: seconds between giving up and the next one
    """

    def __init__(self, wanted: int, pause_s: float = PAUSE_S) -> None:
        self._wanted = wanted
        self._pause_s = pause_s
        #: processes that were started and have not ended
        self.alive = 0
        self._failures = 0
        self._again_at = 0.0

    @property
    def given_up(self) -> bool:
        """Too many failed in a row, and none has done well since."""
        return self._failures >= TRIES

    def missing(self, now: float) -> int:
        """How many to start now."""
        missing = self._wanted - self.alive
        return min(missing, now >= self._again_at) if self.given_up else missing

    def pause_s(self, now: float) -> float:
        """Seconds until one may be tried again."""
        return max(0.0, self._again_at - now) if self.given_up else 0.0

    def started(self) -> None:
        """A process was started, or should have been."""
        self.alive += 1
        if self.given_up:
            # This is the one that is tried; how it fares says when there will be another.
            self._again_at = math.inf

    def did_well(self) -> None:
        """A worker has finished its first job."""
        self._failures = 0

    def ended(self, now: float, *, useless: bool) -> None:
        """A process has ended.

        :param useless: it had never begun a job
        """
        self.alive -= 1
        if useless:
            self._failures += 1
            self._again_at = now + self._pause_s
