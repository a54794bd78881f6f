"""What happened to one task."""

from __future__ import annotations

from afield.service.api.ask import Ask
from afield.wire.rest_tasks import TaskHistory

__all__ = ["record"]


async def record(ask: Ask, task_id: str) -> TaskHistory:
    """Where a task was, since when, who said so, and how often it was tried. Its result is GET /v2/tasks/{task_id}."""
    return await ask.uses.task_record(ask.caller, task_id)
