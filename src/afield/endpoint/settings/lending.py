"""What the owner of a machine asks of those to whom it is lent."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from afield.endpoint.settings.kinds import Count, Ids, Names, Positive, Some, Text

__all__ = ["LendingSettings"]

_DAY = "(mon|tue|wed|thu|fri|sat|sun)"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"
_Window = Annotated[
    str, Meta(pattern=f"^((?i:{_DAY}(-{_DAY})?(,{_DAY}(-{_DAY})?)*) )?{_TIME}-({_TIME}|24:00)$", description="hours")
]
Windows = Annotated[
    tuple[_Window, ...],
    Meta(description='a list of hours such as ["mon-fri 18:00-08:00", "sat,sun 00:00-24:00"]'),
]
Digests = Annotated[
    tuple[Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="a digest")], ...],
    Meta(description="a list of SHA-256 digests, each 64 characters of 0-9 and a-f"),
]
Walltime = Annotated[
    str, Meta(pattern="^[0-9]{1,5}:[0-5][0-9]:[0-5][0-9]$", description="hours, minutes and seconds such as 08:00:00")
]


class LendingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The ``lending`` block: rules for a machine that is lent. Every rule that is set must be met."""

    #: the only people, by identity id or by username; with groups, those are let in as well
    people: Names = ()
    #: the only groups, by id; the service says who is in them
    groups: Ids = ()
    #: SHA-256 digests of the only code that may run; a function that was changed has another one
    function_digests: Digests | None = None
    #: tasks that one person may begin in a day
    tasks_per_day: Count | None = None
    #: processor-hours that one person may use in a day: cores of a task times the hours that it ran
    cpu_hours_per_day: Positive | None = None
    #: when tasks may begin; the default is always
    hours: Windows = ()
    #: the time zone of hours and of days, such as Europe/Berlin; the default is the machine's
    time_zone: Text | None = None
    #: the most workers that a rendered template may have, on all blocks and nodes together
    max_workers: Some | None = None
    #: the most memory of one worker that a rendered template may ask for, in GiB
    max_memory_gb: Positive | None = None
    #: the longest walltime of a block that a rendered template may ask for
    max_walltime: Walltime | None = None
