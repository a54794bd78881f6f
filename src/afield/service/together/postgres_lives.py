"""Lives of services on one PostgreSQL: each is an advisory lock, held by a connection of its own.

When a process is killed its connection ends with it, PostgreSQL lets go of the lock, and everybody can see that. The
lock is a shared one: whoever lost the connection takes it again at once, though the server may not have noticed yet
that the old one is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final

import asyncpg
from asyncpg.exceptions import InterfaceError, PostgresError

from afield.errors import DataDirectoryError
from afield.ids import new_id

__all__ = ["PostgresLives"]

logger = logging.getLogger(__name__)

#: Seconds after which an answer does not come any more, and between two tries to connect.
_PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 0.5

#: Seconds that services have to come back after the database was started: until then nobody is said to have ended.
_COME_BACK_S: Final = 10.0

_LOST: Final = (OSError, PostgresError, InterfaceError, TimeoutError)

#: asyncpg does not say what it takes and gives.
_connect_to: Final[Callable[..., Any]] = asyncpg.connect

#: Advisory locks of one number are seen as two halves.
_HELD: Final = """
SELECT (classid::bigint << 32) | objid::bigint
FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_STARTED_LATELY: Final = "SELECT pg_postmaster_start_time() > now() - make_interval(secs => $1)"


class PostgresLives:
    """A :class:`~afield.service.together.lives.Lives` of all services on one database.

    :param url: ``postgresql://user:password@host:port/name``
    """

    def __init__(self, url: str) -> None:
        self.life = new_id()
        self._url = url
        self._connection: Any = None
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._lock = asyncio.Lock()
        # how many questions were begun, and the answer to the last
        self._begun = 0
        self._held: frozenset[int] | None = frozenset()

    async def open(self) -> None:
        """Take the lock.

        :raises DataDirectoryError: the database cannot be used
        """
        try:
            await self._connect()
        except _LOST as error:
            raise DataDirectoryError(f"cannot use the database to say that this service lives: {error}") from error
        self._keeper = asyncio.create_task(self._keep(), name="afield-life")

    async def close(self) -> None:
        """Disconnect; that frees the lock."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*_LOST):
                await connection.close(timeout=_PATIENCE_S)

    async def ended(self, lives: Iterable[str]) -> frozenset[str]:
        """Those whose lock nobody holds.

        :raises ConnectionError: the database does not answer
        """
        arrived = self._begun
        async with self._lock:
            # Who waited while a question was asked shares the next one.
            if self._begun == arrived:
                self._begun += 1
                self._held = await self._ask()
            held = self._held
        if held is None:
            return frozenset()
        return frozenset(life for life in lives if life != self.life and _number(life) not in held)

    async def _ask(self) -> frozenset[int] | None:
        """The numbers of the locks that are held; None: it is too early to say."""
        connection = self._connection
        if connection is None:
            raise ConnectionError("the database cannot be asked which services live")
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if await connection.fetchval(_STARTED_LATELY, _COME_BACK_S):
                    return None
                return frozenset(row[0] for row in await connection.fetch(_HELD))
        except _LOST as error:
            raise ConnectionError(f"the database cannot be asked which services live: {error}") from error

    async def _connect(self) -> None:
        self._lost.clear()
        connection = await _connect_to(self._url, timeout=_PATIENCE_S)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await connection.execute("SELECT pg_advisory_lock_shared($1)", _number(self.life))
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        connection.add_termination_listener(lambda _: self._lost.set())
        if connection.is_closed():
            self._lost.set()

    async def _keep(self) -> None:
        """Connect anew when the connection is lost; for ever."""
        while True:
            await self._lost.wait()
            self._connection = None
            try:
                await self._connect()
            except _LOST as error:
                logger.warning("the database does not let this service say that it lives: %s", error)
                self._lost.set()
                await asyncio.sleep(_PAUSE_S)


def _number(life: str) -> int:
    """Advisory locks are numbers of 64 bits with a sign."""
    return int.from_bytes(blake2b(b"afield life " + life.encode(), digest_size=8).digest(), signed=True)
