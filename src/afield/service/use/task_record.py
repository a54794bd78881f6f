"""What happened to one task: where it was, since when, who said so, how often it was tried."""

from __future__ import annotations

from afield.ids import parse_id
from afield.service.domain import refusals
from afield.service.domain.access import Action, decide
from afield.service.domain.caller import Caller
from afield.service.domain.history import task_history
from afield.service.store.base import Store
from afield.service.use.records import Records
from afield.wire.rest_tasks import TaskHistory

__all__ = ["TaskRecords"]


class TaskRecords:
    """Tells it to those whose they are."""

    def __init__(self, store: Store, records: Records) -> None:
        self._store = store
        self._records = records

    async def __call__(self, caller: Caller, task_id: str) -> TaskHistory:
        """One task.

        :raises Refusal: unknown, forgotten or somebody else's
        """
        task_id = parse_id(task_id, "task")
        view = (await self._store.tasks([task_id])).get(task_id)
        if view is None:
            raise refusals.task_not_found(task_id)
        refusal = decide(Action.READ_TASK, caller, view)
        if refusal is not None:
            raise refusal
        return task_history(view, await self._store.steps(task_id), await self._records.endpoint(view.endpoint_id))
