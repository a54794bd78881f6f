"""Endpoints say how they are."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from afield.broker.base import Connection, Delivery
from afield.errors import WireError
from afield.service.domain import liveness, names
from afield.service.flows.dropped import Dropped
from afield.service.flows.inbox import Inbox
from afield.service.use.beat import Beat
from afield.wire import codec
from afield.wire.messages import Report

__all__ = ["Beats", "current"]

logger = logging.getLogger(__name__)

#: Longest report, in bytes. What it says is kept for as long as its endpoint is, and read for each who asks.
_MOST_BYTES: Final = 1_000_000

#: Reports of one endpoint that are taken of one bunch, which holds what came while the one before was worked on. Each
#: may cost a write to the database, for which everybody else's waits.
_MOST_OF_ONE: Final = 20


class Beats:
    """Reads the queue on which endpoints report."""

    def __init__(self, connection: Connection, beat: Beat) -> None:
        self._beat = beat
        self.inbox = Inbox(connection, names.HEARTBEATS)

    async def run(self) -> None:
        """Until the inbox is closed."""
        while bunch := await self.inbox.take():
            for report in current(_reports(bunch)):
                await self._beat(report.endpoint_id, report.state)
            self.inbox.done(bunch)


def current(reports: Sequence[Report]) -> list[Report]:
    """PURE: those that something hangs on. Of several in a row in which one endpoint says that it lives, that is the
    last; and of one that says now this and now that, the last few: who reports a thousand times a second keeps nobody
    waiting.
    """
    found: list[Report] = []
    counts: Counter[str] = Counter()
    later: dict[str, Report] = {}
    for report in reversed(reports):
        sender = report.endpoint_id
        next_one = later.get(sender)
        later[sender] = report
        in_a_row = next_one is not None and _is_plain(report) and _is_plain(next_one)
        if not in_a_row and counts[sender] < _MOST_OF_ONE:
            counts[sender] += 1
            found.append(report)
    return found[::-1]


def _is_plain(report: Report) -> bool:
    return liveness.error_of(report.state) is None and not liveness.says_goodbye(report.state)


def _reports(bunch: Sequence[Delivery]) -> list[Report]:
    found: list[Report] = []
    dropped = Dropped(logger)
    for delivery in bunch:
        sender = names.sender(delivery.routing_key)
        if len(delivery.body) > _MOST_BYTES:
            dropped.add(sender, f"is longer than {_MOST_BYTES:,} bytes")
            continue
        try:
            messages = codec.decode(delivery.body, delivery.properties.headers)
        except WireError as error:
            dropped.add(sender, f"is no report: {error}")
            continue
        for report in messages:
            if isinstance(report, Report) and report.endpoint_id == sender:
                found.append(report)
            else:
                dropped.add(sender, "is not a report of its own")
    dropped.tell()
    return found
