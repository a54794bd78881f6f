"""Unfinished tasks: whose a result may be, who has work, and what is lost when a user endpoint ends.

It knows what this process accepted or put back into queues. What it does not know (another replica accepted it) is
asked of the store where that matters. Which of them their user endpoints have taken is in the store too
(flows/settled.py), so that a service which starts again queues none of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from afield.service.domain.holding import EARLY, GONE, GRACE_S, Holding
from afield.service.domain.records import TaskRecord
from afield.service.store.base import Store
from afield.wire.messages import CallOptions

__all__ = ["Home", "InFlight", "Reader"]


class Reader(Protocol):
    """A user endpoint's connection to its queue."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where an unfinished task belongs."""

    user_endpoint_id: str
    group_id: str
    #: this process accepted it, or put it back into its queue, and so learns of its end
    is_here: bool


class InFlight:
    """Tasks that have not ended.

    :param grace_s: how long, in seconds, results of a user endpoint's life that has ended are waited for
    :ivar holding: which user endpoint has which, and what is decided about that
    """

    def __init__(self, store: Store, grace_s: float = GRACE_S) -> None:
        self._store = store
        self._groups: dict[str, str] = {}
        # those that may be run again, and what was asked for them
        self._retried: dict[str, CallOptions] = {}
        self.holding = Holding(grace_s)

    def begin(self, tasks: Sequence[TaskRecord]) -> None:
        """These were accepted."""
        self._groups.update((task.id, task.group_id) for task in tasks)
        self.holding.begin((task.id, task.user_endpoint_id) for task in tasks)
        for task in tasks:
            if task.options.call is not None and task.options.call.retries:
                self._retried[task.id] = task.options.call

    def options(self, task_id: str) -> CallOptions | None:
        """What was asked for a task that may be run again; None: it may not."""
        return self._retried.get(task_id)

    def taken(self, user_endpoint_id: str, task_ids: Iterable[str], by: Reader | None) -> list[str]:
        """A user endpoint has acknowledged tasks over this connection; those that are its and have not ended."""
        return self.holding.taken(user_endpoint_id, task_ids, by)

    def readers(self, user_endpoint_id: str) -> list[Reader]:
        """The connections that a user endpoint has, of those over which it has taken tasks."""
        known = self.holding.readers(user_endpoint_id) - {GONE, EARLY}
        return [reader for reader in cast("set[Reader]", known) if not reader.over]

    def end(self, task_ids: Sequence[str]) -> dict[str, str]:
        """These are ending: task -> task group, of those that are known here and that nobody has ended before."""
        self.holding.end(task_ids)
        if self._retried:
            for task_id in task_ids:
                self._retried.pop(task_id, None)
        return {task_id: group for task_id in task_ids if (group := self._groups.pop(task_id, None)) is not None}

    async def look(self, now: float, *, anew: bool = False) -> None:
        """Be up to date about how many wait.

        :param anew: whatever is known from a moment ago will not do
        """

    def waiting(self, user_endpoint_id: str) -> int:
        """How many tasks wait for a user endpoint."""
        return self.holding.queued(user_endpoint_id)

    def is_open(self, task_id: str) -> bool:
        """Whether it is known here and has not ended."""
        return task_id in self._groups

    async def holders(self, task_ids: Iterable[str]) -> dict[str, str]:
        """For those of the tasks that exist, which user endpoint they belong to."""
        found, unknown = {}, []
        for task_id in task_ids:
            holder = self.holding.holder(task_id)
            if holder is None:
                unknown.append(task_id)
            else:
                found[task_id] = holder
        if unknown:
            stored = await self._store.tasks(unknown)
            found.update((task_id, view.user_endpoint_id) for task_id, view in stored.items())
        return found

    async def homes(self, task_ids: Iterable[str]) -> dict[str, Home]:
        """For those of the tasks that have not ended, where they belong."""
        found, unknown = {}, []
        for task_id in task_ids:
            holder, group = self.holding.holder(task_id), self._groups.get(task_id)
            if holder is None or group is None:
                unknown.append(task_id)
            else:
                found[task_id] = Home(holder, group, is_here=True)
        if unknown:
            for task_id, view in (await self._store.tasks(unknown)).items():
                if view.finished is None:
                    found[task_id] = Home(view.user_endpoint_id, view.group_id, is_here=False)
        return found
