"""PURE: which worker gets which job, how far ahead, and what becomes of the jobs of a worker that dies.

Theory of operation
===================

Whoever hands a job to a worker only when that worker is idle pays a round trip for each job. Whoever sends jobs ahead
has two other troubles: a short job may be stranded behind a long one, and when a worker dies nobody knows which of its
jobs had begun. Permits do away with both.

Beside its channel each worker has a pipe, the permits. For every job that is sent, one permit is written to the pipe
*before* the job goes into the channel, and the worker takes one permit out of the pipe before it begins a job. The
engine holds the reading end of the pipe too, so it can take permits back. Both ends are non-blocking, and reading one
permit is atomic. Hence, with ``sent`` jobs unanswered and ``left`` permits in the pipe:

1. exactly ``sent - left`` of them were begun, and they are the oldest, for a worker begins its jobs in order;
2. if the engine reads n permits out of the pipe, the youngest n have not begun and never will;
3. a worker answers each job before it takes the next permit, so at most one unanswered job is begun. When a worker is
   dead and its channel is read empty, (1) names the one job that may have had effects; the others are unharmed.

A worker that was robbed still has the recalled jobs in its channel, and must not run them on permits of later jobs.
So permits and jobs carry an epoch. Between a recall and the next job for the same worker the epoch goes up, and that
job is not sent before the worker has answered all that it kept. So at any time the pipe holds permits of one epoch
only, and the worker's rule is: *take a permit; if there is none, or one of another epoch, this job was recalled: skip
it* (and keep the odd permit for the job it belongs to, which is still on its way).

Is it right to skip when there is no permit? Let c jobs of this epoch be begun and r recalled. The pipe is empty, so
``c + r`` permits were written, and a job in hand means at least ``c + 1`` were: so r > 0. After a recall nothing more
is sent in this epoch, so ``c + r`` jobs were sent in all, and the c that were begun are all that were left: the job in
hand is a recalled one.

Who gets what
=============

* A free worker gets the oldest waiting job at once.
* Jobs go ahead to busy workers only while jobs are short; ``pace`` says how many. With jobs longer than its horizon
  nothing is sent ahead, and they begin strictly in order.
* A worker with nothing to do while nothing waits robs the worker that has most: half of what it has ahead.
* A worker that has been on one job for longer than the horizon loses all that it has ahead, as soon as somebody could
  take it.
* What was recalled, or survived a dead worker, goes before all that was never sent.
* A job with needs (:class:`~afield.endpoint.engines.line.Needs`) goes to an idle worker only, and nothing goes behind
  it: its shares and accelerators are taken when it begins and given back when it ends, which will be long. A job of k
  shares runs in one worker, and k - 1 others stay idle meanwhile; which ones does not matter. Whose turn it is,
  ``line`` says.
* A worker may have so many jobs and no more (``most``), because what runs in it may leak. It is sent no more than that,
  so nothing has to be taken back from it at the end: it is idle for good, and replaced.
* A program that has used an accelerator keeps to it, whatever its environment says later. So a worker that had some
  gets the same again, or else a worker that never had any is taken. Where there is neither, one is replaced.

``now`` is any monotonic clock in seconds; the caller hands it in. Nothing in here waits.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from afield.endpoint.engines.line import Item, Line, Needs
from afield.endpoint.engines.pace import HORIZON_S, Pace

__all__ = ["BYTES_AHEAD_MOST", "Batch", "Recall", "Schedule"]

#: Bytes that one worker may have unanswered before no more is sent ahead; they wait in the engine's memory.
BYTES_AHEAD_MOST: Final = 1 << 20

J = TypeVar("J")


class Batch(NamedTuple, Generic[J]):
    """Send these to this worker, in this order."""

    worker: int
    epoch: int
    items: list[Item[J]]


class Recall(NamedTuple):
    """Take up to this many permits back from this worker, then call :meth:`Schedule.recalled`."""

    worker: int
    most: int


class _Worker(Generic[J]):
    """What the schedule knows about a worker."""

    __slots__ = ("devices", "epoch", "held", "quota", "robbed", "since", "size", "spared")

    def __init__(self, quota: float) -> None:
        #: how many jobs it may still be sent
        self.quota = quota
        #: unanswered jobs, oldest first
        self.held: deque[Item[J]] = deque()
        #: bytes in them
        self.size = 0
        self.epoch = 0
        #: accelerators that it has used
        self.devices: tuple[str, ...] = ()
        #: jobs of this epoch were recalled: nothing more before it is idle
        self.robbed = False
        #: a recall found nothing, so its answers are on their way: no other before they arrive
        self.spared = False
        #: when its oldest unanswered job can have begun at the earliest
        self.since = 0.0

    def slow(self, now: float) -> bool:
        """It has been on one job for longer than the horizon."""
        return now - self.since > HORIZON_S


class Schedule(Generic[J]):
    """The jobs of one engine and where they are.

    After any of the other methods, call :meth:`recall` until it says None, then :meth:`assign`; and if it is
    :attr:`blocked` now, both again. Then look at :attr:`unfit` and :attr:`worn`.

    :param devices: the names of the accelerators
    :param most: how many jobs a worker may run before it is :attr:`worn`; None: any number
    """

    def __init__(self, devices: Sequence[str] = (), most: int | None = None) -> None:
        self._most = math.inf if most is None else most
        self._workers: dict[int, _Worker[J]] = {}
        # A dict serves as an ordered set: the worker that has been idle longest comes first.
        self._idle: dict[int, None] = {}
        self._line: Line[J] = Line()
        self._count = 0
        # Shares that running jobs have beside the workers that run them.
        self._claimed = 0
        self._devices = tuple(devices)
        self._free = self._devices
        #: an idle worker that is in the way, for it has used accelerators that are taken: end it, and it is replaced
        self.unfit: int | None = None
        #: workers that have run all the jobs that they may: end them, and they are replaced
        self.worn: set[int] = set()
        #: jobs that were sent and are not answered
        self.sent = 0
        #: how far ahead to send
        self.pace = Pace()

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker."""
        return self._line.waiting

    @property
    def aside(self) -> int:
        """How many of them need accelerators, and do not keep others waiting."""
        return self._line.aside

    @property
    def choosy(self) -> int:
        """How many of those that wait need accelerators, whether or not it was their turn already."""
        return self._line.choosy

    @property
    def idle(self) -> int:
        """Workers' shares that nobody has."""
        # Less than none, if a worker ended while others were claimed.
        return max(0, len(self._idle) - self._claimed)

    @property
    def blocked(self) -> bool:
        """There is a free share, and all that wait need more than is free. Then idle workers may rob others."""
        idle = self.idle
        if not idle or not self.waiting:
            return False
        first = self._line.first(len(self._free))
        return first is None or (first.needs is not None and first.needs.cores > idle)

    @property
    def begun(self) -> int:
        """Jobs that run, if every worker has begun the oldest that it holds."""
        return len(self._workers) - len(self._idle) - (self.unfit is not None) - len(self.worn)

    def submit(self, job: J, size: int, needs: Needs | None = None) -> Item[J]:
        """Take one job of about ``size`` bytes."""
        item = Item(job, self._count, size, needs)
        self._count += 1
        self._line.join(item)
        return item

    def remove(self, item: Item[J]) -> None:
        """Forget a job that waits (``item.worker is None``)."""
        assert item.worker is None
        self._line.leave(item)

    def drain(self) -> list[J]:
        """All that wait, oldest first; afterwards none does."""
        return self._line.drain()

    def joined(self, worker: int) -> None:
        """There is a new worker under this number."""
        self._workers[worker] = _Worker(self._most)
        self._idle[worker] = None

    def answered(self, worker: int, run_s: float, now: float) -> J:
        """A worker answered its oldest job, which ran for ``run_s`` seconds."""
        state = self._workers[worker]
        item = state.held.popleft()
        state.size -= item.size
        state.since = now
        state.spared = False
        self.sent -= 1
        self.pace.ran(run_s)
        if item.needs is not None:
            self._release(item.needs)
        if not state.held:
            self._rest(worker, state)
        return item.job

    def left(self, worker: int, permits: int) -> list[J]:
        """A worker is gone with this many permits unused. Returns the jobs that had begun: none or one.

        All others that it held wait again.
        """
        state = self._workers.pop(worker)
        self._idle.pop(worker, None)
        self.worn.discard(worker)
        if self.unfit == worker:
            self.unfit = None
        self._give_back(state, permits)
        self.sent -= len(state.held)
        for item in state.held:
            if item.needs is not None:
                self._release(item.needs)
        return [item.job for item in state.held]

    def oldest(self, worker: int, permits: int = 0) -> J | None:
        """The oldest job that this worker was sent and did not answer, if it has certainly begun.

        :param permits: how many it has left unused; 0: the oldest has begun, or is about to
        """
        held = self._workers[worker].held
        return held[0].job if len(held) > permits else None

    def since(self, worker: int) -> float:
        """When its oldest job began: in between, only one turn of the loop."""
        return self._workers[worker].since

    def seal(self, worker: int) -> None:
        """Send it nothing more before it is idle."""
        self._workers[worker].robbed = True

    def held(self, worker: int) -> int:
        """How many jobs this worker was sent and did not answer."""
        return len(self._workers[worker].held)

    def recall(self, now: float) -> Recall | None:
        """Whose permits to take back now, if anybody's."""
        idle = self.idle
        hungry = idle > 0 and (idle > self.waiting - self.aside or self.blocked)
        if not (hungry or idle or (self.waiting and self._takers(now))):
            return None
        best, most = -1, 0
        for number, state in self._workers.items():
            ahead = len(state.held) - 1
            if ahead <= 0 or state.spared:
                continue
            count = ahead if state.slow(now) else (ahead + 1) // 2 if hungry else 0
            if count > most:
                best, most = number, count
        return Recall(best, most) if most else None

    def recalled(self, worker: int, permits: int) -> None:
        """So many permits were taken back from this worker: as many of its youngest jobs wait again."""
        state = self._workers[worker]
        # All begun, and one at most runs: so an answer is on its way.
        state.spared = not permits and len(state.held) > 1
        if not permits:
            return
        state.robbed = True
        self._give_back(state, permits)
        if not state.held:
            self._rest(worker, state)

    def assign(self, now: float) -> list[Batch[J]]:
        """Who gets what, now."""
        batches: dict[int, Batch[J]] = {}
        while (idle := self.idle) and (item := self._line.first(len(self._free))) is not None:
            number: int | None
            if item.needs is None:
                number = next(iter(self._idle))
            elif item.needs.cores > idle or (number := self._worker_for(item.needs)) is None:
                break
            del self._idle[number]
            state = self._workers[number]
            state.since = now
            self._send(number, state, item, batches)
        if self.waiting and (takers := self._takers(now)):
            self._send_ahead(takers, batches)
        return list(batches.values())

    def _worker_for(self, needs: Needs) -> int | None:
        """The idle worker for a job with needs, which gets its accelerators; None: one must be replaced first."""
        free, chosen = self._free, None
        used = {name for state in self._workers.values() for name in state.devices}
        for number in self._idle:
            devices = self._workers[number].devices
            if not needs.gpus or (len(devices) == needs.gpus and set(devices) <= set(free)):
                chosen, needs.devices = number, devices if needs.gpus else ()
                break
            if not devices and chosen is None:
                # Better those that no other worker is bound to.
                chosen, needs.devices = number, tuple(sorted(free, key=lambda name: name in used)[: needs.gpus])
        if chosen is not None:
            self._free = tuple(name for name in free if name not in needs.devices)
            return chosen
        if self.unfit is None:
            self.unfit = next(iter(self._idle))
            del self._idle[self.unfit]
        return None

    def _takers(self, now: float) -> list[tuple[int, _Worker[J]]]:
        """Busy workers to which jobs may be sent ahead: quick ones that used up half of what they had."""
        few = (1 + self.pace.ahead) // 2
        return [
            (number, state)
            for number, state in self._workers.items()
            if 0 < len(state.held) <= few
            and not state.robbed
            and state.quota > 0
            and state.size < BYTES_AHEAD_MOST
            and not state.slow(now)
            and state.held[0].needs is None
        ]

    def _send_ahead(self, takers: list[tuple[int, _Worker[J]]], batches: dict[int, Batch[J]]) -> None:
        """Fill busy workers up, all to the same height, in turn: so that jobs begin nearly in order."""
        for height in range(min(len(state.held) for _, state in takers), 1 + self.pace.ahead):
            for number, state in takers:
                if len(state.held) <= height and state.size < BYTES_AHEAD_MOST and state.quota > 0:
                    item = self._line.first(len(self._free))
                    if item is None or item.needs is not None:
                        return
                    self._send(number, state, item, batches)

    def _send(self, number: int, state: _Worker[J], item: Item[J], batches: dict[int, Batch[J]]) -> None:
        """Move the first waiting job to this worker."""
        self._line.take(item)
        if item.needs is not None:
            self._claimed += item.needs.cores - 1
            if item.needs.gpus:
                state.devices = item.needs.devices
        item.worker = number
        state.held.append(item)
        state.quota -= 1
        state.size += item.size
        self.sent += 1
        batch = batches.get(number)
        if batch is None:
            batches[number] = Batch(number, state.epoch, [item])
        else:
            batch.items.append(item)

    def _give_back(self, state: _Worker[J], permits: int) -> None:
        """The youngest jobs of a worker wait again."""
        for _ in range(permits):
            item = state.held.pop()
            state.quota += 1
            state.size -= item.size
            item.worker = None
            if item.needs is not None:
                self._release(item.needs)
            self._line.come_back(item)
        self.sent -= permits

    def _release(self, needs: Needs) -> None:
        """A job gives back what it had beside its worker."""
        self._claimed -= needs.cores - 1
        if needs.devices:
            self._free = tuple(name for name in self._devices if name in self._free or name in needs.devices)
            needs.devices = ()

    def _rest(self, number: int, state: _Worker[J]) -> None:
        """A worker has nothing to do any more."""
        if state.robbed:
            state.robbed = False
            state.epoch += 1
        if state.quota > 0:
            self._idle[number] = None
        else:
            self.worn.add(number)
