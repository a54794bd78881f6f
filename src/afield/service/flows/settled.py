"""What peers have acknowledged.

Published endpoints take tasks: from then on the tasks are theirs (see :mod:`afield.service.domain.holding`).

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
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight
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


class Settled:
    """Collects what peers acknowledged."""

    def __init__(self, store: Store, in_flight: InFlight, clock: Clock) -> None:
        self._store = store
        self._holding = in_flight.holding
        self._clock = clock
        self._bodies: list[bytes] = []
        self._something = asyncio.Event()

    def taken(self, queue: str, messages: Sequence[Acknowledged]) -> None:
        """Messages of a queue were acknowledged by a peer. Does not wait."""
        if names.group_of_queue(queue) is not None:
            self._bodies.extend(message.body for message in messages)
            self._something.set()
            return
        reader = names.reader_of_queue(queue)
        if reader is not None:
            # Only the published envelope has the id in a header; endpoints of ours acknowledge what has ended.
            ids = (message.properties.headers.get("task_uuid") for message in messages)
            self._holding.taken(reader, [one for one in ids if isinstance(one, str)], self._clock.now())

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._something.wait()
            await self._clock.sleep(_PAUSE_S)
            await self.flush()

    async def flush(self) -> None:
        """Tell the store what is known so far."""
        self._something.clear()
        bodies, self._bodies = self._bodies, []
        task_ids = [task_id for body in bodies for task_id in _task_ids(body)]
        if task_ids:
            await self._store.mark_delivered(task_ids)


def _task_ids(body: bytes) -> list[str]:
    try:
        return [one.task_id for one in codec.decode(body) if isinstance(one, Result)]
    except WireError:
        return []  # not one of ours, so no result of a task
