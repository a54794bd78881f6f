"""PURE: hours of the week, as an owner writes them: ``mon-fri 18:00-08:00``.

A window begins on the days that it names (all, if it names none) and lasts to the time behind the dash, which is on the
next day if it is not after the first. Several windows add up. Moments are handed in, in the time zone that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

__all__ = ["Window", "covered", "next_opening", "windows"]

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MIN: Final = 24 * 60
_WEEK: Final = 7


@dataclass(frozen=True, slots=True)
class Window:
    """A part of some days.

    :param days: on which it begins, 0 for Monday
    :param begin: minutes after midnight
    :param length: in minutes
    """

    days: frozenset[int]
    begin: int
    length: int


def windows(texts: Iterable[str]) -> tuple[Window, ...]:
    """What an owner wrote; the settings have seen to its form."""
    return tuple(map(_window, texts))


def _window(text: str) -> Window:
    days, _, times = text.rpartition(" ")
    begin, end = map(_minutes, times.split("-"))
    return Window(_days(days), begin, (end - begin) % _DAY_MIN or _DAY_MIN)


def _days(text: str) -> frozenset[int]:
    if not text:
        return frozenset(range(_WEEK))
    named: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        begin = _DAYS.index(first)
        count = (_DAYS.index(last or first) - begin) % _WEEK
        named.update((begin + step) % _WEEK for step in range(count + 1))
    return frozenset(named)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def covered(hours: Sequence[Window], moment: datetime) -> bool:
    """Whether a moment lies in one of them."""
    minute = moment.hour * 60 + moment.minute
    today = moment.weekday()
    return any(
        (today in window.days and window.begin <= minute < window.begin + window.length)
        or ((today - 1) % _WEEK in window.days and minute < window.begin + window.length - _DAY_MIN)
        for window in hours
    )


def next_opening(hours: Sequence[Window], moment: datetime) -> datetime:
    """When the next one begins, by the clock on the wall."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = (
        midnight + timedelta(days=ahead, minutes=window.begin)
        for ahead in range(_WEEK + 1)
        for window in hours
        if (moment.weekday() + ahead) % _WEEK in window.days
    )
    return min(begin for begin in begins if begin > moment)
