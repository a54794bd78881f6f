"""Have user endpoints started again where tasks wait and nobody is there to run them.

A submit starts what it needs. This is for afterwards: a core endpoint that was away comes back, a user endpoint leaves
(it was idle) in the moment in which tasks are handed to its queue, a user endpoint dies without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from afield.errors import BrokerError
from afield.service.clock import Clock
from afield.service.domain.liveness import is_gone, is_online
from afield.service.domain.records import EndpointRecord, UserEndpointRecord
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight
from afield.service.use.records import Records
from afield.service.use.start_user_endpoint import StartUserEndpoint

__all__ = ["Revive"]

logger = logging.getLogger(__name__)

#: Seconds before a start that did not help is tried again: doubled each time, so that a broken configuration costs
#: little, up to the second.
_FIRST_PAUSE_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 900.0


def _nothing() -> None:
    """Whoever is alone knows what waits."""


class Revive:
    """Sends start commands that no submit asked for."""

    def __init__(
        self, store: Store, records: Records, starter: StartUserEndpoint, in_flight: InFlight, clock: Clock
    ) -> None:
        self._store = store
        self._records = records
        self._starter = starter
        self._holding = in_flight.holding
        self._clock = clock
        self._since = clock.now()
        #: called when somebody should look around soon, where that is whoever is on duty
        self.look: Callable[[], None] = _nothing
        # user endpoint -> (not before, how long after that one)
        self._tried: dict[str, tuple[float, float]] = {}

    async def core_came(self, endpoint: EndpointRecord) -> None:
        """A core endpoint is there again: what it was told before, it may have been killed with."""
        now = self._clock.now()
        for one in await self._store.user_endpoints(endpoint.id):
            if not is_online(one, now) and (self._holding.queued(one.id) or self._starter.is_pending(one.id)):
                await self._try_to_start(one)
        self.look()

    async def user_left(self, user_endpoint: UserEndpointRecord) -> None:
        """A user endpoint said goodbye."""
        endpoint = await self._records.endpoint(user_endpoint.endpoint_id)
        if endpoint is None or not is_online(endpoint, self._clock.now()):
            return
        if self._holding.queued(user_endpoint.id) and not self._starter.is_pending(user_endpoint.id):
            await self._try_to_start(user_endpoint)
        self.look()

    async def accepted(self, user_endpoint_id: str) -> None:
        """Tasks were committed. What they need may have left since it was looked at, or its core endpoint come, and
        both found nothing to do then.
        """
        now = self._clock.now()
        user_endpoint = await self._records.user_endpoint(user_endpoint_id)
        if user_endpoint is not None and not is_online(user_endpoint, now):
            endpoint = await self._records.endpoint(user_endpoint.endpoint_id)
            if endpoint is not None and is_online(endpoint, now):
                await self._send(user_endpoint)

    async def look_around(self) -> None:
        """Find tasks that a user endpoint which went without a word has taken along, or that wait for it."""
        now = self._clock.now()
        await self._starter.forget_stale()
        waiting = self._holding.holders()
        self._tried = {one: tried for one, tried in self._tried.items() if one in waiting}
        for one in waiting:
            user_endpoint = await self._records.user_endpoint(one)
            if user_endpoint is None:
                continue
            if is_online(user_endpoint, now):
                self._tried.pop(one, None)
                continue
            if is_gone(user_endpoint, now, listening_since=self._since):
                # Its record may be that of the life before; the next one's first report takes this back.
                self._holding.life_ended(one, now, silent=True)
            if not self._holding.queued(one):
                continue
            endpoint = await self._records.endpoint(user_endpoint.endpoint_id)
            if endpoint is not None:
                await self.wake(user_endpoint, endpoint)

    def is_there(self, user_endpoint_id: str) -> None:
        """Whatever was tried to start it has helped."""
        self._tried.pop(user_endpoint_id, None)

    async def wake(self, user_endpoint: UserEndpointRecord, endpoint: EndpointRecord) -> None:
        """Tasks wait for this user endpoint, which is not there: start it, if that has not just been tried."""
        now = self._clock.now()
        not_before, _ = self._tried.get(user_endpoint.id, (0.0, 0.0))
        if now >= not_before and is_online(endpoint, now):
            await self._send(user_endpoint)

    async def _send(self, user_endpoint: UserEndpointRecord) -> None:
        if not self._starter.is_pending(user_endpoint.id):
            await self._start(user_endpoint)

    async def _try_to_start(self, user_endpoint: UserEndpointRecord) -> None:
        """Not now: then by who looks around. Whoever brought the report must not hold up those of others."""
        try:
            await self._start(user_endpoint)
        except BrokerError as error:
            logger.warning("user endpoint %s cannot be started just now: %s", user_endpoint.id, error)

    async def _start(self, user_endpoint: UserEndpointRecord) -> None:
        _, pause = self._tried.get(user_endpoint.id, (0.0, _FIRST_PAUSE_S))
        self._tried[user_endpoint.id] = (self._clock.now() + pause, min(2 * pause, _LONGEST_PAUSE_S))
        logger.info("tasks wait for user endpoint %s: starting it again", user_endpoint.id)
        await self._starter.send(user_endpoint)
