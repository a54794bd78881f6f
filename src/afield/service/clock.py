"""SEAM: the time, and waiting for it. Handed in, so that tests move it by hand and never wait."""

from __future__ import annotations

import asyncio
import time
from heapq import heappop, heappush
from typing import Protocol

__all__ = ["Clock", "HandClock", "SystemClock"]


class Clock(Protocol):
    """What time it is, and waiting until it is later."""

    def now(self) -> float:
        """Unix time in seconds."""

    async def sleep(self, seconds: float) -> None:
        """Return when this much time has passed."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Return when this much time has passed."""
        await asyncio.sleep(seconds)


class HandClock:
    """A clock that stands still until somebody moves it.

    :param now: where it stands first
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        """Unix time in seconds."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return when somebody has moved the clock this far."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heappush(self._sleepers, (self._now + seconds, self._count, woken))
        await woken

    @property
    def sleepers(self) -> int:
        """How many wait for it."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    def advance(self, seconds: float) -> None:
        """Move it; whoever's time has come goes on when the event loop gets to them."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, woken = heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
