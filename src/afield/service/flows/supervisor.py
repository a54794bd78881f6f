"""Keeps the loops going, or says loudly that one does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

__all__ = ["Supervisor"]

logger = logging.getLogger(__name__)

#: How long, in seconds, a loop may take to end in good order.
_PATIENCE_S: Final = 5.0


class Supervisor:
    """Some loops, and the first failure among them."""

    def __init__(self) -> None:
        self._loops: list[tuple[asyncio.Task[None], Callable[[], None] | None]] = []
        #: resolves with the error that ended a loop
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def start(self, name: str, loop: Coroutine[Any, Any, None], stop: Callable[[], None] | None = None) -> None:
        """Run a loop.

        :param stop: asks it to end after what it is doing; without one it is cancelled
        """
        task = asyncio.get_running_loop().create_task(loop, name=name)
        task.add_done_callback(self._ended)
        self._loops.append((task, stop))

    def ended(self) -> list[str]:
        """The names of loops that are not going any more."""
        return [task.get_name() for task, _ in self._loops if task.done()]

    async def stop(self) -> None:
        """End all loops."""
        for task, stop in self._loops:
            if stop is None:
                task.cancel()
            else:
                stop()
        tasks = [task for task, _ in self._loops]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_PATIENCE_S)
            for task in late:
                logger.warning("%s did not end in time, and is cut off", task.get_name())
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.failed.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            logger.critical("%s failed, and with it the service", task.get_name(), exc_info=error)
            if not self.failed.done():
                self.failed.set_result(error)
