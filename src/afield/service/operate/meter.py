"""What is counted as it happens. It is on the way of each request and each result, so it costs next to nothing.

When a task was accepted is in its id, which is a UUIDv7 (RFC 9562 section 5.7): no look into the store is needed to
know how long it took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from afield.service.clock import Clock
from afield.service.operate.tally import REQUEST_BOUNDS_S, TASK_BOUNDS_S, Tally
from afield.wire.messages import Result

__all__ = ["Meter", "TakeResults"]


#: Takes results; returns when they are safe. See :class:`afield.service.use.finish.Finish`.
TakeResults = Callable[[Sequence[tuple[str, Result]]], Awaitable[None]]


class Meter:
    """The counters of one process, from its start.

    :ivar requests: how long requests took, by method and route
    :ivar statuses: how many were answered, by method, route and status
    :ivar tasks: how long tasks took from their acceptance to their result, by how they ended
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.requests: dict[tuple[str, str], Tally] = {}
        self.statuses: Counter[tuple[str, str, int]] = Counter()
        self.tasks = {outcome: Tally(TASK_BOUNDS_S) for outcome in ("success", "failed", "cancelled")}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered.

        :param route: as it is in the table of routes, for the ids in paths are many
        """
        tally = self.requests.get((method, route))
        if tally is None:
            tally = self.requests[method, route] = Tally(REQUEST_BOUNDS_S)
        tally.observe(seconds)
        self.statuses[method, route, status] += 1

    def counting(self, take: TakeResults) -> TakeResults:
        """The same as ``take``; results are counted once they are safe."""

        async def taken(results: Sequence[tuple[str, Result]]) -> None:
            await take(results)
            now = self._clock.now()
            for _, result in results:
                accepted = _made_at(result.task_id)
                if accepted is not None:
                    self.tasks[_outcome(result)].observe(now - accepted)

        return taken


def _outcome(result: Result) -> str:
    if result.error is None:
        return "success"
    return "cancelled" if result.error.code == "TaskCancelled" else "failed"


def _made_at(task_id: str) -> float | None:
    """When a UUIDv7 was made, unix time in seconds; None: it is none."""
    if len(task_id) != 36 or task_id[14] != "7":
        return None
    try:
        return int(task_id[:8] + task_id[9:13], 16) / 1000
    except ValueError:
        return None
