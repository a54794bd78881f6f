"""What is to happen later, until all of it is called off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Timers"]


class Timers:
    """Those of one process, in its event loop."""

    def __init__(self) -> None:
        self._due: set[asyncio.TimerHandle] = set()

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do something once, in so many seconds."""

        def due() -> None:
            self._due.discard(handle)
            work()

        handle = asyncio.get_running_loop().call_later(seconds, due)
        self._due.add(handle)

    def every(self, seconds: float, work: Callable[[], None]) -> None:
        """Do something again and again, the first time in so many seconds. Should it fail once, it goes on."""

        def due() -> None:
            self.every(seconds, work)  # first, or what work calls off or raises would not hold for this
            work()

        self.later(seconds, due)

    def cancel(self) -> None:
        """Nothing of it happens any more."""
        for handle in self._due:
            handle.cancel()
        self._due.clear()
