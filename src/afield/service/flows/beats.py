"""Endpoints say how they are."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from afield.broker.base import Connection, Delivery
from afield.errors import WireError
from afield.service.domain import liveness, names
from afield.service.flows.inbox import Inbox
from afield.service.use.beat import Beat
from afield.wire import codec
from afield.wire.messages import Report

__all__ = ["Beats", "current"]

logger = logging.getLogger(__name__)

#: Longest report, in bytes. What it says is kept for as long as its endpoint is, and read for each who asks.
_MOST_BYTES: Final = 1_000_000


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
    last: who reports a thousand times a second keeps nobody waiting.
    """
    found: list[Report] = []
    later: dict[str, Report] = {}
    for report in reversed(reports):
        next_one = later.get(report.endpoint_id)
        later[report.endpoint_id] = report
        if next_one is None or not (_is_plain(report) and _is_plain(next_one)):
            found.append(report)
    return found[::-1]


def _is_plain(report: Report) -> bool:
    return liveness.error_of(report.state) is None and not liveness.says_goodbye(report.state)


def _reports(bunch: Sequence[Delivery]) -> list[Report]:
    found: list[Report] = []
    wrong: Counter[tuple[str, str]] = Counter()
    for delivery in bunch:
        sender = names.sender(delivery.routing_key)
        if len(delivery.body) > _MOST_BYTES:
            wrong[sender, f"is longer than {_MOST_BYTES:,} bytes"] += 1
            continue
        try:
            messages = codec.decode(delivery.body, delivery.properties.headers)
        except WireError as error:
            wrong[sender, f"is no report: {error}"] += 1
            continue
        for report in messages:
            if isinstance(report, Report) and report.endpoint_id == sender:
                found.append(report)
            else:
                wrong[sender, "is not a report of its own"] += 1
    for (sender, what), count in wrong.items():
        logger.warning("%s sent something that %s, and it is dropped (%d times)", sender, what, count)
    return found
