"""What keeps one person from taking what belongs to all: requests, waiting tasks, and the way into the store.

Decided in :mod:`~afield.service.domain.rates`, :mod:`~afield.service.domain.quotas` and
:mod:`~afield.service.domain.fairness`; counted here, by what this process sees, for each person: all identities that
are linked, and the clients that somebody made. Several replicas tell each other now and then how many requests they let
through; waiting tasks are then counted in the store, now and then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.caller import Caller
from afield.service.domain.fairness import Line, Turn
from afield.service.domain.quotas import check_room
from afield.service.domain.rates import Rates
from afield.service.domain.records import UserEndpointRecord
from afield.service.domain.refusals import Refusal
from afield.service.settings import Limits
from afield.service.store.base import Store
from afield.service.together.base import News, Together
from afield.service.use.in_flight import InFlight
from afield.service.use.people.persons import Person, Persons

__all__ = ["KeepLimits"]

_REQUESTS: Final = "requests"
#: Persons in one of the news, which must be short.
_TOLD_AT_ONCE: Final = 50

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, int]).decode


class KeepLimits:
    """Counts what people ask for, and says when it is too much.

    :param together: the other services on this store; None: there can be none
    """

    def __init__(
        self, store: Store, in_flight: InFlight, clock: Clock, limits: Limits, together: Together | None = None
    ) -> None:
        self._store = store
        self._in_flight = in_flight
        self._clock = clock
        self._limits = limits
        self._persons = Persons(store.people, clock)
        self._together = together
        self._rates = Rates(limits.requests_per_s, limits.requests_burst, shared=together is not None)
        if together is not None:
            together.listen(_REQUESTS, self._hear)
        self._line = Line(limits.commit_tasks)
        self._waiting: dict[Turn, asyncio.Event] = {}
        # identity, core endpoint -> user endpoints; None: not looked at yet
        self._of_user: dict[str, set[str]] | None = None
        self._of_endpoint: dict[str, set[str]] = {}
        # tasks that were found to have room and are not accepted yet: by person, and by core endpoint
        self._coming_of: Counter[str] = Counter()
        self._coming_to: Counter[str] = Counter()

    async def request(self, caller: Caller) -> None:
        """Somebody asks for something.

        :raises Refusal: they ask too often
        """
        if self._limits.requests_per_s <= 0:
            return
        person = await self._persons.behind(caller)
        seconds = self._rates.ask(person.id, self._clock.now())
        if seconds is not None:
            raise refusals.too_many_requests(seconds)

    @property
    def is_shared(self) -> bool:
        """Whether :meth:`tell_requests` is to be called, about once a second."""
        return self._together is not None and self._limits.requests_per_s > 0

    async def tell_requests(self) -> None:
        """Tell the other replicas how many requests were let through here."""
        told = list(self._rates.untold().items())
        if self._together is None or not self._together.hears:
            return  # it would be told much later, and held against people then
        for begin in range(0, len(told), _TOLD_AT_ONCE):
            text = _encode(dict(told[begin : begin + _TOLD_AT_ONCE])).decode()
            self._together.tell(News(_REQUESTS, "", text))

    def _hear(self, news: News) -> None:
        now = self._clock.now()
        for who, count in _decode(news.text or "{}").items():
            self._rates.elsewhere(who, count, now)

    async def room(self, caller: Caller, endpoint_id: str, count: int) -> None:
        """Find out whether so many tasks more may wait, before anything is done for them.

        :raises Refusal: they may not
        """
        await self._check_room(await self._persons.behind(caller), endpoint_id, count)

    async def _check_room(self, person: Person, endpoint_id: str, count: int) -> None:
        await self._in_flight.look(self._clock.now())
        if await self._refusal(person, endpoint_id, count) is None:
            return
        # What is known may be of a moment ago, and tasks have ended since.
        await self._in_flight.look(self._clock.now(), anew=True)
        refusal = await self._refusal(person, endpoint_id, count)
        if refusal is not None:
            raise refusal

    async def _refusal(self, person: Person, endpoint_id: str, count: int) -> Refusal | None:
        limits = self._limits
        if self._of_user is None:
            await self._look()
        assert self._of_user is not None
        return check_room(
            count,
            endpoint_id,
            of_caller=self._coming_of[person.id]
            + sum(self._queued(self._of_user.get(one, ())) for one in person.identity_ids),
            of_endpoint=self._coming_to[endpoint_id] + self._queued(self._of_endpoint.get(endpoint_id, ())),
            per_user=limits.waiting_per_user,
            per_endpoint=limits.waiting_per_endpoint,
        )

    @asynccontextmanager
    async def turn(self, caller: Caller, user_endpoint: UserEndpointRecord, count: int) -> AsyncIterator[None]:
        """Wait for one's turn to have so many tasks committed and queued; it ends with the block.

        :raises Refusal: meanwhile others have taken the room
        """
        endpoint_id = user_endpoint.endpoint_id
        person = await self._persons.behind(caller)
        await self._check_room(person, endpoint_id, count)
        self._know([user_endpoint])
        self._coming_of[person.id] += count
        self._coming_to[endpoint_id] += count
        turn = self._line.join(person.id, count)
        try:
            if not turn.let_in:
                self._waiting[turn] = asyncio.Event()
                await self._waiting[turn].wait()
            yield
        finally:
            self._waiting.pop(turn, None)
            for next_one in self._line.leave(turn):
                self._waiting[next_one].set()
            self._coming_of -= Counter({person.id: count})
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
