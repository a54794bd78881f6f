"""How figures are said to people."""

from __future__ import annotations

import time

__all__ = ["ago", "clean", "megabytes", "moment", "some"]


def some(count: int, what: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def ago(seconds: float) -> str:
    """A length of time, as exact as people want it."""
    whole = max(0, round(seconds))
    for unit, size in (("day", 86_400), ("h", 3600), ("min", 60)):
        if whole >= 2 * size:
            number = whole // size
            return some(number, unit) if unit == "day" else f"{number} {unit}"
    return f"{whole} s"


def moment(at: float, now: float) -> str:
    """A moment by this machine's clock: with the day, if that is not today."""
    same_day = time.localtime(at)[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S", time.localtime(at))


def megabytes(count: float) -> str:
    """Bytes, for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def clean(text: str) -> str:
    """One line without what a terminal would obey: it may come from somebody else's process."""
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()
