"""Rings when the time of a job is over: one deadline for each worker, one timer for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Deadlines"]


class Deadlines:
    """The deadlines of the jobs that run.

    :param ring: called with the number of the worker, once for each deadline
    """

    def __init__(self, ring: Callable[[int], None]) -> None:
        self._ring = ring
        self._deadlines: dict[int, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, worker: int, at: float | None) -> None:
        """Say when the job of this worker must have ended, by the clock of the loop; None: never, or it runs none."""
        if at is None:
            if self._deadlines:
                self._deadlines.pop(worker, None)
            return
        self._deadlines[worker] = at
        # A timer that rings too early for what is left is set anew then; that costs less than to keep it exact.
        if self._timer is None or at < self._timer.when():
            self._arm(at)

    def clear(self) -> None:
        """Ring no more."""
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        assert self._timer is not None
        # The clock of the loop may be a tick behind its own timer.
        now = max(asyncio.get_running_loop().time(), self._timer.when())
        self._timer = None
        for worker in [worker for worker, at in self._deadlines.items() if at <= now]:
            self._deadlines.pop(worker, None)
            self._ring(worker)
        if self._deadlines:
            self._arm(min(self._deadlines.values()))
