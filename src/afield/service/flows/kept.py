"""What a broker with a disk has taken into its keeping: the store is told, so that nothing is handed over twice.

About twice a second, in one commit, and when the service stops. If it is killed before that, what it handed over in
its last moments is handed over once more by whoever is on duty (use/rounds.py); endpoints of ours and clients know it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from afield.service.clock import Clock
from afield.service.store.base import Store

__all__ = ["Kept"]

#: Seconds between the broker's confirm and the store's hearing of it.
_PAUSE_S: Final = 0.5


class Kept:
    """Collects what was confirmed."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._results: list[str] = []
        self._hand_overs: list[str] = []
        self._something = asyncio.Event()

    def results(self, task_ids: Iterable[str]) -> None:
        """The results of these tasks are in the queues of their groups. Does not wait."""
        self._results.extend(task_ids)
        self._something.set()

    def hand_over(self, task_id: str) -> None:
        """The tasks of the submit that began with this one are in their endpoint's queue. Does not wait."""
        self._hand_overs.append(task_id)
        self._something.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._something.wait()
            await self._clock.sleep(_PAUSE_S)
            await self.flush()

    async def flush(self) -> None:
        """Tell the store what is known so far. What could not be told is told the next time."""
        self._something.clear()
        results, self._results = self._results, []
        hand_overs, self._hand_overs = self._hand_overs, []
        try:
            if hand_overs:
                await self._store.handed_over(hand_overs)
            if results:
                await self._store.mark_delivered(results)
        except Exception:
            self._results += results
            self._hand_overs += hand_overs
            self._something.set()
            raise
