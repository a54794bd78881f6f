"""PURE: which tasks an agent holds, under which deliveries, and which deliveries may be acknowledged.

Theory. A task is named by its id, a delivery by its tag. One delivery holds many tasks; one task may come in several
deliveries, for after a reconnection the broker delivers again, under new tags, what was not acknowledged. A delivery
may be acknowledged when all its tasks are settled, and a task is settled when its result is safe elsewhere. So the
ledger counts for each open delivery the tasks that are not settled, and remembers for each task the tags it came under.

A settled task is remembered for a while: its acknowledgement may be lost with the connection, and then it comes again
and must not run again. As long as a delivery in which it came is open, or will come again because its connection broke,
it is remembered without condition.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from itertools import islice
from typing import Final

__all__ = ["REMEMBERED", "Ledger", "Phase"]

#: How many settled tasks are remembered. It has to cover the acknowledgements that can be on their way when a
#: connection breaks: a broker that reads none of them confirms no results either, so these are never many.
REMEMBERED: Final = 20_000

#: How many of them are remembered from one life to the next, when that was said goodbye to in good order.
_MARGIN: Final = 1_000

#: Stands for a delivery of an earlier connection that was open when that broke, and will come again.
_WILL_COME_AGAIN: Final = -1
_AGAIN: Final = (_WILL_COME_AGAIN,)


class Phase(IntEnum):
    """Where a held task is."""

    WAITING = 1  #: here, not handed to the engine
    HANDED = 2  #: with the engine
    FINISHED = 3  #: it has a result, which is not safe yet


class _Entry:
    __slots__ = ("phase", "tags")

    def __init__(self, phase: Phase, tag: int | None) -> None:
        self.phase = phase
        self.tags: tuple[int, ...] = () if tag is None else (tag,)


class Ledger:
    """The tasks of one agent.

    :param settled: tasks that earlier lives settled
    :param remembered: how many settled tasks to remember
    """

    def __init__(self, settled: Iterable[str] = (), remembered: int = REMEMBERED) -> None:
        self._held: dict[str, _Entry] = {}
        self._open: dict[int, int] = {}
        self._settled: dict[str, tuple[int, ...]] = dict.fromkeys(settled, ())
        self._remembered = remembered
        self._slack = remembered // 16

    def __len__(self) -> int:
        return len(self._held)

    def phase(self, task_id: str) -> Phase | None:
        """Where a task is; None: not held."""
        entry = self._held.get(task_id)
        return None if entry is None else entry.phase

    def settled(self, task_id: str) -> bool:
        """Whether its result is safe, as far as is remembered."""
        return task_id in self._settled

    def names(self, *, certain: bool = False) -> tuple[list[str], list[str]]:
        """The ids of all held tasks, and of all remembered ones.

        :param certain: leave out those that cannot come again if every acknowledgement has arrived, but not the last
            few: whether it has is only as good as a broker's goodbye
        """
        settled = list(self._settled)
        if certain:
            old, last = settled[:-_MARGIN], settled[-_MARGIN:]
            settled = [task_id for task_id in old if self._may_come(self._settled[task_id])] + last
        return list(self._held), settled

    def begin_delivery(self, tag: int) -> None:
        """A delivery came; its tasks follow."""
        self._open[tag] = 0

    def came_again(self, tag: int, task_id: str) -> bool:
        """Note a task that is known already under this delivery; False: it is new here."""
        entry = self._held.get(task_id)
        if entry is not None:
            if tag not in entry.tags:
                entry.tags += (tag,)
                self._open[tag] += 1
            return True
        if task_id in self._settled:
            self._settled[task_id] = (tag,)
            return True
        return False

    def add(self, tag: int | None, task_id: str, phase: Phase) -> None:
        """A new task; without a tag, one that an earlier life left with a result."""
        self._held[task_id] = _Entry(phase, tag)
        if tag is not None:
            self._open[tag] += 1

    def leave(self, tag: int) -> None:
        """A task of this delivery is not taken: so the delivery is never acknowledged."""
        self._open[tag] += 1

    def end_delivery(self, tag: int) -> list[int]:
        """No more tasks in it; ``[tag]`` if it may be acknowledged at once."""
        if self._open[tag]:
            return []
        del self._open[tag]
        return [tag]

    def move(self, task_id: str, phase: Phase) -> None:
        """A held task is somewhere else now."""
        self._held[task_id].phase = phase

    def give_back(self, task_id: str) -> None:
        """Forget a task that shall be delivered again: its deliveries stay open until the connection ends."""
        self._held.pop(task_id, None)

    def settle(self, task_ids: Iterable[str]) -> tuple[list[str], list[int]]:
        """These results are safe; the ids that were held, and the tags that may be acknowledged now."""
        settled: list[str] = []
        tags: list[int] = []
        for task_id in task_ids:
            entry = self._held.pop(task_id, None)
            if entry is None:
                continue
            settled.append(task_id)
            for tag in entry.tags:
                self._open[tag] -= 1
                if not self._open[tag]:
                    del self._open[tag]
                    tags.append(tag)
            self._remember(task_id, entry.tags or _AGAIN)
        return settled, tags

    def disconnect(self) -> None:
        """Every tag is void. What was in an open delivery will come again."""
        for task_id, tags in self._settled.items():
            if tags != () and any(tag in self._open for tag in tags):
                self._settled[task_id] = _AGAIN
        for entry in self._held.values():
            entry.tags = ()
        self._open.clear()

    def _remember(self, task_id: str, tags: tuple[int, ...]) -> None:
        settled = self._settled
        settled[task_id] = tags
        if len(settled) > self._remembered + self._slack:
            # Many at once: the way to the oldest entry of a dict leads past all that were removed before it.
            for oldest in list(islice(settled, len(settled) - self._remembered)):
                tags = settled.pop(oldest)
                if self._may_come(tags):
                    settled[oldest] = tags  # it goes to the end of the line

    def _may_come(self, tags: tuple[int, ...]) -> bool:
        return any(tag == _WILL_COME_AGAIN or tag in self._open for tag in tags)
