"""PURE: whether a task may begin on a machine that is lent, by its owner's rules, what was used today, and the clock.

A day is one of the owner's time zone. A task counts when it begins, also if it fails. Processor-hours are the cores
that a task asked for times the time that it ran, as clusters charge them; what still runs counts with what it has used.
A task that has begun is not stopped by these rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from afield.endpoint.settings import LendingSettings
from afield.endpoint.settings.hours import covered, next_opening, windows
from afield.errors import ConfigurationError

__all__ = ["Lent", "Use", "closed", "zone_of"]

_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Use:
    """What one person has used of a machine in a day.

    :param tasks: that began
    :param core_s: seconds, times cores
    """

    tasks: int = 0
    core_s: float = 0.0


def zone_of(settings: LendingSettings) -> tzinfo | None:
    """The time zone that counts; None: the machine's.

    :raises ConfigurationError: nobody knows it
    """
    if settings.time_zone is None:
        return None
    try:
        return ZoneInfo(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"config.yaml: lending.time_zone is {settings.time_zone}, which this machine does not know: write one such "
            "as Europe/Berlin or UTC (Debian has them in the package tzdata)"
        ) from error


def closed(settings: LendingSettings, moment: datetime) -> str | None:
    """Why nothing may begin at this moment, for whoever submitted; None: it may."""
    if not settings.hours:
        return None
    hours = windows(settings.hours)
    if covered(hours, moment):
        return None
    opening = next_opening(hours, moment)
    return (
        f"the owner of this machine lends it at certain hours only ({'; '.join(settings.hours)}, time zone "
        f"{settings.time_zone or opening.strftime('%Z') or 'of the machine'}): submit again from {opening:%A %H:%M}"
    )


class Lent:
    """The rules for single tasks.

    :param settings: the owner's
    """

    def __init__(self, settings: LendingSettings) -> None:
        self._settings = settings
        self._digests = frozenset(settings.function_digests) if settings.function_digests is not None else None

    @property
    def wants_digest(self) -> bool:
        """Whether it matters which code a task runs."""
        return self._digests is not None

    def refusal(self, moment: datetime, use: Use, digest: str = "") -> str | None:
        """Why a task may not begin, for whoever submitted it; None: it may.

        :param moment: now, in the time zone that counts
        :param use: of whoever submitted, today
        :param digest: SHA-256 of the task's code, in hexadecimal, if it is wanted
        """
        settings = self._settings
        if self._digests is not None and digest not in self._digests:
            return (
                "the owner of this machine lends it for certain code only, and this function is none of it: ask the "
                f"owner to add the digest {digest} to lending.function_digests"
            )
        if (why := closed(settings, moment)) is not None:
            return why
        tasks, hours = settings.tasks_per_day, settings.cpu_hours_per_day
        if tasks is not None and use.tasks >= tasks:
            return (
                f"the owner of this machine lets each person begin {tasks} tasks a day, and today {use.tasks} of yours "
                "have begun: submit again after midnight there"
            )
        if hours is not None and use.core_s >= hours * _HOUR_S:
            return (
                f"the owner of this machine gives each person {hours:g} processor-hours a day, and yours have used "
                f"{use.core_s / _HOUR_S:.1f} today: submit again after midnight there"
            )
        return None
