"""PURE: whose result is it?

Theory. Results of a task group arrive by task id, in any order, perhaps twice. Which ids are ours is known from the
answers to our requests, and a result may overtake that answer. So:

1. A result whose id is expected is handed to who expects it, once; the id is then forgotten.
2. While a request is unanswered, an unknown result is kept: it may be an early one. When the last answer is in, what
   was kept and nobody claimed belongs to somebody else, and is dropped.
3. What is kept is bounded. When the bound is reached the oldest is dropped and :attr:`Matcher.spilled` says so: then
   ids that are announced later have to be asked for, because their result may have been there.
4. An unknown result at any other time is a double, or another program's: dropped.
   Whether it goes back into the queue, for another program, is for :class:`Strays` to say.
5. Notices, which say where a task is, find who waits likewise, but are not what anybody waits for: while a request is
   unanswered the last one of each task is kept, and one that is dropped is no loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, TypeVar

__all__ = ["MOST_EARLY", "Matcher", "Strays"]

W = TypeVar("W")
R = TypeVar("R")
N = TypeVar("N")

#: Early results kept: several requests' worth.
MOST_EARLY: Final = 10_000


#: How often a message that is for nobody here is put back. A broker serves those who consume a queue in turn, so among
#: this many programs and one more it has come round to each.
MOST_PUT_BACK: Final = 4


class Strays:
    """Messages for nobody here: which go back into the queue, because another program may wait for them.

    Not for ever, for what nobody waits for any more would go round and round. Others count for themselves, so it is
    enough that each gives up some time.

    :param most: how often each is put back
    :param most_known: of how many this is remembered; beyond that the oldest is forgotten, and begins anew
    """

    def __init__(self, most: int = MOST_PUT_BACK, most_known: int = MOST_EARLY) -> None:
        self._most, self._most_known = most, most_known
        self._times: dict[str, int] = {}

    def put_back(self, task_id: str) -> bool:
        """Whether the message with this task's result is to be put back now that it has come."""
        times = self._times.pop(task_id, 0)
        if times >= self._most:
            return False
        self._times[task_id] = times + 1
        if len(self._times) > self._most_known:
            del self._times[next(iter(self._times))]
        return True


class Matcher(Generic[W, R, N]):
    """Results of one task group, and notices about its tasks, and who waits for them.

    :param most_early: how many early results are kept
    """

    def __init__(self, most_early: int = MOST_EARLY) -> None:
        self._most_early = most_early
        self._unanswered = 0
        self._early: dict[str, R] = {}
        self._early_notices: dict[str, N] = {}
        #: whether an early result had to be dropped since the last time no request was under way
        self.spilled = False
        #: task id -> who waits for it
        self.expected: dict[str, W] = {}

    @property
    def idle(self) -> bool:
        """Whether nobody waits and no request is unanswered."""
        return not self.expected and not self._unanswered

    def asked(self) -> None:
        """A request that makes tasks in this group is on its way; :meth:`answered` or :meth:`refused` follows."""
        self._unanswered += 1

    def answered(self, tasks: Mapping[str, W]) -> list[tuple[W, R]]:
        """The request made these tasks. Results that were early come back, each with who waits for it."""
        met = []
        for task_id, waiter in tasks.items():
            if task_id in self._early:
                met.append((waiter, self._early.pop(task_id)))
            else:
                self.expected[task_id] = waiter
        self._settle()
        return met

    def refused(self) -> None:
        """The request made no tasks."""
        self._settle()

    def arrived(self, task_id: str, result: R) -> W | None:
        """A result came: who waits for it, or None."""
        waiter = self.expected.pop(task_id, None)
        if waiter is None and self._unanswered:
            self._early[task_id] = result
            if len(self._early) > self._most_early:
                del self._early[next(iter(self._early))]
                self.spilled = True
        return waiter

    def told(self, task_id: str) -> bool:
        """A task's end was told of, and not brought: it has to be asked for. Whether somebody waits for it."""
        if task_id in self.expected:
            return True
        # It may be an early one; then ids that are announced later have to be asked for, too.
        self.spilled = self.spilled or self._unanswered > 0
        return False

    def noticed(self, task_id: str, notice: N) -> W | None:
        """A notice came: who waits for that task, or None."""
        waiter = self.expected.get(task_id)
        if waiter is None and self._unanswered:
            self._early_notices[task_id] = notice
            if len(self._early_notices) > self._most_early:
                del self._early_notices[next(iter(self._early_notices))]
        return waiter

    def early_notices(self) -> list[tuple[W, N]]:
        """Notices that were early, and whose tasks have been announced since; each once."""
        met = [(self.expected[i], notice) for i, notice in self._early_notices.items() if i in self.expected]
        self._early_notices = (
            {i: notice for i, notice in self._early_notices.items() if i not in self.expected}
            if self._unanswered
            else {}
        )
        return met

    def give_up(self) -> list[W]:
        """Nothing more will come: all who wait."""
        waiters = list(self.expected.values())
        self.expected.clear()
        self._early.clear()
        self._early_notices.clear()
        return waiters

    def _settle(self) -> None:
        self._unanswered -= 1
        if not self._unanswered:
            self._early.clear()
            self.spilled = False
