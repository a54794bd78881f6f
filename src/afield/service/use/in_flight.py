"""Which user endpoint has which unfinished task: what a result is checked against.

It holds what this process accepted or put back into queues, so that checking costs nothing. What it does not hold
(another replica accepted it) is asked of the store.
"""

from __future__ import annotations

from collections.abc import Iterable

from afield.service.domain.records import TaskRecord
from afield.service.store.base import Store

__all__ = ["InFlight"]


class InFlight:
    """Task id -> user endpoint id, of tasks that have not ended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._holders: dict[str, str] = {}

    def begin(self, tasks: Iterable[TaskRecord]) -> None:
        """These were accepted."""
        self._holders.update((task.id, task.user_endpoint_id) for task in tasks)

    def end(self, task_ids: Iterable[str]) -> None:
        """These have ended, or were forgotten."""
        for task_id in task_ids:
            self._holders.pop(task_id, None)

    async def holders(self, task_ids: Iterable[str]) -> dict[str, str]:
        """For those of the tasks that exist, which user endpoint they belong to."""
        found, unknown = {}, []
        for task_id in task_ids:
            holder = self._holders.get(task_id)
            if holder is None:
                unknown.append(task_id)
            else:
                found[task_id] = holder
        if unknown:
            stored = await self._store.tasks(unknown)
            found.update((task_id, view.user_endpoint_id) for task_id, view in stored.items())
        return found
