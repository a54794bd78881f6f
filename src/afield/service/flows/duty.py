"""What one of several services does for all: now and then, by whose turn it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from afield.errors import BrokerError
from afield.service.clock import Clock
from afield.service.together.base import News, Together

__all__ = ["Duty", "in_peace", "on_duty"]

logger = logging.getLogger(__name__)

#: What services tell each other: whoever is on duty should look now.
_LOOK: Final = "look"


Step = Callable[[], Awaitable[None]]


def on_duty(together: Together, step: Step) -> Step:
    """The same, done only by whoever is on duty."""

    async def perhaps() -> None:
        if together.on_duty:
            await step()

    return perhaps


def in_peace(step: Step) -> Step:
    """The same; while the broker is away, it is put off to the next time."""

    async def perhaps() -> None:
        try:
            await step()
        except BrokerError as error:
            logger.warning("the broker cannot be worked with just now: %s", error)

    return perhaps


class Duty:
    """Rounds that whoever is on duty makes.

    :param seconds: between two of them, where nobody asks for one
    """

    def __init__(self, together: Together, clock: Clock, seconds: float) -> None:
        self._together = together
        self._clock = clock
        self._seconds = seconds
        self._asked = asyncio.Event()
        together.listen(_LOOK, lambda _: self._asked.set())
        together.on_missed(self._asked.set)

    def ask(self) -> None:
        """Let whoever is on duty make a round soon. Does not wait."""
        if self._together.on_duty:
            self._asked.set()
        else:
            self._together.tell(News(_LOOK, ""))

    async def run(self, *steps: Step) -> None:
        """Make rounds, for ever."""
        while True:
            await self._together.take_duty()
            self._asked.clear()
            for step in steps:
                await step()
            waits = [asyncio.ensure_future(self._clock.sleep(self._seconds)), asyncio.ensure_future(self._asked.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
