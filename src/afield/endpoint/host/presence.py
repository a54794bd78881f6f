"""Signs of life on the disk: the lock's heartbeat, and the status files, at each period and soon after a change.

Idle costs one small write each :data:`~afield.endpoint.host.lock.PERIOD_S` seconds for an endpoint, and one at each
heartbeat for a user endpoint.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from afield.endpoint.host.clock import told, weighs
from afield.endpoint.host.lock import PERIOD_S, LockLost, RunLock
from afield.endpoint.host.standing import Standing
from afield.endpoint.host.status_file import StatusFile
from afield.errors import ServiceError

__all__ = ["Presence"]

logger = logging.getLogger("afield.endpoint")

#: Seconds between two looks at the service's clock.
_CLOCK_EVERY_S: Final = 3600.0


class Presence:
    """An endpoint's signs of life on the disk.

    :param lock: held
    :param standing: as its manager notes it
    :param path: of the status file
    :param service_url: for the file
    :param clock_ahead: asks how far the service's clock is ahead, in seconds
    :param on_lost: called when another process has taken over; this one should end
    :param sleep: waits so many seconds
    :param clock: unix time in seconds
    """

    def __init__(
        self,
        lock: RunLock,
        standing: Standing,
        path: Path,
        service_url: str,
        *,
        clock_ahead: Callable[[], Awaitable[float | None]],
        on_lost: Callable[[LockLost], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lock, self._standing = lock, standing
        self._file = StatusFile(path, lambda: standing.status(service_url))
        self._clock_ahead, self._on_lost, self._sleep, self._clock = clock_ahead, on_lost, sleep, clock
        standing.watch(self._file.changed)

    async def run(self) -> None:
        """Give signs of life until it is cancelled, or the lock is lost."""
        clocks = asyncio.create_task(self._compare_clocks(), name="compare-clocks")
        try:
            self._file.write()
            while True:
                await self._sleep(PERIOD_S)
                if not self._beat():
                    return
                self._file.write()
        finally:
            clocks.cancel()
            await asyncio.wait([clocks])
            self._file.write()

    def write(self) -> None:
        """Have how it stands on the disk now: somebody is about to look."""
        self._file.write()

    def _beat(self) -> bool:
        try:
            self._lock.beat(self._clock())
        except LockLost as error:
            self._on_lost(error)
            return False
        except OSError as error:
            logger.warning("the lock of this endpoint cannot be renewed: %s", error.strerror or error)
        return True

    async def _compare_clocks(self) -> None:
        standing = self._standing
        while True:
            try:
                ahead = await self._clock_ahead()
            except ServiceError:
                ahead = standing.clock_ahead_s  # that nobody answers is told elsewhere
            if ahead is not None and weighs(ahead) and not weighs(standing.clock_ahead_s or 0):
                logger.warning("%s", told(ahead))
            standing.clock_ahead_s = ahead
            standing.changed()
            await self._sleep(_CLOCK_EVERY_S)
