"""For how long the tasks of a group are kept, and wait."""

from __future__ import annotations

import msgspec

from afield.ids import new_id
from afield.service.domain.caller import Caller
from afield.service.domain.limits import check_times, kept_for, waits_for
from afield.service.domain.records import TaskGroupRecord
from afield.service.settings import Limits
from afield.service.use.records import Records
from afield.service.use.task_groups import TaskGroups
from afield.wire.rest_task_groups import TaskGroupTimes, TaskGroupWish

__all__ = ["Retention"]


class Retention:
    """Says it, and changes it."""

    def __init__(self, records: Records, groups: TaskGroups, limits: Limits) -> None:
        self._records = records
        self._groups = groups
        self._limits = limits

    async def read(self, caller: Caller, group_id: str) -> TaskGroupTimes:
        """What holds for one of the caller's task groups.

        :raises Refusal: unknown, or somebody else's
        """
        return self._times(await self._groups.find(caller, group_id))

    async def make(self, caller: Caller, wish: TaskGroupWish) -> TaskGroupTimes:
        """Make a task group for which this holds from its first task on.

        :raises Refusal: for longer than the service allows
        """
        self._check(wish)
        return await self._put(await self._groups.propose(caller, new_id(), 0), wish)

    async def change(self, caller: Caller, group_id: str, wish: TaskGroupWish) -> TaskGroupTimes:
        """Have it be otherwise from the next sweep on, for tasks that are there too.

        :raises Refusal: unknown, somebody else's, or for longer than the service allows
        """
        group = await self._groups.find(caller, group_id)
        self._check(wish)
        return await self._put(group, wish)

    def _check(self, wish: TaskGroupWish) -> None:
        longest = self._limits.longest_retention_s
        refusal = check_times(longest, retention_s=wish.retention_s, waiting_s=wish.waiting_s)
        if refusal is not None:
            raise refusal

    async def _put(self, group: TaskGroupRecord, wish: TaskGroupWish) -> TaskGroupTimes:
        def change(kept: TaskGroupRecord) -> TaskGroupRecord:
            return msgspec.structs.replace(kept, retention_s=wish.retention_s, waiting_s=wish.waiting_s)

        return self._times(await self._records.change_group(group, change))

    def _times(self, group: TaskGroupRecord) -> TaskGroupTimes:
        return TaskGroupTimes(
            taskgroup_id=group.id,
            created_at=group.created_at,
            retention_s=kept_for(group, self._limits.retention_s),
            waiting_s=waits_for(group, self._limits.waiting_s),
            own_retention=group.retention_s is not None,
            own_waiting=group.waiting_s is not None,
        )
