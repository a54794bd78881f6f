"""Results come in and end their tasks; notices come in between, and say where tasks are."""

from __future__ import annotations

import logging

from afield.broker.base import Connection
from afield.errors import WireError
from afield.service.domain import names
from afield.service.flows.dropped import Dropped
from afield.service.flows.inbox import Inbox
from afield.service.operate.meter import TakeResults
from afield.service.use.notice import TakeNotice
from afield.wire import codec
from afield.wire.messages import Notice, Result

__all__ = ["Results"]

logger = logging.getLogger(__name__)


class Results:
    """Reads the queue on which endpoints send results. A message is acknowledged when what it brought is committed."""

    def __init__(self, connection: Connection, finish: TakeResults, notice: TakeNotice) -> None:
        self._finish = finish
        self._notice = notice
        self.inbox = Inbox(connection, names.RESULTS)

    async def run(self) -> None:
        """Until the inbox is closed."""
        while bunch := await self.inbox.take():
            results: list[tuple[str, Result]] = []
            notices: list[tuple[str, Notice]] = []
            dropped = Dropped(logger)
            for delivery in bunch:
                sender = names.sender(delivery.routing_key)
                try:
                    messages = codec.decode(delivery.body, delivery.properties.headers)
                except WireError as error:
                    # Kept, it would come back for ever. Its sender is told nothing: what it sent has no task in it.
                    dropped.add(sender, f"is no result: {error}")
                    continue
                results += [(sender, one) for one in messages if isinstance(one, Result)]
                notices += [(sender, one) for one in messages if isinstance(one, Notice)]
            dropped.tell()
            # Ends first: of what has ended, no notice is of interest.
            await self._finish(results)
            if notices:
                await self._notice(notices)
            self.inbox.done(bunch)
