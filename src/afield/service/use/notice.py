"""A user endpoint said where its tasks are: it is kept, and passed on to whoever watches them.

A notice may be skipped, come late or twice, so nothing hangs on one: what the table of states does not allow changes
nothing and is not passed on, and after the end of a task none is. Watchers who read only the published envelope get
none; they may ask.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from afield.errors import BrokerError
from afield.service.domain.records import TaskGroupRecord, TaskMove
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.wishes import Wishes
from afield.states import TaskState
from afield.wire import v2
from afield.wire.messages import Notice

__all__ = ["TakeNotice"]

logger = logging.getLogger(__name__)

#: What an endpoint may say of a task. Ends come as results.
_SAYABLE: Final = frozenset(
    {
        TaskState.WAITING_FOR_ENDPOINT,
        TaskState.WAITING_FOR_NODES,
        TaskState.WAITING_FOR_LAUNCH,
        TaskState.RUNNING,
    }
)


class TakeNotice:
    """Takes notices."""

    def __init__(self, store: Store, records: Records, queues: Queues, wishes: Wishes, in_flight: InFlight) -> None:
        self._store = store
        self._records = records
        self._queues = queues
        self._wishes = wishes
        self._in_flight = in_flight

    async def __call__(self, notices: Sequence[tuple[str, Notice]]) -> None:
        """Take notices. Those of tasks that are not their sender's, or have ended, are dropped.

        :param notices: who sent it (a user endpoint's id, by the routing key) and what
        """
        homes = await self._in_flight.homes({notice.task_id for _, notice in notices})
        taken = []
        for sender, notice in notices:
            home = homes.get(notice.task_id)
            if home is None:
                continue
            if home.user_endpoint_id != sender:
                logger.warning("%s sent a notice of task %s, which it was never given", sender, notice.task_id)
            elif notice.state not in _SAYABLE:
                logger.warning("%s says that task %s is %r, which is no news", sender, notice.task_id, notice.state)
            else:
                taken.append(notice)
        if not taken:
            return
        moves = [
            TaskMove(notice.task_id, TaskState(notice.state), notice.at / 1e9, attempt=notice.attempt)
            for notice in taken
        ]
        moved = frozenset(await self._store.move_tasks(moves))
        # A refusal is the answer to a wish, also where the task has not moved.
        await self._wishes.answered(notice.task_id for notice in taken if notice.refusal)
        by_group: dict[str, list[Notice]] = {}
        for notice in taken:
            if notice.task_id in moved or notice.refusal:
                by_group.setdefault(homes[notice.task_id].group_id, []).append(notice)
        for group_id, found in by_group.items():
            group = await self._records.group(group_id)
            if group is None or group.wire < v2.VERSION[0]:
                continue
            # Nothing waits between this look and the sending: a result that comes now is put behind.
            current = [one for one in found if not homes[one.task_id].is_here or self._in_flight.is_open(one.task_id)]
            if current:
                await self._pass_on(group, current)

    async def _pass_on(self, group: TaskGroupRecord, notices: Sequence[Notice]) -> None:
        try:
            await self._queues.send_notices(group, notices)
        except BrokerError as error:
            logger.info("%d notices could not be passed on, and are skipped: %s", len(notices), error)
