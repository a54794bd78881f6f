"""Unfinished tasks where several services share a store: nothing is known here that another could make untrue.

Each of them accepts tasks and reads results, so what one remembers of them would soon be wrong, and would grow. All is
asked of the store. What the endpoints' queues hold, the broker knows, which outlives every service.
"""

from __future__ import annotations

from collections.abc import Sequence

from afield.service.domain.records import TaskRecord
from afield.service.use.in_flight import InFlight

__all__ = ["SharedFlight"]


class SharedFlight(InFlight):
    """Remembers nothing."""

    def begin(self, tasks: Sequence[TaskRecord]) -> None:
        """They are in the store."""

    def taken(self, *_: object) -> list[str]:
        """A broker elsewhere does not tell; see use/rounds.py."""
        return []
