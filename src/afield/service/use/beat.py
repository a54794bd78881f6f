"""An endpoint said something about itself: that it lives, that it ends, or that a start failed."""

from __future__ import annotations

import logging
from typing import Any, Final

from afield.service.clock import Clock
from afield.service.domain import liveness
from afield.service.domain.holding import EARLY
from afield.service.domain.records import EndpointRecord, UserEndpointRecord
from afield.service.domain.starting import FAILURES
from afield.service.use.cancel import Cancel
from afield.service.use.expire import Expire
from afield.service.use.in_flight import InFlight
from afield.service.use.records import Records
from afield.service.use.revive import Revive
from afield.service.use.start_user_endpoint import StartUserEndpoint
from afield.wire.messages import STOPPED

__all__ = ["Beat"]

logger = logging.getLogger(__name__)

#: Of tasks whose user endpoint died, or did not start, again and again.
_STOPPED_CODE: Final = "NoWorkers"
_NOT_STARTED: Final = (
    f"The user endpoint could not be started, {FAILURES} times in a row, so its tasks do not wait for it any longer. "
    "Submit them again when its owner has mended it, or with other options. The last time:"
)


class Beat:
    """Takes reports."""

    def __init__(
        self,
        records: Records,
        *,
        starter: StartUserEndpoint,
        revive: Revive,
        cancel: Cancel,
        expire: Expire,
        in_flight: InFlight,
        clock: Clock,
    ) -> None:
        self._records = records
        self._starter = starter
        self._revive = revive
        self._cancel = cancel
        self._expire = expire
        self._in_flight = in_flight
        self._clock = clock
        # Core endpoints that reported in this life of the service: the first report of one is its coming back, however
        # recent the last one that another life kept.
        self._met: set[str] = set()

    async def __call__(self, sender_id: str, state: dict[str, Any]) -> None:
        """Take one report.

        :param sender_id: who sent it, by the routing key, which nobody else can use
        :param state: what it said
        """
        endpoint = await self._records.endpoint(sender_id)
        if endpoint is not None:
            await self._core(endpoint, state)
            return
        user_endpoint = await self._records.user_endpoint(sender_id)
        if user_endpoint is not None:
            await self._user(user_endpoint, state)
            return
        logger.info("a report came from %s, which is not known here (any more)", sender_id)

    async def _core(self, endpoint: EndpointRecord, state: dict[str, Any]) -> None:
        reason = liveness.error_of(state)
        if reason is not None:
            logger.info("core endpoint %s reports: %s", endpoint.id, reason)
            self._starter.core_failed(endpoint, reason)
            return
        now = self._clock.now()
        was_there = liveness.is_online(endpoint, now) and endpoint.id in self._met
        changed = await self._records.change_endpoint(
            endpoint.id, lambda record: liveness.after_core_report(record, state, now)
        )
        if changed is None or not liveness.is_online(changed, now):
            self._met.discard(endpoint.id)
        elif not was_there:
            self._met.add(endpoint.id)
            await self._revive.core_came(changed)

    def _note_life(self, before: UserEndpointRecord, after: UserEndpointRecord, now: float) -> None:
        """What the report says about the tasks that were taken in this life, or in the one before."""
        holding = self._in_flight.holding
        if not after.active:
            holding.life_ended(after.id, now)
        elif liveness.is_another_life(before, after):
            holding.life_ended(after.id, now, but=[*self._in_flight.readers(after.id), EARLY])
        else:
            holding.life_goes_on(after.id)
        holding.reported(after.id)

    async def _user(self, user_endpoint: UserEndpointRecord, state: dict[str, Any]) -> None:
        reason = liveness.error_of(state)
        now = self._clock.now()
        before: list[UserEndpointRecord] = []

        def change(record: UserEndpointRecord) -> UserEndpointRecord:
            before.append(record)
            return liveness.after_user_report(record, state, now)

        changed = await self._records.change_user_endpoint(user_endpoint.id, change)
        if changed is None:
            return
        if reason is not None:
            # It says nothing of a process that was there before: commands to one that runs can fail, too.
            logger.info("user endpoint %s did not start: %s", changed.id, reason)
            self._starter.failed(changed, reason)
            if state.get(STOPPED) is True:
                await self._expire.give_up(changed.id, _STOPPED_CODE, reason)
            elif not liveness.is_online(changed, now) and self._starter.failures.are_enough(changed.id):
                logger.info("user endpoint %s did not start %d times in a row: its tasks fail", changed.id, FAILURES)
                await self._expire.give_up(changed.id, _STOPPED_CODE, f"{_NOT_STARTED} {reason}")
            return
        self._note_life(before[0], changed, now)
        if changed.active:
            if not liveness.is_online(before[0], now) or liveness.is_another_life(before[0], changed):
                await self._cancel.again(changed)
            self._starter.came_up(changed)
        else:
            await self._revive.user_left(changed)
