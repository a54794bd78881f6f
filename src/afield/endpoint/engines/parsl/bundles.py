"""PURE: how many jobs travel to a worker together.

Theory of operation
===================

Each task of HTEX passes through four processes on its way and back, which costs about as much as a hundred jobs that
do nothing. So many tiny jobs share one such task, a bundle. What keeps that from harming anybody:

* Nobody waits for company: a bundle is made of what waits at that moment, whenever another may be handed to HTEX.
* How long jobs run is learned for each function. A function that nobody has seen run travels alone, and so does every
  job that is not short: a bundle is filled to :data:`BUNDLE_S` of expected time. An estimate rises at once and falls
  slowly.
* Jobs are shared out: with few jobs and many workers everybody gets some.
* An estimate may be wrong. A worker that has been on a bundle for longer than it should gives back what it has not
  begun, and delivers what is done (``afield.worker.bundle_run``).

How many bundles may be with HTEX? With long jobs one for each worker that may be there; more would be of no use. With
others twice as many as there are workers, so that none waits for the way there and back, and one more that finds
workers nobody has heard of yet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

__all__ = ["BUNDLE_BYTES", "BUNDLE_MOST", "BUNDLE_S", "Estimates", "fill", "most_bundles"]

#: Seconds of expected work in one bundle: well above what its way costs, well below human patience.
BUNDLE_S: Final = 0.02
#: Jobs in one bundle.
BUNDLE_MOST: Final = 256
#: Bytes in one bundle, unless a single job has more.
BUNDLE_BYTES: Final = 1 << 20
#: Jobs that take longer than this, in seconds, hardly notice the way there and back.
_LONG_S: Final = 1.0
#: Functions whose run time is remembered.
_REMEMBERED: Final = 1024
#: How much the newest run counts if it was shorter than expected.
_NEWEST: Final = 0.25
#: What a job costs beside its own run time, in seconds.
_OVERHEAD_S: Final = 4e-5


class Estimates:
    """How long the jobs of each function run."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[bytes, float] = OrderedDict()

    def ran(self, digest: bytes, seconds: float) -> None:
        """A job of this function ran for so long."""
        known = self._seconds.get(digest)
        if known is not None and seconds < known:
            seconds = known + (seconds - known) * _NEWEST
        self._seconds[digest] = seconds
        self._seconds.move_to_end(digest)
        if len(self._seconds) > _REMEMBERED:
            self._seconds.popitem(last=False)

    def of(self, digest: bytes) -> float:
        """Seconds that one will take; at least :data:`BUNDLE_S` if nobody knows."""
        return self._seconds.get(digest, BUNDLE_S) + _OVERHEAD_S

    @property
    def together(self) -> int:
        """How many of the shortest that are known would travel together."""
        shortest = min(self._seconds.values(), default=BUNDLE_S) + _OVERHEAD_S
        return max(1, min(BUNDLE_MOST, int(BUNDLE_S / shortest)))


def fill(sizes: Sequence[tuple[float, int]], share: int) -> int:
    """How many of those that wait, first come first, travel in the next bundle: at least one.

    :param sizes: expected seconds and bytes of each that waits, as many as matter
    :param share: how many one worker should get at most, so that others get some too
    """
    seconds, size = 0.0, 0
    count = 0
    for expected, bytes_ in sizes[: max(1, min(share, BUNDLE_MOST))]:
        seconds += expected
        size += bytes_
        if count and (seconds > BUNDLE_S or size > BUNDLE_BYTES):
            break
        count += 1
    return count


def most_bundles(*, workers: int, possible: int, expected: float) -> int:
    """How many bundles may be with HTEX at once.

    :param workers: those that have introduced themselves
    :param possible: how many there may be at most, as far as that is known
    :param expected: seconds that the job takes which is next
    """
    if workers and expected < _LONG_S:
        return 2 * workers + 1
    return max(1, workers, possible)
