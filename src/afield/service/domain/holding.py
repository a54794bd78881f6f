"""Which user endpoint has which unfinished task, and what becomes of the tasks of one whose life has ended.

Theory. An unfinished task is *queued*, or it was *taken*: acknowledged by its user endpoint. Our endpoints acknowledge
a task when its result is safe, so whatever else they had is queued again by itself when they end. Published endpoints
acknowledge when their engine has accepted a task (reference: wire contract section 4.4); if such a process ends, nobody
ever says what became of what it took. So when a life ends, what was taken in it is *lost*, unless its result still
comes within a grace period.

How a life ends: it says goodbye; it is not heard of any more; or the next life reports, which is told by another start
time. In that case only what was taken by the time of the last report of the old life certainly was the old one's; what
came in between is left to the end of the new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["GRACE_S", "Holding"]

#: How long, in seconds, results of an ended life are waited for.
GRACE_S: Final = 60.0


class Holding:
    """Unfinished tasks, by id. Times are unix seconds."""

    def __init__(self) -> None:
        # task -> user endpoint
        self._holders: dict[str, str] = {}
        # user endpoint -> how many unfinished tasks
        self._counts: dict[str, int] = {}
        # user endpoint -> task -> when it was taken
        self._taken: dict[str, dict[str, float]] = {}
        # user endpoint -> task -> (when it was taken, when it is lost)
        self._ending: dict[str, dict[str, tuple[float, float]]] = {}

    def begin(self, tasks: Iterable[tuple[str, str]]) -> None:
        """Tasks were accepted: (task, user endpoint)."""
        for task_id, holder in tasks:
            if task_id not in self._holders:
                self._holders[task_id] = holder
                self._counts[holder] = self._counts.get(holder, 0) + 1

    def end(self, task_ids: Iterable[str]) -> None:
        """Tasks have ended."""
        for task_id in task_ids:
            holder = self._holders.pop(task_id, None)
            if holder is None:
                continue
            self._counts[holder] -= 1
            if not self._counts[holder]:
                del self._counts[holder]
            for kept in (self._taken, self._ending):
                of_holder = kept.get(holder)
                if of_holder is not None:
                    of_holder.pop(task_id, None)
                    if not of_holder:
                        del kept[holder]

    def holder(self, task_id: str) -> str | None:
        """Whose an unfinished task is; None: it is not known here."""
        return self._holders.get(task_id)

    def taken(self, holder: str, task_ids: Iterable[str], now: float) -> None:
        """A user endpoint has acknowledged tasks. Those that have ended are of no interest."""
        for task_id in task_ids:
            if self._holders.get(task_id) == holder:
                self._taken.setdefault(holder, {})[task_id] = now

    def is_taken(self, task_id: str) -> bool:
        """Whether an unfinished task was acknowledged by its user endpoint, as far as is known here."""
        holder = self._holders.get(task_id)
        if holder is None:
            return False
        return task_id in self._taken.get(holder, ()) or task_id in self._ending.get(holder, ())

    def queued(self, holder: str) -> int:
        """How many unfinished tasks of a user endpoint wait in its queue."""
        return self._counts.get(holder, 0) - len(self._taken.get(holder, ())) - len(self._ending.get(holder, ()))

    def holders(self) -> list[str]:
        """The user endpoints that have unfinished tasks."""
        return list(self._counts)

    def life_ended(self, holder: str, now: float, *, taken_by: float | None = None) -> None:
        """The process of a user endpoint is gone.

        :param taken_by: what was taken later is not known to be its; None: everything is
        """
        for task_id, moment in list(self._taken.get(holder, {}).items()):
            if taken_by is None or moment <= taken_by:
                del self._taken[holder][task_id]
                self._ending.setdefault(holder, {})[task_id] = (moment, now + GRACE_S)
        if not self._taken.get(holder, True):
            del self._taken[holder]

    def life_goes_on(self, holder: str) -> None:
        """It was only out of earshot."""
        for task_id, (moment, _) in self._ending.pop(holder, {}).items():
            self._taken.setdefault(holder, {})[task_id] = moment

    def lost(self, now: float) -> list[str]:
        """Tasks that nobody will finish any more. The caller ends them."""
        return [
            task_id for ending in self._ending.values() for task_id, (_, deadline) in ending.items() if now >= deadline
        ]
