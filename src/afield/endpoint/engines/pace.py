"""PURE: how far ahead of their turn jobs may be handed over, from how long the latest ones ran.

A job that is handed over early need not be fetched later, which takes as long as several short jobs. But it is out of
the agent's hands: if the endpoint dies, nobody knows whether it had begun. So only short jobs go early: as many as run
in :data:`HORIZON_S`, and at most :data:`AHEAD_MOST` for each worker. At first jobs count as long, and after some ten
of them the mean run time is what it should be.
"""

from __future__ import annotations

from typing import Final

__all__ = ["AHEAD_MOST", "HORIZON_S", "Pace"]

#: Seconds of work that a worker may have ahead. Long beside a round trip (0.1 ms), short beside human patience.
HORIZON_S: Final = 0.02
#: Jobs that one worker may have ahead: enough to share one system call among many, few enough to move them quickly.
AHEAD_MOST: Final = 32
#: How much the newest job counts in the mean.
_NEWEST: Final = 0.25


class Pace:
    """The mean run time of the latest jobs."""

    __slots__ = ("mean_s",)

    def __init__(self) -> None:
        self.mean_s = HORIZON_S

    def ran(self, seconds: float) -> None:
        """A job ran for so long."""
        self.mean_s += (seconds - self.mean_s) * _NEWEST

    @property
    def ahead(self) -> int:
        """How many jobs each busy worker may have ahead."""
        return AHEAD_MOST if self.mean_s * AHEAD_MOST <= HORIZON_S else int(HORIZON_S / self.mean_s)
