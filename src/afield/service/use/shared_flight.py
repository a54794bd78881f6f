"""Unfinished tasks where several services share a store: nothing is known here that another could make untrue.

Each of them accepts tasks and reads results, so what one remembers of them would soon be wrong, and would grow. All is
asked of the store. What the endpoints' queues hold, the broker knows, which outlives every service.

How many tasks wait, for quotas, need not be exact: the store is asked now and then, and what this service has accepted
since is added. What others have accepted meanwhile is missed until the next look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from time import perf_counter
from typing import Final

from afield.service.domain.holding import GRACE_S
from afield.service.domain.records import TaskRecord
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight

__all__ = ["SharedFlight"]

#: Seconds for which a look at the store is good, at least; and no more than this part of the time is spent on looking.
_GOOD_S: Final = 2.0
_SHARE: Final = 0.05


class SharedFlight(InFlight):
    """Remembers nothing but numbers."""

    def __init__(self, store: Store, grace_s: float = GRACE_S) -> None:
        super().__init__(store, grace_s)
        self._counts: dict[str, int] = {}
        self._since: Counter[str] = Counter()
        self._good_until = 0.0

    def begin(self, tasks: Sequence[TaskRecord]) -> None:
        """They are in the store; here they are only counted."""
        self._since.update(task.user_endpoint_id for task in tasks)

    def taken(self, *_: object) -> list[str]:
        """A broker elsewhere does not tell; see use/rounds.py."""
        return []

    async def look(self, now: float, *, anew: bool = False) -> None:
        """Ask the store, if that was not just done."""
        if now < self._good_until and not anew:
            return
        self._good_until = now + _GOOD_S  # whoever asks meanwhile takes what there is
        began = perf_counter()
        self._since.clear()  # what comes during the look may count twice until the next one, but is not missed
        self._counts = await self._store.waiting_counts()
        self._good_until = now + max(_GOOD_S, (perf_counter() - began) / _SHARE)

    def waiting(self, user_endpoint_id: str) -> int:
        """Those that have not ended."""
        return self._counts.get(user_endpoint_id, 0) + self._since[user_endpoint_id]
