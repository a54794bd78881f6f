"""Which user endpoint has which unfinished task, and what becomes of the tasks of one whose life has ended.

Theory. An unfinished task is *queued*, or it was *taken*: acknowledged by its user endpoint. Our endpoints acknowledge
a task when its result is safe, so whatever else they had is queued again by itself when they end, and what had begun
there they know from their own journal. Published endpoints acknowledge when their engine has accepted a task
(reference: wire contract section 4.4); if such a process ends, nobody ever says what became of what it took. So when a
life ends, what was taken in it is *ending*, and *lost* if its result does not come within a grace period: results may
be on their way, or in a broker's hands.

How a life ends: it says goodbye; it is not heard of any more; or the next life reports, which is told by another start
time or process id. In that last case both may have taken tasks, and which is whose is told by the connection over which
they were taken: the connections of the old one are over. What was taken before this service started came over one that
is over, too; unless it was taken by a process that had not reported yet, whose first report is still to come. Of these
ends, silence alone can be taken back: who is heard of again was only out of earshot.

Being lost is not the end: what then becomes of a task is decided by what its submitter allowed (:func:`runs_again`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final

from afield.service.domain.liveness import GRACE_S
from afield.wire.messages import CallOptions

__all__ = ["EARLY", "GONE", "GRACE_S", "Holding", "runs_again"]

#: Stands for every connection that was over when this service started.
GONE: Final = None

#: Stands for those among them whose process had not reported: its first report comes next.
EARLY: Final = "early"


def runs_again(options: CallOptions | None, lost: int) -> bool:
    """Whether a task that was possibly begun may be queued again.

    :param options: what was asked for the call
    :param lost: how many lives it was lost with, this one included
    """
    return options is not None and options.retries >= lost


class Holding:
    """Unfinished tasks, by id. Times are unix seconds.

    :param grace_s: how long, in seconds, results of an ended life are waited for
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.grace_s = grace_s
        # task -> user endpoint
        self._holders: dict[str, str] = {}
        # user endpoint -> how many unfinished tasks
        self._counts: dict[str, int] = {}
        # user endpoint -> task -> the connection over which it was taken
        self._taken: dict[str, dict[str, object]] = {}
        # user endpoint -> task -> (that connection, when it is lost, whether that can be taken back)
        self._ending: dict[str, dict[str, tuple[object, float, bool]]] = {}

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
            self._forget(holder, task_id)

    def holder(self, task_id: str) -> str | None:
        """Whose an unfinished task is; None: it is not known here."""
        return self._holders.get(task_id)

    def taken(self, holder: str, task_ids: Iterable[str], by: object = GONE) -> list[str]:
        """A user endpoint has acknowledged tasks.

        :param by: its connection
        :return: those that are its own and have not ended; others are of no interest
        """
        found = [task_id for task_id in task_ids if self._holders.get(task_id) == holder]
        for task_id in found:
            self._forget(holder, task_id)
            self._taken.setdefault(holder, {})[task_id] = by
        return found

    def queued_again(self, task_ids: Iterable[str]) -> None:
        """Tasks were taken, and are in their queue once more."""
        for task_id in task_ids:
            holder = self._holders.get(task_id)
            if holder is not None:
                self._forget(holder, task_id)

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

    def readers(self, holder: str) -> set[object]:
        """The connections over which a user endpoint has taken what it has."""
        return set(self._taken.get(holder, {}).values())

    def life_ended(self, holder: str, now: float, *, silent: bool = False, but: Iterable[object] = ()) -> None:
        """The process of a user endpoint is gone.

        :param silent: nobody said so; it is not heard of
        :param but: connections that are not its, but the next one's; for the first report of the next one, with
            :data:`EARLY`
        """
        spared = frozenset(but)
        if not silent:  # what was silent is gone for certain now, or certainly not
            self._take_back(holder, spared)
            for task_id, (by, deadline, _) in self._ending.get(holder, {}).items():
                self._ending[holder][task_id] = (by, deadline, False)
        for task_id, by in list(self._taken.get(holder, {}).items()):
            if by not in spared:
                del self._taken[holder][task_id]
                self._ending.setdefault(holder, {})[task_id] = (by, now + self.grace_s, silent)
        if not self._taken.get(holder, True):
            del self._taken[holder]

    def reported(self, holder: str) -> None:
        """A process of it has reported: what was taken early is its, and ends with it."""
        taken = self._taken.get(holder, {})
        if EARLY in taken.values():
            self._taken[holder] = {task_id: GONE if by is EARLY else by for task_id, by in taken.items()}

    def life_goes_on(self, holder: str) -> None:
        """A process of it is there: if it was taken for gone because it was silent, it was not."""
        self._take_back(holder, {by for by, _, _ in self._ending.get(holder, {}).values()})

    def _take_back(self, holder: str, whose: Container[object]) -> None:
        ending = self._ending.get(holder, {})
        for task_id, (by, _, silent) in list(ending.items()):
            if silent and by in whose:
                del ending[task_id]
                self._taken.setdefault(holder, {})[task_id] = by
        if not self._ending.get(holder, True):
            del self._ending[holder]

    def lost(self, now: float) -> list[str]:
        """Tasks that nobody will finish any more. The caller ends them, or queues them again."""
        return [
            task_id
            for ending in self._ending.values()
            for task_id, (_, deadline, _) in ending.items()
            if now >= deadline
        ]

    def _forget(self, holder: str, task_id: str) -> None:
        for kept in (self._taken, self._ending):
            of_holder = kept.get(holder)
            if of_holder is not None:
                of_holder.pop(task_id, None)
                if not of_holder:
                    del kept[holder]
