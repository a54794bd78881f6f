"""Submits without a key: which of them are repetitions. Decided in :mod:`afield.service.domain.repeats`.

That a submit was answered is written down after the answer, for all that were answered meanwhile at once: nobody waits
for it. That an answer went astray is written down before any other submit is looked at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec

from afield.ids import new_id
from afield.service.clock import Clock
from afield.service.domain.repeats import ASTRAY, Attempt, Repeated, Unanswered, Unclear
from afield.service.store.base import Store
from afield.service.together.lives import Lives

__all__ = ["Keyless", "Repeats"]

logger = logging.getLogger(__name__)

#: Seconds between two tries to write down what the store did not take.
_PAUSE_S: Final = 1.0

#: So many are kept of those that cannot be written down just now; many at once come only of an outage.
_MOST: Final = 10_000


class Repeats:
    """Submits without a key, and what is kept about them.

    :param lives: this replica's, and whether others have ended
    :param within_s: for how long, in seconds, a repetition is expected
    :ivar strayed: how many answers are known to have gone astray
    :ivar recognised: how many repetitions came
    """

    def __init__(self, store: Store, lives: Lives, clock: Clock, within_s: float) -> None:
        self._store = store
        self._lives = lives
        self._clock = clock
        self._within_s = within_s
        # key -> as whose it stands in the store
        self._answered: dict[bytes, str] = {}
        self._astray: dict[bytes, Unanswered] = {}
        self._writing: asyncio.Task[None] | None = None
        self.strayed = 0
        self.recognised = 0

    def begin(self, body: bytes) -> Keyless:
        """Somebody submits without a key.

        :param body: a digest of all that makes two submits equal
        """
        return Keyless(self, body)

    async def close(self) -> None:
        """Write down what is known."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        try:
            await self._write()
        except Exception as error:  # noqa: BLE001 - the service ends; who was answered does not ask again
            logger.warning("%d answered submits are not written down: %s", len(self._answered), error)

    # -- for one of them ---------------------------------------------------------------------------------------------

    async def attempt(self, key: bytes, body: bytes) -> Attempt:
        """What the store is asked with."""
        if self._astray:
            await self._write()  # it may be the very one that is repeated
        now = self._clock.now()
        return Attempt(key, body, self._lives.life, now, now - self._within_s)

    async def ask(self, attempt: Attempt, lives: Iterable[str]) -> Attempt:
        """The same, knowing which of these lives have ended.

        :raises ConnectionError: that cannot be known just now
        """
        asked = frozenset(lives)
        ended = await self._lives.ended(asked)
        going_on = attempt.going_on | (asked - ended)
        return msgspec.structs.replace(attempt, ended=attempt.ended | ended, going_on=going_on)

    async def find(self, attempt: Attempt) -> Repeated | None:
        """Whether it repeats another, without committing anything."""
        while isinstance(found := await self._store.repeated(attempt), Unclear):
            attempt = await self.ask(attempt, found.lives)
        return found

    def answered(self, key: bytes) -> None:
        """Its answer is being written."""
        self._answered[key] = self._lives.life
        self._begin()

    def is_none(self, key: bytes) -> None:
        """It went astray, and is no submit of its own: whoever repeats it repeats another."""
        self._answered[key] = ASTRAY
        self._begin()

    def went_astray(self, key: bytes, body: bytes) -> None:
        """Whoever submitted it does not get the answer, and may ask once more."""
        self._astray[key] = Unanswered(key, body, self._lives.life, self._clock.now())
        self._begin()

    # -- writing down ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all(), name="afield-answered")

    async def _write_all(self) -> None:
        while self._astray or self._answered:
            try:
                await self._write()
            except Exception as error:  # noqa: BLE001 - the store is away: it is told to whoever needs it, and tried again
                logger.warning("what became of %d submits is written down later: %s", self._left, error)
                await self._clock.sleep(_PAUSE_S)

    @property
    def _left(self) -> int:
        return len(self._astray) + len(self._answered)

    async def _write(self) -> None:
        astray, self._astray = self._astray, {}
        answered, self._answered = self._answered, {}
        try:
            if astray:
                await self._store.went_astray(list(astray.values()))
                self.strayed += len(astray)
            for life in set(answered.values()):
                await self._store.answered([key for key, whose in answered.items() if whose == life], life)
        except BaseException:
            self._astray = dict(list((astray | self._astray).items())[-_MOST:])
            self._answered = dict(list((answered | self._answered).items())[-_MOST:])
            raise


class Keyless:
    """One submit without a key, until it is answered.

    :ivar key: under which it is made
    :ivar follows: whether it repeats another, and has that one's key
    """

    def __init__(self, repeats: Repeats, body: bytes) -> None:
        self._repeats = repeats
        self._body = body
        self.key = UUID(new_id()).bytes
        self.follows = False
        # the store may know of it, so that it must hear what becomes of it
        self._is_known = False
        self._is_gone = False

    async def attempt(self) -> Attempt | None:
        """What the store is asked with when it is committed; None: it repeats another, or nobody waits for it."""
        if self.follows or self._is_gone:
            return None
        return await self._repeats.attempt(self.key, self._body)

    async def ask(self, attempt: Attempt, lives: Iterable[str]) -> Attempt:
        """See :meth:`Repeats.ask`."""
        return await self._repeats.ask(attempt, lives)

    async def find(self) -> Repeated | None:
        """Whether it repeats another, though it cannot be committed."""
        attempt = await self.attempt()
        return None if attempt is None else await self._repeats.find(attempt)

    def commits(self) -> None:
        """The store is asked to keep it."""
        self._is_known = True

    def follow(self, key: bytes) -> None:
        """It repeats the submit with this key."""
        self._repeats.recognised += 1
        if self._is_gone:
            self._repeats.is_none(self.key)
            self._repeats.went_astray(key, self._body)
        self.key, self.follows, self._is_known = key, True, True

    def gone(self) -> None:
        """The connection on which the answer was waited for is."""
        if not self._is_gone:
            self._is_gone = True
            self._repeats.went_astray(self.key, self._body)

    def answered(self, status: int) -> None:
        """The answer is about to be written."""
        if self._is_gone or not self._is_known:
            return
        if status >= 500:  # clients ask again
            self._repeats.went_astray(self.key, self._body)
        else:
            self._repeats.answered(self.key)
