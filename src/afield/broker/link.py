"""Keeps one connection up: connects, hands it over, waits until it is lost, waits a little, connects again.

What counts as lost, and how long to wait, is decided by :func:`pause_before`; this file only performs it. It stops for
good when the broker says that we are not welcome (a login that was revoked), or when it was tried often enough.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self

from afield.broker.base import Connection, Connector, Publication
from afield.errors import BrokerRefused, BrokerUnreachable

__all__ = ["Backoff", "Link", "pause_before"]

logger = logging.getLogger("afield.broker")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How patient to be. Times in seconds.

    :param first_s: the pause after the first failure
    :param longest_s: no pause is longer
    :param factor: by which each pause is longer than the one before
    :param jitter: pauses are shortened at random by up to this fraction, so that a thousand endpoints that lost the
        same broker do not come back in the same moment
    :param stable_s: a connection that lasted so long was a good one: counting begins anew
    :param tries: give up after so many failures in a row; None: never
    :param refusals: give up after so many refusals in a row by a broker that had let us in. Not the first: a queue that
        is ours alone is refused while the broker has not noticed yet that our last connection is dead, which takes two
        heartbeats. With these defaults it is some three minutes
    """

    first_s: float = 0.05
    longest_s: float = 10.0
    factor: float = 2.0
    jitter: float = 0.5
    stable_s: float = 60.0
    tries: int | None = None
    refusals: int = 30


def pause_before(failures: int, policy: Backoff, chance: float) -> float | None:
    """How long to wait before the next try, in seconds; None: do not try again.

    :param failures: in a row so far, at least 1
    :param chance: at random, from 0 to 1
    """
    if policy.tries is not None and failures >= policy.tries:
        return None
    # The exponent is bounded: floats overflow after some thousand failures.
    pause = min(policy.first_s * policy.factor ** min(failures - 1, 64), policy.longest_s)
    return pause * (1.0 - policy.jitter * chance)


_PATIENT: Final = Backoff()


class Link:
    """One connection that is kept up.

    ::

        async def on_up(connection: Connection) -> None:
            await connection.consume(queue, on_delivery)

        async with Link(AmqpConnector(), url_source, on_up=on_up) as link:
            await link.publish(publication)

    :param connector: makes connections
    :param url_source: where to connect, asked before each try, so that fresh credentials flow by themselves.
        ``BrokerRefused`` from it ends the link, ``BrokerUnreachable`` counts as a failed try; anything else ends it too
    :param on_up: called with each new connection; it subscribes, and waits for nothing but the connection.
        ``BrokerUnreachable`` from it counts as a lost connection, ``BrokerRefused`` too until there were too many in a
        row, anything else ends the link
    :param on_down: called with the reason when a connection is lost, and each time none could be made
    :param policy: how patient to be
    :param sleep: waits so many seconds
    :param chance: gives numbers from 0 to 1
    :param clock: gives seconds of a steady clock
    """

    def __init__(
        self,
        connector: Connector,
        url_source: Callable[[], Awaitable[str]],
        *,
        on_up: Callable[[Connection], Awaitable[None]],
        on_down: Callable[[str], None] | None = None,
        policy: Backoff = _PATIENT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._connector = connector
        self._url_source = url_source
        self._on_up = on_up
        self._on_down = on_down
        self._policy = policy
        self._sleep = sleep
        self._chance = chance
        self._clock = clock
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        # Set while there is a connection, or never will be one again.
        self._changed = asyncio.Event()
        #: Resolves with None when the link was closed, or raises why it ended by itself: BrokerRefused, or
        #: BrokerUnreachable when it was tried often enough.
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever does not look at it has been told by on_down; a warning at its end would say nothing new.
        self.finished.add_done_callback(lambda future: future.cancelled() or future.exception())

    def start(self) -> None:
        """Begin to connect; returns at once. A second time does nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="afield-link")

    @property
    def connection(self) -> Connection | None:
        """The connection, while there is one and ``on_up`` is through with it."""
        return self._connection

    async def up(self) -> Connection:
        """The connection, as soon as there is one.

        :raises BrokerRefused: there will never be one: we are not welcome
        :raises BrokerUnreachable: there will never be one: it was tried often enough, or the link was closed
        """
        while True:
            if self._connection is not None:
                return self._connection
            if self.finished.done():
                self.finished.result()
                raise BrokerUnreachable("the link to the broker was closed")
            await self._changed.wait()

    async def publish(self, publication: Publication) -> None:
        """Publish on the connection, as soon as there is one.

        A connection that is lost before the confirm raises: only the caller knows whether a second copy does harm.

        :raises Unroutable: mandatory, and no queue is bound for it
        :raises BrokerRefused: not allowed, or not welcome any more
        :raises BrokerUnreachable: the connection was lost before the confirm, or there will never be one
        """
        connection = await self.up()
        await connection.publish(publication)

    async def close(self) -> None:
        """Close the connection and stop. Twice is fine."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._finish(None)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Inside

    def _finish(self, error: BaseException | None) -> None:
        if not self.finished.done():
            if error is None:
                self.finished.set_result(None)
            else:
                self.finished.set_exception(error)
        self._changed.set()

    async def _run(self) -> None:
        try:
            await self._keep_up()
        except asyncio.CancelledError:
            self._finish(None)
            raise
        except Exception as error:  # noqa: BLE001 - whoever looks at `finished` gets it, whatever it is
            self._finish(error)

    async def _keep_up(self) -> None:
        failures = refusals = 0
        while True:
            began = self._now()
            connection: Connection | None = None
            try:
                connection = await self._connector.connect(await self._url_source())
                reason = await self._use(connection)
                refusals = 0
            except BrokerUnreachable as error:
                reason = str(error)
            except BrokerRefused as error:
                reason = str(error)
                refusals += 1
                if connection is None or refusals >= self._policy.refusals:
                    self._tell_down(reason)
                    raise
            # Did it last long enough to forget what was before?
            failures = 1 if connection is not None and self._now() - began >= self._policy.stable_s else failures + 1
            self._tell_down(reason)
            pause = pause_before(failures, self._policy, self._chance())
            if pause is None:
                raise BrokerUnreachable(f"gave up after {failures} tries to connect to the broker; the last: {reason}")
            logger.info("%s; next try to connect in %.2f s", reason, pause)
            await self._sleep(pause)

    async def _use(self, connection: Connection) -> str:
        """Hand it over and wait until it is lost; the reason."""
        try:
            await self._on_up(connection)
            self._connection = connection
            self._changed.set()
            return await asyncio.shield(connection.closed)
        finally:
            self._connection = None
            self._changed.clear()
            await connection.close()

    def _tell_down(self, reason: str) -> None:
        if self._on_down is not None:
            self._on_down(reason)

    def _now(self) -> float:
        return asyncio.get_running_loop().time() if self._clock is None else self._clock()
