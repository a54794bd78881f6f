"""What peers have acknowledged.

Published endpoints take tasks: from then on the tasks are theirs (see :mod:`afield.service.domain.holding`). The store
is told at once, whatever came together in one commit; nobody waits for it. If this process dies before that commit, a
few milliseconds after the acknowledgement, the task is queued for its endpoint once more; it would be as well if the
connection had ended half a second earlier, for that is how long published endpoints take to acknowledge.

Clients have taken results: the store is told, about once a second, so that none is queued again after a restart.
Nothing is lost when this comes late or never: a result that is queued again reaches a client that has it already, or
nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from afield.broker.base import Properties
from afield.errors import WireError
from afield.service.clock import Clock
from afield.service.domain import names
from afield.service.domain.liveness import life
from afield.service.domain.records import TaskMove
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight, Reader
from afield.service.use.records import Records
from afield.states import TaskState
from afield.wire import codec
from afield.wire.messages import Result

__all__ = ["Acknowledged", "Settled"]

#: Seconds between a result's being taken and the store's hearing of it.
_PAUSE_S: Final = 1.0


class Acknowledged(Protocol):
    """A message that a peer has acknowledged."""

    @property
    def body(self) -> bytes:
        """As it was published."""

    @property
    def properties(self) -> Properties:
        """As they were published."""

    @property
    def reader(self) -> Reader | None:
        """The peer's connection."""


class Settled:
    """Collects what peers acknowledged."""

    def __init__(self, store: Store, records: Records, in_flight: InFlight, clock: Clock) -> None:
        self._store = store
        self._records = records
        self._in_flight = in_flight
        self._clock = clock
        self._bodies: list[bytes] = []
        self._something = asyncio.Event()
        # (user endpoint, task, when) of what the store does not know yet
        self._takings: list[tuple[str, str, float]] = []
        self._taking = asyncio.Event()

    def taken(self, queue: str, messages: Sequence[Acknowledged]) -> None:
        """Messages of a queue were acknowledged by a peer. Does not wait."""
        if names.group_of_queue(queue) is not None:
            self._bodies.extend(message.body for message in messages)
            self._something.set()
            return
        holder = names.reader_of_queue(queue)
        if holder is not None:
            # Only the published envelope has the id in a header; endpoints of ours acknowledge what has ended.
            ids = (message.properties.headers.get("task_uuid") for message in messages)
            given = [one for one in ids if isinstance(one, str)]
            if given:
                taken = self._in_flight.taken(holder, given, messages[0].reader)
                now = self._clock.now()
                self._takings += [(holder, task_id, now) for task_id in taken]
                self._taking.set()

    async def run(self) -> None:
        """Tell the store of results that were taken, for ever."""
        while True:
            await self._something.wait()
            await self._clock.sleep(_PAUSE_S)
            await self._tell_results()

    async def run_tasks(self) -> None:
        """Tell the store of tasks that were taken, for ever."""
        while True:
            await self._taking.wait()
            await self._tell_tasks()

    async def flush(self) -> None:
        """Tell the store what is known so far."""
        await self._tell_tasks()
        await self._tell_results()

    async def _tell_results(self) -> None:
        self._something.clear()
        bodies, self._bodies = self._bodies, []
        task_ids = [task_id for body in bodies for task_id in _task_ids(body)]
        if task_ids:
            await self._store.mark_delivered(task_ids)

    async def _tell_tasks(self) -> None:
        self._taking.clear()
        takings, self._takings = self._takings, []
        lives = {}
        for holder in {holder for holder, _, _ in takings}:
            user_endpoint = await self._records.user_endpoint(holder)
            # Not active: its process has not reported yet, and what is known is the name of the one before.
            lives[holder] = life(user_endpoint) if user_endpoint is not None and user_endpoint.active else ""
        if takings:
            await self._store.move_tasks(
                [
                    TaskMove(task_id, TaskState.WAITING_FOR_LAUNCH, now, life=lives[holder])
                    for holder, task_id, now in takings
                ]
            )


def _task_ids(body: bytes) -> list[str]:
    try:
        return [one.task_id for one in codec.decode(body) if isinstance(one, Result)]
    except WireError:
        return []  # not one of ours, so no result of a task
