"""PURE: which job is where: in the line, in a bundle on its way, in a bundle that a worker has begun.

A bundle that was handed to HTEX is a :class:`Load`. It is *taken* when a worker says that it has it; from then on its
jobs may have begun, and not before. Each of its jobs leaves it in one of three ways: it is settled, it is given back
and waits again before all that came later, or it is lost with the load. What HTEX says in the end and what the worker
said before through the control channel may arrive in any order and overlap: the first word about a job counts.

Without a control channel nobody says that a load was taken. Then it counts as taken when it is handed over, and has one
job only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from afield.endpoint.engines.line import Item, Line
from afield.endpoint.engines.parsl.bundles import BUNDLE_MOST, Estimates, fill, most_bundles

__all__ = ["Load", "Loads"]

J = TypeVar("J")

#: How often a load is seen not taken before it travels again.
_LOOKS: Final = 3


class Load(Generic[J]):
    """One bundle that was handed to HTEX."""

    __slots__ = ("items", "looks", "number", "open", "stopped", "taken", "worker")

    def __init__(self, number: int, items: list[Item[J]], *, taken: bool) -> None:
        self.number = number
        #: its jobs, by their places in it
        self.items = items
        #: places whose fate is not known, in order
        self.open: dict[int, None] = dict.fromkeys(range(len(items)))
        #: jobs may have begun
        self.taken = taken
        #: who has it; None: nobody has said so
        self.worker: int | None = None
        #: how often somebody saw it not taken, though there were idle workers
        self.looks = 0
        #: places of jobs that nobody wants any more, before it is taken
        self.stopped: list[int] = []

    @property
    def first(self) -> Item[J] | None:
        """The oldest job whose fate is not known."""
        return self.items[next(iter(self.open))] if self.open else None


class Loads(Generic[J]):
    """The jobs of one engine.

    :param digest: names a job's function
    """

    def __init__(self, digest: Callable[[J], bytes], *, alone: bool = False) -> None:
        self._digest = digest
        #: every load is of one job
        self.alone = alone
        self._line: Line[J] = Line()
        self._loads: dict[int, Load[J]] = {}
        self._jobs = self._count = 0
        self.estimates = Estimates()
        #: loads can be of several jobs, for workers say what they do
        self.heard = True

    @property
    def waiting(self) -> int:
        """Jobs in the line."""
        return self._line.waiting

    @property
    def loads(self) -> Iterable[Load[J]]:
        """Those whose jobs are not all settled or given back."""
        return self._loads.values()

    def get(self, number: int) -> Load[J] | None:
        """One of them."""
        return self._loads.get(number)

    @property
    def begun(self) -> int:
        """Jobs that run, as far as is known."""
        return sum(load.taken for load in self._loads.values())

    @property
    def outstanding(self) -> int:
        """Jobs in the line or with HTEX."""
        return self.waiting + sum(len(load.open) for load in self._loads.values())

    def submit(self, job: J, size: int) -> Item[J]:
        """A new job, of about ``size`` bytes."""
        item = Item(job, self._jobs, size, None)
        self._jobs += 1
        self._line.join(item)
        return item

    def come_back(self, item: Item[J]) -> None:
        """A job that was settled is to run again."""
        item.worker = None
        self._line.come_back(item)

    def next_load(self, *, workers: int, possible: int) -> Load[J] | None:
        """What to hand to HTEX now; None: nothing.

        :param workers: those that have introduced themselves
        :param possible: how many there may be
        """
        head = self._line.first(0)
        if head is None:
            return None
        expected = self.estimates.of(self._digest(head.job))
        if len(self._loads) >= most_bundles(workers=workers, possible=possible, expected=expected):
            return None
        share = -(-self.waiting // (2 * workers)) if workers and self.heard and not self.alone else 1
        items = self._take(share)
        self._count += 1
        load = Load(self._count, items, taken=not self.heard)
        self._loads[load.number] = load
        for item in items:
            item.worker = load.number
        return load

    def _take(self, share: int) -> list[Item[J]]:
        """The jobs of the next bundle, out of the line."""
        taken: list[Item[J]] = []
        sizes: list[tuple[float, int]] = []
        while len(taken) < min(share, BUNDLE_MOST) and (item := self._line.first(0)) is not None:
            sizes.append((self.estimates.of(self._digest(item.job)), item.size))
            if taken and fill(sizes, share) < len(sizes):
                break
            self._line.take(item)
            taken.append(item)
        return taken

    def overdue(self) -> list[Load[J]]:
        """Loads that nobody takes, to be given back. To be asked now and then, while there are idle workers.

        HTEX hands tasks to a node that has died for as long as it believes in it, which may be minutes. A load that
        nobody has taken can travel a second time without harm: the first is not begun any more, wherever it turns up.

        Those that travel alone may wait for nodes where they are; each time they travelled, they would wait once more.
        """
        if self.alone:
            return []
        found = []
        for load in self._loads.values():
            load.looks += 1
            if not load.taken and load.looks >= _LOOKS:
                found.append(load)
        return found

    def may_begin(self, number: int, worker: int) -> Load[J] | None:
        """A worker has this load. None: it must not begin it, for it is not wanted, or older jobs go first."""
        load = self._loads.get(number)
        if load is None or load.taken or load.first is None:
            return None
        head = self._line.first(0)
        if head is not None and head.number < load.first.number:
            return None
        load.taken, load.worker = True, worker
        return load

    def settle(self, number: int, index: int) -> Item[J] | None:
        """The fate of a job is known; None: it was known before."""
        load = self._loads.get(number)
        if load is None or index not in load.open:
            return None
        del load.open[index]
        self._close(load)
        return load.items[index]

    def give_back(self, number: int, places: Iterable[int]) -> list[J]:
        """These jobs have not begun, and wait again. Returns them."""
        load = self._loads.get(number)
        if load is None:
            return []
        items = [load.items[index] for index in places if load.open.pop(index, self) is None]
        for item in items:
            item.worker = None
            self._line.come_back(item)
        self._close(load)
        return [item.job for item in items]

    def lose(self, number: int) -> list[J]:
        """A load is lost with its worker, node or batch job, or by the end of HTEX.

        :returns: the jobs that may have begun; the others wait again
        """
        load = self._loads.get(number)
        if load is None:
            return []
        if not load.taken:
            self.give_back(number, list(load.open))
            return []
        del self._loads[number]
        return [load.items[index].job for index in load.open]

    def leave(self, item: Item[J]) -> bool:
        """Nobody wants this job. True: it will not begin; False: it may have begun."""
        if item.worker is None:
            self._line.leave(item)
            return True
        load = self._loads[item.worker]
        if load.taken:
            return False
        index = load.items.index(item)
        load.stopped.append(index)
        del load.open[index]
        self._close(load)
        return True

    def drain(self) -> list[J]:
        """All that have certainly not begun; afterwards nobody waits."""
        for load in [load for load in self._loads.values() if not load.taken]:
            self.give_back(load.number, list(load.open))
        return self._line.drain()

    def _close(self, load: Load[J]) -> None:
        if not load.open:
            del self._loads[load.number]
