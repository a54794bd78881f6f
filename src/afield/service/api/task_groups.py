"""Task groups: for how long what belongs to them is kept."""

from __future__ import annotations

from afield.service.api.ask import Ask
from afield.wire.rest_task_groups import TaskGroupTimes, TaskGroupWish

__all__ = ["change", "make", "read"]


async def read(ask: Ask, taskgroup_id: str) -> TaskGroupTimes:
    """For how long a group's tasks wait, and are kept."""
    return await ask.uses.retention.read(ask.caller, taskgroup_id)


async def make(ask: Ask, body: TaskGroupWish) -> TaskGroupTimes:
    """A new task group, whose tasks wait and are kept for so long. Submits name it as task_group_id."""
    return await ask.uses.retention.make(ask.caller, body)


async def change(ask: Ask, taskgroup_id: str, body: TaskGroupWish) -> TaskGroupTimes:
    """Say for how long a group's tasks wait, and are kept."""
    return await ask.uses.retention.change(ask.caller, taskgroup_id, body)
