"""Tasks that a published user endpoint took along when it ended: they fail, saying so.

See :mod:`afield.service.domain.holding` for when that is.
"""

from __future__ import annotations

import logging

from afield.service.clock import Clock
from afield.service.domain.documents import failed_task
from afield.service.use.finish import Finish
from afield.service.use.in_flight import InFlight

__all__ = ["Lose"]

logger = logging.getLogger(__name__)

_CODE = "EndpointLost"
_MESSAGE = (
    "The user endpoint ended while the task was possibly running, and sent no result. It is not run again, for it may "
    "have had effects. Submit it again if that is safe."
)


class Lose:
    """Fails what is lost."""

    def __init__(self, in_flight: InFlight, finish: Finish, clock: Clock) -> None:
        self._in_flight = in_flight
        self._finish = finish
        self._clock = clock

    async def __call__(self) -> None:
        """Do it for everything. May be repeated at any time."""
        now = self._clock.now()
        lost = self._in_flight.holding.lost(now)
        if lost:
            logger.info("%d tasks ended with their user endpoint", len(lost))
            await self._finish.end([failed_task(task_id, _CODE, _MESSAGE, now) for task_id in lost])
