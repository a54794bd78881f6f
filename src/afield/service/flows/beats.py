"""Endpoints say how they are."""

from __future__ import annotations

import logging

from afield.broker.base import Connection
from afield.errors import WireError
from afield.service.domain import names
from afield.service.flows.inbox import Inbox
from afield.service.use.beat import Beat
from afield.wire import codec
from afield.wire.messages import Report

__all__ = ["Beats"]

logger = logging.getLogger(__name__)


class Beats:
    """Reads the queue on which endpoints report."""

    def __init__(self, connection: Connection, beat: Beat) -> None:
        self._beat = beat
        self.inbox = Inbox(connection, names.HEARTBEATS)

    async def run(self) -> None:
        """Until the inbox is closed."""
        while bunch := await self.inbox.take():
            for delivery in bunch:
                sender = names.sender(delivery.routing_key)
                try:
                    messages = codec.decode(delivery.body, delivery.properties.headers)
                except WireError as error:
                    logger.warning("%s sent something that is no report, and it is dropped: %s", sender, error)
                    continue
                for report in messages:
                    if isinstance(report, Report) and report.endpoint_id == sender:
                        await self._beat(sender, report.state)
                    else:
                        logger.warning("%s sent a report that is not its own, and it is dropped", sender)
            self.inbox.done(bunch)
