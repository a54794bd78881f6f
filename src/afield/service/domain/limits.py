"""PURE: results that are larger than the service takes, and how long things are kept."""

from __future__ import annotations

from typing import Final

import msgspec

from afield.service.domain import refusals
from afield.service.domain.records import TaskGroupRecord
from afield.service.domain.refusals import Refusal
from afield.wire.messages import ErrorDetails, Result

__all__ = ["LONGEST_S", "SHORTEST_S", "check_times", "kept_for", "waits_for", "within"]

#: What a task group may ask for, in seconds. Less than a minute is no time to fetch anything in.
SHORTEST_S: Final = 60.0
LONGEST_S: Final = 10 * 365 * 86_400.0

_TOO_LARGE: Final = "MaxResultSizeExceeded"


def within(result: Result, most: int) -> Result:
    """The result, or, if it is larger than results may be, one that says so. Endpoints have the same limit of their own
    (reference: wire contract section 5.7), and the same name for it; this is for those that keep another one.

    :param most: bytes, of value and exception together
    """
    size = len(result.data) + len(result.exception or b"")
    if size <= most:
        return result
    text = (
        f"The result has {size:,} bytes when serialized, and this service keeps at most {most:,}. Write large data to "
        "where you can read it, and return its place."
    )
    return msgspec.structs.replace(
        result, data=f"{_TOO_LARGE}: {text}".encode(), error=ErrorDetails(_TOO_LARGE, text), exception=None
    )


def kept_for(group: TaskGroupRecord, default_s: float) -> float:
    """Seconds for which the group's ended tasks are kept.

    :param default_s: the service's
    """
    return default_s if group.retention_s is None else group.retention_s


def waits_for(group: TaskGroupRecord, default_s: float) -> float:
    """Seconds for which the group's tasks wait for their endpoint."""
    return default_s if group.waiting_s is None else group.waiting_s


def check_times(most_s: float, **times: float | None) -> Refusal | None:
    """Why a task group's tasks cannot be kept for so long; None: they can.

    :param most_s: the longest that the service allows; 0: as long as anybody likes
    :param times: seconds, under the names that the request gives them; None: the service's own
    """
    longest = min(most_s, LONGEST_S) if most_s else LONGEST_S
    for name, seconds in times.items():
        # A comparison with NaN is never true.
        if seconds is not None and not SHORTEST_S <= seconds <= longest:
            return refusals.invalid(
                f"{name}={seconds:g} is not a number of seconds from {SHORTEST_S:,.0f} to {longest:,.0f}, between "
                "which this service keeps tasks. Write one, or null for the service's own."
            )
    return None
