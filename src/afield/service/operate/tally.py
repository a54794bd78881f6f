"""Counting how long things take, cheaply enough to do it for each of them.

Theory. A histogram is a row of counters, one for each span between two bounds, and a sum. To observe is to find the
span by bisection and add one: some 0.3 µs, no lock (the event loop is one thread), no allocation. Whoever draws
pictures makes quantiles from the counters, also over several replicas, as cannot be done with averages. What is shown
is cumulative: how many were at most as long as each bound
(https://prometheus.io/docs/concepts/metric_types/#histogram).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["REQUEST_BOUNDS_S", "TASK_BOUNDS_S", "Tally"]

#: Seconds. Of requests: from what a read takes to the longest that a submit is held.
REQUEST_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: Seconds. Of tasks, from submit to result: from no work at all on an idle machine to days in a queue.
TASK_BOUNDS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 43_200.0, 2e5)


class Tally:
    """One histogram.

    :param bounds: of the spans, rising; above the last one is another span
    """

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        #: the sum of all that was observed
        self.total = 0.0

    def observe(self, value: float) -> None:
        """It took so long. A clock that was set back does not make it less than nothing."""
        value = max(0.0, value)
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self._counts)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """How many were at most as long as each bound; the last bound is infinity."""
        so_far = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            so_far += count
            yield bound, so_far
