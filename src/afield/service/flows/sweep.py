"""What is done again and again, by the clock: forget what is old, look after tasks that nobody runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from afield.service.clock import Clock

__all__ = ["every"]


async def every(seconds: float, clock: Clock, *steps: Callable[[], Awaitable[object]]) -> None:
    """Do the steps one after the other, now and then every so many seconds, for ever."""
    while True:
        for step in steps:
            await step()
        await clock.sleep(seconds)
