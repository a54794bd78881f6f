"""Task groups: which are whose, and in which envelope their results go out."""

from __future__ import annotations

from typing import Final

import msgspec

from afield.ids import new_id, parse_id
from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.access import Action, decide
from afield.service.domain.caller import Caller
from afield.service.domain.records import TaskGroupRecord
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.refill import Refill

__all__ = ["TaskGroups"]

#: Seconds after which a group that is used again is kept as if it were new. Less than any retention.
_OLD_S: Final = 86_400.0


class TaskGroups:
    """Finds and makes task groups."""

    def __init__(self, records: Records, queues: Queues, refill: Refill, clock: Clock) -> None:
        self._records = records
        self._queues = queues
        self._refill = refill
        self._clock = clock

    async def find(self, caller: Caller, group_id: str) -> TaskGroupRecord:
        """The caller's group of this id.

        :raises Refusal: unknown, or somebody else's
        """
        group_id = parse_id(group_id, "task group")
        group = await self._records.group(group_id)
        if group is None:
            raise refusals.group_not_found(group_id)
        refusal = decide(Action.USE_GROUP, caller, group)
        if refusal is not None:
            raise refusal
        return group

    async def propose(self, caller: Caller, group_id: str | None, wire: int) -> TaskGroupRecord:
        """The group that a submit is for, not kept yet if it is new. An id that nobody has may be chosen by the caller.

        :param wire: the highest version of the envelope that they read; 0: they will not watch it
        :raises Refusal: somebody else's
        """
        if group_id is not None:
            group_id = parse_id(group_id, "task group")
            if await self._records.group(group_id) is not None:
                return await self.find(caller, group_id)
        return TaskGroupRecord(group_id or new_id(), caller.id, self._clock.now(), wire)

    async def prepare(self, group: TaskGroupRecord, wire: int) -> TaskGroupRecord:
        """Keep it, if it is new, and make its queue exist if somebody will watch it, so that results find it.

        :param wire: as for :meth:`propose`
        :raises Refusal: somebody else has taken the id meanwhile
        """
        found = await self._records.group(group.id)
        if found is None:
            await self._records.put_group(group)
        elif found.owner_id != group.owner_id:
            raise refusals.group_forbidden(group.id)
        else:
            group = await self._kept_on(found)
        if wire and group.wire != wire:
            group = await self._watched(group, wire)
        elif group.wire:
            await self._queues.declare_group(group)
        return group

    async def _kept_on(self, group: TaskGroupRecord) -> TaskGroupRecord:
        """Old groups without tasks are swept; this one is about to get some."""
        if self._clock.now() - group.created_at < _OLD_S:
            return group
        group = msgspec.structs.replace(group, created_at=self._clock.now())
        await self._records.put_group(group)
        return group

    async def _watched(self, group: TaskGroupRecord, wire: int) -> TaskGroupRecord:
        """The group with one more watcher, who reads up to ``wire``."""
        if group.wire and wire > group.wire:
            await self._queues.declare_group(group)
            return group
        group, before = msgspec.structs.replace(group, wire=wire), group
        await self._queues.declare_group(group)
        await self._records.put_group(group)
        if before.wire:
            # What waits there is spelled in a way that the new watcher cannot read.
            await self._refill.group(group)
        return group
