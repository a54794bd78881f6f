"""Trying again: when, how long, and when to stop.

Only what may help is repeated: nobody answered, or the answer was "not now" (429, 500, 502-504). Pauses double from
``first_s`` to ``longest_s``, each shortened at random by up to half, so that many clients of a service that comes back
do not all come at once; a service that says when (Retry-After) is believed. After ``budget_s`` seconds without success
it is over.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from afield.errors import ConfigurationError, ServiceError

__all__ = ["Pace", "Retrying", "TryAgain", "pace_from_environment", "persist"]

T = TypeVar("T")

#: seconds, in text
BUDGET_VARIABLE: Final = "AFIELD_RETRY_S"


class TryAgain(Exception):  # noqa: N818 - not an error yet; it never leaves the SDK
    """Not now.

    :param error: what to raise when patience ends
    :param after_s: how many seconds to wait, where the service said so
    """

    def __init__(self, error: ServiceError, after_s: float | None = None) -> None:
        super().__init__(error, after_s)
        self.error, self.after_s = error, after_s


async def _sleep(seconds: float) -> None:
    import asyncio  # 20 ms, which a program that only imports us need not spend

    await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient, and by which clock."""

    #: seconds from the first failure to the last attempt
    budget_s: float = 60.0
    first_s: float = 0.05
    longest_s: float = 5.0
    #: with tasks under way and not a word from anybody, ask after them every so many seconds
    check_s: float = 60.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = _sleep
    #: a number from 0 up to 1
    chance: Callable[[], float] = field(default=random.random)


class Retrying:
    """One thing that is tried until it works."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._failures = 0
        self._since = 0.0

    def pause(self, after_s: float | None = None) -> float | None:
        """It failed: how many seconds to wait before the next attempt; None: give up.

        :param after_s: what the service asked for
        """
        pace, now = self._pace, self._pace.now()
        if not self._failures:
            self._since = now
        longest = min(pace.first_s * 2.0 ** min(self._failures, 30), pace.longest_s)
        pause = longest * (1 - pace.chance() / 2) if after_s is None else after_s
        self._failures += 1
        return pause if now + pause - self._since <= pace.budget_s else None

    def calm(self) -> None:
        """It works: the next failure is the first again."""
        self._failures = 0


async def persist(attempt: Callable[[], Awaitable[T]], pace: Pace) -> T:
    """Call ``attempt`` until it does not raise :class:`TryAgain`.

    :raises ServiceError: what TryAgain held, when patience has ended
    """
    retrying = Retrying(pace)
    while True:
        try:
            return await attempt()
        except TryAgain as failure:
            pause = retrying.pause(failure.after_s)
            if pause is None:
                raise failure.error from failure.__cause__
        await pace.sleep(pause)


def pace_from_environment(environ: Mapping[str, str] = os.environ) -> Pace:
    """The usual pace; the variable ``AFIELD_RETRY_S`` sets the budget.

    :raises ConfigurationError: it is not a number
    """
    text = environ.get(BUDGET_VARIABLE)
    if text is None:
        return Pace()
    try:
        return Pace(budget_s=float(text))
    except ValueError:
        raise ConfigurationError(
            f"{BUDGET_VARIABLE}={text!r} is not a number of seconds; unset it or write one like 60"
        ) from None
