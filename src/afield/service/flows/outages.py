"""Loops ride out an outage of the broker or the database, where those are elsewhere.

Otherwise a database that is restarted would end all services that use it, and whoever starts them again would have to
outlast it. A loop that failed so begins anew after a pause; each may be cut off anywhere, for that is what a kill does,
too. What fails for another reason ends the service loudly (flows/supervisor.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from afield.service.clock import Clock
from afield.service.use.outage import is_outage

__all__ = ["Outages"]

logger = logging.getLogger(__name__)

#: Seconds before a loop begins anew: first, and at most. The longest is shorter than what a loop may take to end.
_FIRST_S: Final = 0.25
_LONGEST_S: Final = 4.0

#: A loop that went on for so long, in seconds, was well; pauses are short again.
_WELL_S: Final = 30.0


class Outages:
    """Which loops wait for the end of one.

    :param ride_out: false: what the loops need is in this process or on this machine, so that no pause would help
    """

    def __init__(self, clock: Clock, *, ride_out: bool) -> None:
        self._clock = clock
        self._rides = ride_out
        self._waiting: set[str] = set()

    @property
    def waiting(self) -> list[str]:
        """The names of loops that wait just now."""
        return sorted(self._waiting)

    async def ride(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Run a loop, and again after each outage. It goes by the name of the task that runs it."""
        task = asyncio.current_task()
        name = "a loop" if task is None else task.get_name()
        pause = _FIRST_S
        while True:
            began = self._clock.now()
            try:
                await loop()
            except Exception as error:
                if not (self._rides and is_outage(error)):
                    raise
                if self._clock.now() - began >= _WELL_S:
                    pause = _FIRST_S
                said = f"{type(error).__name__}: {error}"
                logger.warning("%s waits for %.2f s, for what it needs is away: %s", name, pause, said)
            else:
                return
            self._waiting.add(name)
            try:
                await self._clock.sleep(pause)
            finally:
                self._waiting.discard(name)
            pause = min(2 * pause, _LONGEST_S)
