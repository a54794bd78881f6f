"""Several services on one PostgreSQL: LISTEN and NOTIFY carry the news, advisory locks say whose turn it is.

The news are about what is in this very database. So they are told where it was committed: whoever hears them finds it
there, and no other part of the system needs to be up for them. A broker's fanout exchange would carry as much, but
could be ahead of the commit's being seen.

One connection listens and holds the duty, for as long as it lives: when its service is gone, PostgreSQL lets go of the
lock. Keys are held on connections of a small pool, for those who wait for one must not hold up the news.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from hashlib import blake2b
from typing import Any, Final
from uuid import uuid4

import asyncpg
import msgspec
from asyncpg.exceptions import InterfaceError, PostgresError

from afield.errors import DataDirectoryError
from afield.service.together.base import Listener, News
from afield.service.together.memory import cut

__all__ = ["PostgresReplica"]

logger = logging.getLogger(__name__)

_CHANNEL: Final = "afield_news"

#: Advisory locks are numbers: the first says that it is ours, the second which.
_OURS: Final = 0x0AF1E1D
_DUTY: Final = 0
_DUTY_KIND: Final = _OURS + 1

#: Seconds between two looks whether the duty is free or the connection still there.
_LOOK_S: Final = 1.0

#: Seconds after which an answer does not come any more.
_PATIENCE_S: Final = 10.0

_LOST: Final = (OSError, PostgresError, InterfaceError, TimeoutError)


#: asyncpg says of neither what it takes and gives.
_create_pool: Final[Callable[..., Any]] = asyncpg.create_pool
_connect_to: Final[Callable[..., Any]] = asyncpg.connect


class _Told(msgspec.Struct, frozen=True):
    by: str
    news: News


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Told).decode


class PostgresReplica:
    """A :class:`~afield.service.together.base.Together` of all services on one database.

    :param url: ``postgresql://user:password@host:port/name``
    :param keys: connections for those who want something to themselves
    """

    def __init__(self, url: str, *, keys: int = 3) -> None:
        self._url = url
        self._keys = keys
        self._name = uuid4().hex
        self._listeners: dict[str, list[Listener]] = {}
        self._missed: list[Callable[[], None]] = []
        self._pool: Any = None
        self._connection: Any = None
        self._keeper: asyncio.Task[None] | None = None
        self._duty = asyncio.Event()
        self._unsaid: list[bytes] = []
        # Who waits until what is unsaid has been said.
        self._waiting: list[asyncio.Future[None]] = []
        self._is_saying = False
        self._something = asyncio.Event()

    async def open(self) -> None:
        """Connect, and begin to listen.

        :raises DataDirectoryError: the database cannot be used
        """
        try:
            self._pool = await _create_pool(self._url, min_size=0, max_size=self._keys, timeout=_PATIENCE_S)
            await self._connect()
            await self._look(self._connection)
        except _LOST as error:
            await self.close()
            raise DataDirectoryError(f"cannot use the database to speak with other services: {error}") from error
        self._keeper = asyncio.create_task(self._keep(), name="afield-together")

    async def close(self) -> None:
        """Say what is unsaid, and disconnect; that frees the duty."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        connection, self._connection = self._connection, None
        self._duty.clear()
        if connection is not None:
            with suppress(*_LOST):
                await self._say(connection)
            with suppress(*_LOST):
                await connection.close(timeout=_PATIENCE_S)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)
        pool, self._pool = self._pool, None
        if pool is not None:
            with suppress(*_LOST):
                async with asyncio.timeout(_PATIENCE_S):
                    await pool.close()

    def tell(self, news: News) -> None:
        """Tell all others, as soon as the connection is free."""
        self._unsaid.append(_encode(_Told(self._name, cut(news))))
        self._something.set()

    async def all_said(self) -> None:
        """Return when PostgreSQL has committed it; at once when this replica has left."""
        if self._keeper is None or not (self._unsaid or self._is_saying):
            return
        said = asyncio.get_running_loop().create_future()
        self._waiting.append(said)
        self._something.set()
        await said

    @property
    def hears(self) -> bool:
        """Whether the connection that listens is up. One that was cut without a word counts as up for some seconds."""
        return self._connection is not None and not bool(self._connection.is_closed())

    def listen(self, topic: str, listener: Listener) -> None:
        """Hear what others tell about a topic."""
        self._listeners.setdefault(topic, []).append(listener)

    def on_missed(self, listener: Callable[[], None]) -> None:
        """Hear that news may have been lost."""
        self._missed.append(listener)

    @property
    def on_duty(self) -> bool:
        """Whether this service has the lock, as far as it knows."""
        return self._duty.is_set() and self._connection is not None and not bool(self._connection.is_closed())

    async def take_duty(self) -> None:
        """Wait for the lock."""
        await self._duty.wait()

    def alone(self, key: str) -> AbstractAsyncContextManager[None]:
        """Have this key to oneself.

        :raises DataDirectoryError: the database does not answer
        """
        return self._alone(int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), signed=True))

    @asynccontextmanager
    async def _alone(self, number: int) -> AsyncIterator[None]:
        assert self._pool is not None, "open() comes first"
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", _OURS, number)
            yield

    # -- the connection that listens ---------------------------------------------------------------------------------

    async def _connect(self) -> None:
        connection = await _connect_to(self._url, timeout=_PATIENCE_S)
        await connection.add_listener(_CHANNEL, self._hear)
        self._connection = connection

    async def _keep(self) -> None:
        """Say what is to be said, try for the duty, and connect anew when the connection is lost; for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._something.wait()
            try:
                if self._connection is None:
                    await self._connect()
                    logger.warning("heard from the database again; what other services told meanwhile was missed")
                    for listener in self._missed:
                        listener()
                assert self._connection is not None
                await self._say(self._connection)
                await self._look(self._connection)
            except _LOST as error:
                await self._lost(error)

    async def _say(self, connection: Any) -> None:
        self._something.clear()
        unsaid, self._unsaid = self._unsaid, []
        waiting, self._waiting = self._waiting, []
        self._is_saying, is_said = True, False
        try:
            if unsaid:
                texts = [one.decode() for one in unsaid]
                async with asyncio.timeout(_PATIENCE_S):
                    await connection.execute(
                        "SELECT pg_notify($1, said) FROM unnest($2::text[]) WITH ORDINALITY AS t(said, n) ORDER BY n",
                        _CHANNEL,
                        texts,
                    )
            is_said = True
        finally:
            self._is_saying = False
            if not is_said:  # others have missed nothing, so nobody tells them to look: it is said later
                self._unsaid, self._waiting = unsaid + self._unsaid, waiting + self._waiting
        for one in waiting:
            if not one.done():
                one.set_result(None)

    async def _look(self, connection: Any) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            if self._duty.is_set():
                await connection.execute("SELECT 1")
            elif await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", _DUTY_KIND, _DUTY):
                self._duty.set()
                logger.info("this service is on duty")

    async def _lost(self, error: Exception) -> None:
        connection, self._connection = self._connection, None
        self._duty.clear()
        if connection is not None:
            logger.warning("the connection to the database for news of other services was lost: %s", error)
            connection.terminate()
        self._something.clear()  # nobody to say it to: a moment's pause

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        told = _decode(payload)
        if told.by != self._name:
            for listener in self._listeners.get(told.news.topic, ()):
                listener(told.news)
