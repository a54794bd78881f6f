"""PURE: the jobs that wait for a worker, and whose turn it is.

Jobs wait in the order in which they were submitted. What was sent and came back without having begun goes before all
that was never sent. Two kinds of job are not like the others:

* One that needs several workers' shares waits at the head of the line until so many are free, and nobody overtakes
  it: or a stream of small jobs would keep it waiting for ever.
* One that needs accelerators steps aside while they are taken, for those behind it may do without. It stands first
  again as soon as there are enough; among themselves such jobs keep their order.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

__all__ = ["Item", "Line", "Needs"]

J = TypeVar("J")


class Needs:
    """What a job needs beside one worker.

    :param cores: workers' shares, from 1 up
    :param gpus: accelerators
    """

    __slots__ = ("cores", "devices", "gpus")

    def __init__(self, cores: int = 1, gpus: int = 0) -> None:
        self.cores = cores
        self.gpus = gpus
        #: the names of its accelerators, while it has them
        self.devices: tuple[str, ...] = ()


class Item(Generic[J]):
    """One job on its way through the engine."""

    __slots__ = ("job", "needs", "number", "removed", "size", "worker")

    def __init__(self, job: J, number: int, size: int, needs: Needs | None) -> None:
        self.job = job
        #: in order of submission
        self.number = number
        #: bytes, roughly
        self.size = size
        #: None: one worker is enough
        self.needs = needs
        #: where it was sent; None: it waits
        self.worker: int | None = None
        #: taken out while it waited, and not yet swept up
        self.removed = False

    def __lt__(self, other: Item[J]) -> bool:
        return self.number < other.number


class Line(Generic[J]):
    """Who waits."""

    __slots__ = ("_aside", "_fresh", "_returned", "choosy", "waiting")

    def __init__(self) -> None:
        self._fresh: deque[Item[J]] = deque()
        # Each of them is older than all fresh ones, for jobs are sent in order. Heaps, by number.
        self._returned: list[Item[J]] = []
        self._aside: list[Item[J]] = []
        #: jobs that wait
        self.waiting = 0
        #: those of them that need accelerators, whether or not it was their turn already
        self.choosy = 0

    @property
    def aside(self) -> int:
        """How many of them were seen to need accelerators."""
        return len(self._aside)

    def join(self, item: Item[J]) -> None:
        """Its job is new."""
        self._fresh.append(item)
        self.waiting += 1
        if item.needs is not None:
            self.choosy += item.needs.gpus > 0

    def come_back(self, item: Item[J]) -> None:
        """Its job was sent, and did not begin."""
        heappush(self._returned, item)
        self.waiting += 1
        if item.needs is not None:
            self.choosy += item.needs.gpus > 0

    def leave(self, item: Item[J]) -> None:
        """Nobody wants its job any more."""
        assert not item.removed
        item.removed = True
        self.waiting -= 1
        if item.needs is not None:
            self.choosy -= item.needs.gpus > 0
        if item.needs is not None and item in self._aside:
            self._aside.remove(item)
            heapify(self._aside)

    def first(self, free: int) -> Item[J] | None:
        """Whose turn it is.

        :param free: accelerators that nobody has
        :returns: None: nobody waits who could begin with so many
        """
        if self._fresh and not self._returned and not self._aside:
            # Nearly always. This is done for each job, so it is worth the lines.
            head = self._fresh[0]
            if head.needs is None and not head.removed:
                return head
        return self._look_closer(free)

    def _look_closer(self, free: int) -> Item[J] | None:
        while True:
            aside = self._aside
            if aside and aside[0].needs is not None and aside[0].needs.gpus <= free:
                return aside[0]
            head = self._head()
            if head is None or head.needs is None or not head.needs.gpus:
                return head
            self._pop()
            heappush(aside, head)

    def take(self, item: Item[J]) -> None:
        """Its turn has come: it is what :meth:`first` has just said."""
        self.waiting -= 1
        if item.needs is not None:
            self.choosy -= item.needs.gpus > 0
        if self._fresh and self._fresh[0] is item and not self._returned:
            self._fresh.popleft()
        elif self._aside and self._aside[0] is item:
            heappop(self._aside)
        else:
            self._pop()

    def drain(self) -> list[J]:
        """All, oldest first; afterwards nobody waits."""
        items = [*self._returned, *self._fresh, *self._aside]
        self._returned.clear()
        self._fresh.clear()
        self._aside.clear()
        self.waiting = self.choosy = 0
        return [item.job for item in sorted(items) if not item.removed]

    def _head(self) -> Item[J] | None:
        """Who would be first, if nobody had stepped aside."""
        while self._returned:
            if not self._returned[0].removed:
                return self._returned[0]
            heappop(self._returned)
        while self._fresh:
            if not self._fresh[0].removed:
                return self._fresh[0]
            self._fresh.popleft()
        return None

    def _pop(self) -> None:
        if self._returned:
            heappop(self._returned)
        else:
            self._fresh.popleft()
