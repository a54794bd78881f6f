"""The calls of an engine on Parsl, and how each ends. Decides nothing about who runs what: ``loads`` does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from afield.endpoint.engines.calls import Call
from afield.endpoint.engines.losses import cancelled, died_under_it, never_begun, ran_too_long, stopped_under_it
from afield.endpoint.engines.parsl import losses
from afield.endpoint.engines.parsl.loads import Load, Loads
from afield.worker.bundle_records import Entry, Fate

__all__ = ["Register"]

logger = logging.getLogger("afield.endpoint")

#: How many different reasons why workers refuse are told to the owner; beyond these something makes them up.
_REFUSALS_MOST: Final = 20

_limit: Final = msgspec.msgpack.Decoder(tuple[float, bool]).decode


class Register:
    """All calls that are not finished.

    :param retries: how often a job runs again whose worker was lost
    :param alone: each travels alone
    """

    def __init__(self, retries: int, *, alone: bool = False) -> None:
        self.loads: Loads[Call] = Loads(lambda call: call.job.digest, alone=alone)
        #: calls that there ever were
        self.submitted = 0
        #: nothing runs again
        self.stopping = False
        self._retries = retries
        self._calls: dict[str, Call] = {}
        # How often a job was lost with its worker.
        self._lost: dict[str, int] = {}
        # Why workers refused, as far as the owner was told.
        self._refusals: set[str] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def all(self) -> list[Call]:
        """Oldest first."""
        return list(self._calls.values())

    def get(self, task_id: str) -> Call | None:
        """One of them."""
        return self._calls.get(task_id)

    def add(self, call: Call) -> None:
        """A new one; it waits."""
        call.item = self.loads.submit(call, len(call.job.payload) + len(call.job.code or b""))
        self._calls[call.job.task_id] = call
        self.submitted += 1

    def load_of(self, call: Call) -> Load[Call] | None:
        """The bundle that it travels in; None: it waits."""
        return None if call.item.worker is None else self.loads.get(call.item.worker)

    def settle(self, number: int, entries: Sequence[Entry]) -> None:
        """The fate of these jobs of a bundle is known."""
        for entry in entries:
            item = self.loads.settle(number, entry.index)
            if item is not None:
                self._settle(item.job, entry)

    def _settle(self, call: Call, entry: Entry) -> None:
        task_id = call.job.task_id
        match entry.fate:
            case Fate.DONE:
                self.loads.estimates.ran(call.job.digest, entry.run_us * 1e-6)
                self._forget(call)
                if not call.future.done():
                    call.future.set_result(entry.body)
            case Fate.DIED:
                self._lose_one(call, died_under_it(task_id, entry.pid, entry.body.decode()))
            case Fate.STOPPED:
                self.end(call, call.sentence or cancelled(task_id))
            case Fate.TIMEOUT:
                limit_s, by_endpoint = _limit(entry.body)
                self.end(call, ran_too_long(task_id, limit_s, by_endpoint=by_endpoint))

    def give_back(self, number: int, places: Sequence[int]) -> None:
        """These jobs of a bundle have not begun; those that somebody cancelled in the meantime never will."""
        for call in self.loads.give_back(number, places):
            if call.sentence is not None or self.stopping:
                self.loads.leave(call.item)
                self.end(call, call.sentence or never_begun(call.job.task_id))

    def refuse(self, number: int, why: str) -> None:
        """No worker can run this bundle; whatever is left of it fails, and the owner hears of each reason once."""
        if why not in self._refusals and len(self._refusals) < _REFUSALS_MOST:
            self._refusals.add(why)
            logger.error("tasks fail, for workers refuse them: %s", why)
        load = self.loads.get(number)
        for index in tuple(load.open) if load is not None else ():
            item = self.loads.settle(number, index)
            if item is not None:
                self.end(item.job, losses.refused_by_worker(item.job.job.task_id, why))

    def fail_waiting(self, error: Callable[[str], Exception]) -> None:
        """Nobody will run what has not begun.

        :param error: for a task id, what it fails with
        """
        for call in self.loads.drain():
            self.end(call, error(call.job.task_id))

    def lose(self, number: int, error: Callable[[str], Exception]) -> None:
        """A bundle is lost; those of its jobs that cannot have begun wait again.

        :param error: for a task id, what the others fail with
        """
        for call in self.loads.lose(number):
            self._lose_one(call, error(call.job.task_id))

    def lose_all(self, error: Callable[[str], Exception]) -> None:
        """All bundles are lost."""
        for load in tuple(self.loads.loads):
            self.lose(load.number, error)

    def _lose_one(self, call: Call, error: Exception) -> None:
        """It is lost with its worker: it runs again as often as the owner of the endpoint wants it."""
        task_id = call.job.task_id
        if call.sentence is not None or self.stopping:
            self.end(call, call.sentence or stopped_under_it(task_id, "its worker ended"))
            return
        count = self._lost.get(task_id, 0) + 1
        if count > self._retries:
            self.end(call, error)
            return
        self._lost[task_id] = count
        self.loads.come_back(call.item)

    def end(self, call: Call, error: Exception) -> None:
        """It fails, unless its fate was decided before."""
        self._forget(call)
        call.fail(error)

    def _forget(self, call: Call) -> None:
        task_id = call.job.task_id
        if self._calls.get(task_id) is call:
            del self._calls[task_id]
        if self._lost:
            self._lost.pop(task_id, None)
