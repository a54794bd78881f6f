"""How this machine's clock and the service's differ.

Start commands that are more than 180 s old or ahead by the endpoint's clock are refused (reference: published wire
contract section 8), logins end early, and times in logs do not fit: so a difference is told long before it hurts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["FATAL_S", "ahead", "told", "weighs"]

#: From here on it is told, in seconds. The header has whole seconds, and an answer takes its time.
_WORTH_S: Final = 10.0
#: From here on nothing starts any more, in seconds.
FATAL_S: Final = 180.0


async def ahead(url: str, clock: Callable[[], float] = time.time) -> float | None:
    """How far the service's clock is ahead of ours, in seconds, to about one; None: its answers bear no time.

    :param url: of the service
    :param clock: ours: unix time in seconds
    :raises ServiceError: nobody answers there
    """
    import asyncio

    return await asyncio.to_thread(_ask, url, clock)


def _ask(url: str, clock: Callable[[], float]) -> float | None:
    from afield.sdk.login.plain_http import exchange
    from afield.sdk.retry import TryAgain

    asked = clock()
    try:
        answer = exchange("GET", f"{url.rstrip('/')}/v2/version", {"Accept": "application/json"})
    except TryAgain as error:
        raise error.error from error
    date = answer.date
    if not date:
        return None
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None
    # Whole seconds are cut off: on average it was half a second later when it was written.
    return round(theirs + 0.5 - (asked + clock()) / 2, 1)


def weighs(seconds: float) -> bool:
    """Whether somebody should mend it."""
    return abs(seconds) >= _WORTH_S


def told(seconds: float) -> str:
    """For people: which clock is wrong cannot be seen from here."""
    direction = "behind" if seconds > 0 else "ahead of"
    text = f"this machine's clock is {abs(seconds):.0f} s {direction} the service's"
    if abs(seconds) >= FATAL_S:
        return f"{text}: nothing can start at more than {FATAL_S:.0f} s. Set the clock (timedatectl set-ntp true)"
    return f"{text}; from {FATAL_S:.0f} s on nothing starts. Set the clock (timedatectl set-ntp true)"
