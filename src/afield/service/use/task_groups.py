"""Task groups: which are whose, and in which envelope their results go out."""

from __future__ import annotations

from typing import Any, Final

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

    async def prepare(self, group: TaskGroupRecord, wire: int, *, high_assurance: bool = False) -> TaskGroupRecord:
        """Keep it, if it is new, and make its queue exist if somebody will watch it, so that results find it.

        :param wire: as for :meth:`propose`
        :param high_assurance: it is about to get tasks of an endpoint of high assurance
        :raises Refusal: somebody else has taken the id meanwhile
        """
        found = await self._records.group(group.id)
        if found is None or self._prepared(found, group.owner_id, wire, high_assurance=high_assurance) is not found:
            before: list[int] = []

            def change(kept: TaskGroupRecord) -> TaskGroupRecord:
                before.append(kept.wire)
                return self._prepared(kept, group.owner_id, wire, high_assurance=high_assurance)

            found = await self._records.change_group(group, change)
            if 0 < found.wire < before[0]:
                # What waits there is spelled in a way that the new watcher cannot read.
                await self._refill.group(found)
        if found.wire:
            await self._queues.declare_group(found)
        return found

    def _prepared(self, group: TaskGroupRecord, owner_id: str, wire: int, *, high_assurance: bool) -> TaskGroupRecord:
        """The group as it is to be kept; itself if nothing is to be changed."""
        if group.owner_id != owner_id:
            raise refusals.group_forbidden(group.id)
        changes: dict[str, Any] = {}
        if self._clock.now() - group.created_at >= _OLD_S:
            # Old groups without tasks are swept; this one is about to get some.
            changes["created_at"] = self._clock.now()
        if high_assurance and not group.high_assurance:
            changes["high_assurance"] = True
        if wire and not (group.wire and wire >= group.wire):
            changes["wire"] = wire
        return msgspec.structs.replace(group, **changes) if changes else group
