"""The way in: the results of one task group, and notices about its tasks, as long as anybody waits for them.

Each attempt fetches fresh credentials, connects and consumes; those for the first came with the answer to a submit.
After every interruption the service is also asked after all outstanding tasks, because what was in a queue may be gone,
and the store still has it. The same happens now and then when nothing has ended for long: another program may have
consumed what was meant for this one. A stream that is lost while nothing is outstanding is taken up again with the next
task.

A queue gives each message to one of those who consume it. Several clients of this process may use one group; then
whoever gets a message looks for whom it is. What is for nobody here is put back a few times, for another program; and
who notices by this that others consume, too, asks after its tasks soon, for some of its results may have been lost
there.

This is not a :class:`~afield.broker.link.Link`: patience here is a number of seconds over service and broker together,
and a group without a queue is no error but a reason to ask instead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import InvalidStateError
from contextlib import suppress
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from afield.broker.base import Connection, Connector, Consumer, Delivery
from afield.errors import BrokerRefused, BrokerUnreachable, ComputeError, ServiceError, ServiceUnreachable, WireError
from afield.sdk import portal
from afield.sdk.future import ComputeFuture
from afield.sdk.match import Matcher, Strays
from afield.sdk.outcome import Arrived, Place
from afield.sdk.retry import Pace, Retrying, TryAgain, persist
from afield.sdk.telling import fail, take_notice, tell
from afield.sdk.transport.base import Transport
from afield.wire.codec import decode
from afield.wire.messages import Notice, Result
from afield.wire.rest import ResultQueue
from afield.wire.v1 import HIGH_ASSURANCE

__all__ = ["Stream"]

_log = logging.getLogger(__name__)

#: Tasks in one question after their status.
_ASK_AT_ONCE: Final = 1000

#: A connection that lasted this many seconds was a good one.
_GOOD_AFTER_S: Final = 5.0

#: Without a queue of its own a group is asked after, every so many seconds at most.
_ASK_EVERY_S: Final = 10.0

#: Where others consume the same queue, the first question comes after so many seconds, the next after twice as many.
_ASK_SOON_S: Final = 1.0

#: The streams of each task group, by the process's life: a forked child must not touch its parent's.
_together: Final[dict[tuple[object, str], list[Stream]]] = {}


class Stream:
    """One task group.

    :param group_id: its UUID
    :param port: instead of the one in the credentials
    :param place_of: where a future's task ran, as far as is known, for messages
    :param on_idle: called in a task of its own when nobody needs the stream any more
    """

    def __init__(
        self,
        group_id: str,
        transport: Transport,
        connector: Connector,
        pace: Pace,
        *,
        port: int | None,
        place_of: Callable[[ComputeFuture[Any]], Place],
        on_idle: Callable[[Stream], Coroutine[Any, Any, None]],
    ) -> None:
        self.group_id = group_id
        self.matcher: Matcher[ComputeFuture[Any], Arrived, Notice] = Matcher()
        self._strays = Strays()
        #: who still may wait for something of this group; without any, it ends when nothing is outstanding
        self.users: set[object] = set()
        self._transport, self._connector, self._pace, self._port = transport, connector, pace, port
        self._place_of, self._on_idle = place_of, on_idle
        #: credentials that were not used yet
        self._where: ResultQueue | None = None
        self._task: asyncio.Task[None] | None = None
        self._side_tasks: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[None] | None = None
        self._deliveries: list[Delivery] = []
        self._consumer: Consumer | None = None
        #: whether anything of ours has ended since it was looked at last
        self._heard = False
        self._interrupted = False
        #: results are there that were not brought, and have to be asked for
        self._unfetched = False
        self._fetching: asyncio.Task[None] | None = None
        self._place = (portal.life, group_id)

    def watch(self, where: ResultQueue | None = None, *, recheck: bool = False) -> None:
        """Be connected from now on.

        :param where: fresh credentials, if there are any
        :param recheck: ask after all outstanding tasks, too: a result may have come too early to be kept
        """
        if self._task is None or self._task.done():
            kin = _together.setdefault(self._place, [])
            if self not in kin:
                kin.append(self)
            self._where = where
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"results of {self.group_id}")
        if recheck:
            self._aside(self._recheck())

    async def close(self) -> None:
        """Disconnect. What is outstanding stays so."""
        kin = _together.get(self._place, [])
        if self in kin:
            kin.remove(self)
        if not kin:
            _together.pop(self._place, None)
        under_way = [task for task in (self._task, self._asking, self._fetching) if task is not None]
        self._task = self._asking = self._fetching = None
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    @property
    def idle(self) -> bool:
        """Whether nobody needs it any more."""
        return not self.users and self.matcher.idle

    async def catch_up(self) -> None:
        """Ask the service after all outstanding tasks.

        :raises TryAgain: it cannot be reached
        :raises ServiceError: it refused
        """
        remaining = iter(list(self.matcher.expected))
        while some := list(islice(remaining, _ASK_AT_ONCE)):
            answer = await self._transport.tasks(some)
            for task_id, document in answer.results.items():
                ended = Arrived.from_document(document)
                if ended is not None:
                    self.arrived(task_id, ended)
                elif (future := self.matcher.expected.get(task_id)) is not None:
                    since = document.since if document.since is not msgspec.UNSET else time.time()
                    tell(future, document.status, since)

    def announce(self, tasks: Mapping[str, ComputeFuture[Any]]) -> None:
        """A request was answered: these are expected from now on, and some may have ended already."""
        self.settle(self.matcher.answered(tasks))
        for future, notice in self.matcher.early_notices():
            take_notice(future, notice)

    def settle(self, matched: Iterable[tuple[ComputeFuture[Any], Arrived]]) -> None:
        """End futures with what arrived for them."""
        for future, arrived in matched:
            self._end(future, arrived)
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if self.idle:
            self._aside(self._on_idle(self))

    def _end(self, future: ComputeFuture[Any], arrived: Arrived) -> None:
        self._heard = True
        if (attempt := arrived.attempt) > 1:
            future.tried(attempt)
        if arrived.error_code is None:
            arrived.serializer = future.origin.serializer
        elif arrived.cancelled:
            future.set_cancelled()
            return
        else:
            arrived.place = self._place_of(future)
        try:
            future.set_sealed(arrived)
        except InvalidStateError:
            _log.debug("%r had ended before its result came", future)

    # -- connected ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        retrying = Retrying(self._pace)
        asked = 0
        try:
            while not self._interrupted or self.matcher.expected:
                try:
                    failure = await self._attend(retrying)
                except TryAgain as error:
                    failure = TryAgain(self._kept(str(error.error)), error.after_s)
                except BrokerRefused as error:
                    await self._poll(error)
                    await self._pace.sleep(min(0.5 * 2.0**asked, _ASK_EVERY_S))
                    asked = min(asked + 1, 10)
                    continue
                self._interrupted = True
                pause = retrying.pause(failure.after_s)
                if pause is None:
                    self._give_up(failure.error)
                    return
                await self._pace.sleep(pause)
        except ServiceError as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours; nobody must wait for ever because of it
            _log.exception("the result stream of task group %s ended", self.group_id)
            self._give_up(ComputeError(f"the result stream ended unexpectedly: {type(error).__name__}: {error}"))

    async def _attend(self, retrying: Retrying) -> TryAgain:
        """One connection, from its beginning to its loss; what to say about the loss."""
        where, self._where = self._where, None
        if where is None:
            where = await self._transport.result_queue(self.group_id)
        try:
            connection = await self._connector.connect(_with_port(where.connection_url, self._port))
        except BrokerUnreachable as error:
            raise self._lost(error) from error
        began, self._heard = self._pace.now(), False
        try:
            self._consumer = await connection.consume(where.queue_prefix + self.group_id, self._on_delivery)
            self._flush()
            if self._interrupted:
                await self.catch_up()
                self._interrupted = False
            reason = await self._until_lost(connection, self._consumer)
        except BrokerUnreachable as error:
            reason = str(error)
        finally:
            self._consumer = None
            self._deliveries.clear()
            await connection.close()
        if self._heard or self._pace.now() - began >= _GOOD_AFTER_S:
            retrying.calm()
        return self._lost(reason)

    async def _until_lost(self, connection: Connection, consumer: Consumer) -> str:
        ends = (connection.closed, consumer.cancelled)
        while True:
            done, _ = await asyncio.wait(ends, timeout=self._pace.check_s, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return done.pop().result()
            if not self._heard:
                await self.catch_up()
            self._heard = False

    async def _poll(self, refusal: BrokerRefused) -> None:
        """There is no queue for us: ask instead."""
        _log.info("task group %s has no result queue (%s); asking for its results", self.group_id, refusal)
        self._interrupted = True
        await persist(self.catch_up, self._pace)

    async def _recheck(self) -> None:
        try:
            await persist(self.catch_up, self._pace)
        except ServiceError as error:
            self._give_up(error)

    def _fetch(self) -> None:
        """Ask for results that are not brought. Those told of while one question is under way share the next."""
        self._unfetched = True
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.get_running_loop().create_task(self._fetch_all())

    async def _fetch_all(self) -> None:
        while self._unfetched:
            self._unfetched = False
            await self._recheck()

    async def _ask_soon(self) -> None:
        pause = _ASK_SOON_S
        while self.matcher.expected and pause < self._pace.check_s:
            await self._pace.sleep(pause)
            # If nobody answers now, nothing is lost: results come by the queue, and what does not is asked for later.
            with suppress(TryAgain, ServiceError):
                await self.catch_up()
            pause *= 2

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._side_tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._side_tasks.discard)

    def _lost(self, why: object) -> TryAgain:
        port = "" if self._port is None else f" With amqp_port={self._port} it was looked for there: is that right?"
        return TryAgain(
            self._kept(
                f"the result stream of the service at {self._transport.url} was lost and could not be taken up again "
                f"({why}). Is the service running?{port}"
            )
        )

    def _kept(self, what: str) -> ServiceUnreachable:
        return ServiceUnreachable(
            f"{what} Results are kept there: once it is back, Executor.reload_tasks({self.group_id!r}) collects them"
        )

    def _give_up(self, error: ComputeError) -> None:
        self._interrupted = True
        for future in self.matcher.give_up():
            fail(future, error)

    # -- deliveries --------------------------------------------------------------------------------------------------

    def _on_delivery(self, delivery: Delivery) -> None:
        if not self._deliveries:
            asyncio.get_running_loop().call_soon(self._flush)
        self._deliveries.append(delivery)

    def _flush(self) -> None:
        """Set futures, then acknowledge: in this order nothing is lost if this process dies between the two."""
        consumer = self._consumer
        if consumer is None or not self._deliveries:
            return
        deliveries, self._deliveries = self._deliveries, []
        strange = {delivery.tag: task_id for delivery in deliveries if (task_id := self._take(delivery)) is not None}
        if strange or any(delivery.redelivered for delivery in deliveries):
            self._not_alone()
        back = {tag for tag, task_id in strange.items() if self._strays.put_back(task_id)}
        for tag in back:
            consumer.nack(tag)
        done = [delivery.tag for delivery in deliveries if delivery.tag not in back]
        if done:
            consumer.ack(done[-1], multiple=True)

    def _not_alone(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask_soon())

    def _take(self, delivery: Delivery) -> str | None:
        """A task of which it brought the end, and for which nobody here waits; None: there is no such in it."""
        properties = delivery.properties
        try:
            messages = decode(delivery.body, properties.headers)
        except WireError as error:
            # Putting it back would bring it again at once, for ever.
            _log.warning("a message in the result queue of task group %s is dropped: %s", self.group_id, error)
            return None
        stray = None
        for message in messages:
            if isinstance(message, Result) and properties.headers.get(HIGH_ASSURANCE):
                if not self._told(message.task_id):
                    stray = stray or message.task_id
            elif isinstance(message, Result):
                arrived = Arrived.from_result(message, properties.timestamp)
                if not self.arrived(message.task_id, arrived):
                    stray = stray or message.task_id
            elif isinstance(message, Notice):
                self._noticed(message)
        return stray

    def arrived(self, task_id: str, arrived: Arrived) -> bool:
        """An end has come; whether somebody here expects it. (Who may do so once an answer is in, keeps it.)"""
        found = False
        for stream in _together.get(self._place) or (self,):
            future = stream.matcher.arrived(task_id, arrived)
            if future is not None:
                found = True
                stream._end(future, arrived)  # noqa: SLF001 - one of us
                stream._leave_if_idle()  # noqa: SLF001 - likewise
        return found

    def _told(self, task_id: str) -> bool:
        """An end is there to be asked for, by whoever is let in to it; whether somebody here expects it."""
        waiting = [one for one in _together.get(self._place) or (self,) if one.matcher.told(task_id)]
        for stream in waiting:
            stream._fetch()  # noqa: SLF001 - one of us
        return bool(waiting)

    def _noticed(self, notice: Notice) -> None:
        """Where a task is. One for nobody here is not put back: a later one, or the end, says more."""
        for stream in _together.get(self._place) or (self,):
            future = stream.matcher.noticed(notice.task_id, notice)
            if future is not None:
                take_notice(future, notice)


def _with_port(url: str, port: int | None) -> str:
    if port is None:
        return url
    parts = urlsplit(url)
    login, _, address = parts.netloc.rpartition("@")
    host = address if address.endswith("]") else address.rpartition(":")[0] or address
    return urlunsplit(parts._replace(netloc=f"{login}@{host}:{port}" if login else f"{host}:{port}"))
