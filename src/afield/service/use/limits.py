"""What keeps one person from taking what belongs to all: requests, waiting tasks, and the way into the store.

Decided in :mod:`~afield.service.domain.rates`, :mod:`~afield.service.domain.quotas` and
:mod:`~afield.service.domain.fairness`; counted here, by what this process sees. Of several replicas each counts
requests for itself: n of them let through up to n times as many. Waiting tasks are then counted in the store, now and
then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.fairness import Line, Turn
from afield.service.domain.quotas import check_room
from afield.service.domain.rates import Rates
from afield.service.domain.records import UserEndpointRecord
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight

__all__ = ["KeepLimits"]


class KeepLimits:
    """Counts what people ask for, and says when it is too much."""

    def __init__(self, store: Store, in_flight: InFlight, clock: Clock, limits: Limits) -> None:
        self._store = store
        self._in_flight = in_flight
        self._clock = clock
        self._limits = limits
        self._rates = Rates(limits.requests_per_s, limits.requests_burst)
        self._line = Line(limits.commit_tasks)
        self._waiting: dict[Turn, asyncio.Event] = {}
        # identity, core endpoint -> user endpoints; None: not looked at yet
        self._of_user: dict[str, set[str]] | None = None
        self._of_endpoint: dict[str, set[str]] = {}
        # tasks that were found to have room and are not accepted yet: by identity, and by core endpoint
        self._coming_of: Counter[str] = Counter()
        self._coming_to: Counter[str] = Counter()

    def request(self, who: str) -> None:
        """An identity asks for something.

        :raises Refusal: it asks too often
        """
        seconds = self._rates.ask(who, self._clock.now())
        if seconds is not None:
            raise refusals.too_many_requests(seconds)

    async def room(self, who: str, endpoint_id: str, count: int) -> None:
        """Find out whether so many tasks more may wait, before anything is done for them.

        :raises Refusal: they may not
        """
        await self._in_flight.look(self._clock.now())
        if await self._refusal(who, endpoint_id, count) is None:
            return
        # What is known may be of a moment ago, and tasks have ended since.
        await self._in_flight.look(self._clock.now(), anew=True)
        refusal = await self._refusal(who, endpoint_id, count)
        if refusal is not None:
            raise refusal

    async def _refusal(self, who: str, endpoint_id: str, count: int) -> Refusal | None:
        limits = self._limits
        if self._of_user is None:
            await self._look()
        assert self._of_user is not None
        return check_room(
            count,
            endpoint_id,
            of_caller=self._coming_of[who] + self._queued(self._of_user.get(who, ())),
            of_endpoint=self._coming_to[endpoint_id] + self._queued(self._of_endpoint.get(endpoint_id, ())),
            per_user=limits.waiting_per_user,
            per_endpoint=limits.waiting_per_endpoint,
        )

    @asynccontextmanager
    async def turn(self, who: str, user_endpoint: UserEndpointRecord, count: int) -> AsyncIterator[None]:
        """Wait for one's turn to have so many tasks committed and queued; it ends with the block.

        :raises Refusal: meanwhile others have taken the room
        """
        endpoint_id = user_endpoint.endpoint_id
        await self.room(who, endpoint_id, count)
        self._know([user_endpoint])
        self._coming_of[who] += count
        self._coming_to[endpoint_id] += count
        turn = self._line.join(who, count)
        try:
            if not turn.let_in:
                self._waiting[turn] = asyncio.Event()
                await self._waiting[turn].wait()
            yield
        finally:
            self._waiting.pop(turn, None)
            for next_one in self._line.leave(turn):
                self._waiting[next_one].set()
            self._coming_of -= Counter({who: count})
            self._coming_to -= Counter({endpoint_id: count})

    async def _look(self) -> None:
        found = await self._store.user_endpoints()
        self._of_user = self._of_user or {}
        self._know(found)

    def _know(self, user_endpoints: Iterable[UserEndpointRecord]) -> None:
        assert self._of_user is not None
        for one in user_endpoints:
            self._of_user.setdefault(one.identity_id, set()).add(one.id)
            self._of_endpoint.setdefault(one.endpoint_id, set()).add(one.id)

    def _queued(self, user_endpoint_ids: Iterable[str]) -> int:
        return sum(map(self._in_flight.waiting, user_endpoint_ids))
