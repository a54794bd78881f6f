"""PURE: results on their way out: ready, under way, being written, on disk.

Theory. A result is *unsafe* while it is only in this process's memory. It becomes safe by being confirmed, or by being
written to the disk. While the connection is open, results leave in batches, :data:`WINDOW` of them under way at once:
so the first result leaves at once, and when results come faster than confirmations, batches grow by themselves. While
it is closed, or when more waits than memory should hold, they are written to the disk, one batch at a time; from there
they leave one batch at a time too, beside the fresh ones, which need not wait for an old backlog.

A message whose fate is unknown is sent again later: the service takes the first result of a task and drops the rest.
After a failure nothing more is sent on that connection, so that a broker that refuses is not asked in a tight loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from afield.endpoint.agent.commands import Command, Keep, Publish, PublishKept
from afield.wire.messages import Result

__all__ = ["BATCH_BYTES", "BATCH_RESULTS", "SPILL_BYTES", "WINDOW", "Dispatch"]

#: Messages of fresh results under way at once: one that the service commits, one that travels.
WINDOW: Final = 2
#: The most results in one message.
BATCH_RESULTS: Final = 1024
#: The most payload in one message, unless a single result has more. Brokers refuse messages over 16 MiB (RabbitMQ 4).
BATCH_BYTES: Final = 4 * 1024 * 1024
#: The most payload that waits in memory while confirmations are slow.
SPILL_BYTES: Final = 64 * 1024 * 1024


class Dispatch:
    """The results of one agent.

    :param kept: results on disk from earlier lives: number of the batch -> its task ids
    """

    def __init__(self, kept: Mapping[int, Sequence[str]]) -> None:
        #: whether anything may be sent now; whoever owns this sets it
        self.open = False
        #: whether the disk takes results; False after it refused, until whoever owns this wants it tried again
        self.disk = True
        self._ready: deque[Result] = deque()
        self._ready_bytes = 0
        self._under_way: dict[int, list[Result]] = {}
        self._writing: dict[int, list[Result]] = {}
        self._on_disk: dict[int, tuple[str, ...]] = {number: tuple(ids) for number, ids in kept.items()}
        self._disk_line: deque[int] = deque(sorted(kept))
        self._disk_under_way: int | None = None
        self._last = max(kept, default=0)

    @property
    def unsafe(self) -> int:
        """How many results are in memory only."""
        moving = (*self._under_way.values(), *self._writing.values())
        return len(self._ready) + sum(map(len, moving))

    @property
    def busy(self) -> bool:
        """Whether there is something to wait for: results in memory only, or on disk and on their way."""
        return bool(self.unsafe) or (self.open and bool(self._disk_line or self._disk_under_way is not None))

    def add(self, result: Result) -> None:
        """A fresh result."""
        self._ready.append(result)
        self._ready_bytes += _weight(result)

    def next(self) -> list[Command]:
        """What to send and what to write now."""
        commands: list[Command] = []
        if self.open:
            while self._ready and len(self._under_way) < WINDOW:
                number, batch = self._take()
                self._under_way[number] = batch
                commands.append(Publish(number, batch))
            if self._disk_line and self._disk_under_way is None:
                self._disk_under_way = self._disk_line.popleft()
                commands.append(PublishKept(self._disk_under_way))
        if self._ready and self.disk and not self._writing and (not self.open or self._ready_bytes > SPILL_BYTES):
            number, batch = self._take()
            self._writing[number] = batch
            commands.append(Keep(number, batch))
        return commands

    def confirmed(self, number: int) -> tuple[Sequence[str], bool]:
        """A message is safe; the tasks in it, and whether a file of it is to be dropped."""
        if number in self._on_disk:
            self._disk_under_way = None
            return self._on_disk.pop(number), True
        return [result.task_id for result in self._under_way.pop(number, ())], False

    def failed(self, number: int) -> None:
        """Nobody knows what became of a message: its results are ready again, and nothing more is sent here."""
        self.open = False
        if number in self._on_disk:
            self._disk_under_way = None
            self._disk_line.appendleft(number)
        else:
            self._back(self._under_way.pop(number, []))

    def kept(self, number: int) -> None:
        """A batch is on disk."""
        self._on_disk[number] = tuple(result.task_id for result in self._writing.pop(number))
        self._disk_line.append(number)

    def not_kept(self, number: int) -> None:
        """The disk refused a batch: its results stay in memory."""
        self.disk = False
        self._back(self._writing.pop(number))

    def give_up(self) -> None:
        """Stop waiting for confirmations: everything in memory goes to the disk."""
        self.open = False
        for number in sorted(self._under_way, reverse=True):
            self._back(self._under_way.pop(number))

    def _back(self, results: list[Result]) -> None:
        self._ready.extendleft(reversed(results))
        self._ready_bytes += sum(map(_weight, results))

    def _take(self) -> tuple[int, list[Result]]:
        batch: list[Result] = []
        weight = 0
        while self._ready and len(batch) < BATCH_RESULTS:
            one = _weight(self._ready[0])
            if batch and weight + one > BATCH_BYTES:
                break
            batch.append(self._ready.popleft())
            weight += one
        self._ready_bytes -= weight
        self._last += 1
        return self._last, batch


def _weight(result: Result) -> int:
    return len(result.data) + len(result.exception or b"")
