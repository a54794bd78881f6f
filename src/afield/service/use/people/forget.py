"""What let people in, and does not any more: forgotten in the course of time."""

from __future__ import annotations

import logging

from afield.service.clock import Clock
from afield.service.store.people import People

__all__ = ["ForgetExpired"]

logger = logging.getLogger(__name__)


class ForgetExpired:
    """Deletes tokens and tickets whose time is over. They let nobody in from that moment on; this only makes room."""

    def __init__(self, people: People, clock: Clock) -> None:
        self._people = people
        self._clock = clock

    async def __call__(self) -> None:
        """Do it for all. May be repeated at any time."""
        count = await self._people.forget_expired(self._clock.now())
        if count:
            logger.info("forgot %d tokens and tickets that had expired", count)
