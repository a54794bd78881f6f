"""The way out, in the portal's loop: what callers hand over becomes requests, and answers find their stream.

From a caller's thread a call crosses by :meth:`Pump.send`: it goes into a deque, and only the first of a burst wakes
the loop. Why none is left lying: a caller appends, then looks at the flag; the loop clears the flag, then empties the
deque. So whoever finds the flag set has appended before it was cleared, and is emptied out.

A first submit is one request: functions that the service does not have yet ride in it, and the answer brings how to
reach the results, which clients the service takes, and which Python the workers run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from afield.broker.base import Connector
from afield.errors import ComputeAPIError, ComputeError, ServiceError, ServiceUnreachable, VersionMismatch
from afield.ids import new_id, parse_id
from afield.sdk.calls import Call, Origin
from afield.sdk.cancelling import Cancelling
from afield.sdk.coalesce import Coalescer, Lane
from afield.sdk.future import ComputeFuture
from afield.sdk.outcome import CANCELLED, Arrived, Place
from afield.sdk.parcel import Parcel, of_fit_size
from afield.sdk.portal import Portal
from afield.sdk.pythons import MISMATCH, Pythons, Unreadable
from afield.sdk.registering import Registering, may_ride
from afield.sdk.retry import Pace, persist
from afield.sdk.stream import Stream
from afield.sdk.telling import fail
from afield.sdk.transport.base import Refusal, Transport
from afield.wire.rest import SubmitResponse

__all__ = ["Pump"]

_log = logging.getLogger(__name__)


class Pump:
    """One service, one identity. All is called in the loop but what says otherwise.

    :param ready: awaited before something other than a submit is asked: whether this client may speak to this service
    :param vet: called with the oldest published SDK that the service takes, as an answer says it; raises
        :class:`~afield.errors.VersionMismatch` where that is newer than ours
    :param user_runtime: sent with each request
    """

    def __init__(
        self,
        portal: Portal,
        transport: Transport,
        connector: Connector,
        *,
        pace: Pace,
        ready: Callable[[], Awaitable[None]],
        vet: Callable[[str], None],
        user_runtime: Callable[[], dict[str, Any]],
    ) -> None:
        self._portal, self._transport, self._connector = portal, transport, connector
        self._pace, self._ready, self._vet, self._user_runtime = pace, ready, vet, user_runtime
        #: what is known of workers' Pythons
        self.pythons = Pythons()
        #: names of endpoints, by id, as far as they came by
        self.names: dict[str, str] = {}
        self._cancelling = Cancelling(transport, pace, self._confirmed)
        #: futures that wait for their arguments
        self._deferred: dict[ComputeFuture[Any], None] = {}
        #: why nothing is sent to this service any more
        self._unfit: VersionMismatch | None = None
        #: bytes of arguments that the service takes in one task; None: not known yet
        self._most_bytes: int | None = None
        self._inbox: deque[Call] = deque()
        self._woken = False
        self._coalescer: Coalescer[Call] = Coalescer()
        #: requests under way, and their calls
        self._carrying: dict[asyncio.Task[None], list[Call]] = {}
        self._registering = Registering(portal, transport, pace)
        self._streams: dict[str, Stream] = {}
        #: streams that are about to be closed
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def send(self, call: Call) -> None:
        """Take over one call; its future will end. May be called in any thread.

        :raises RuntimeError: the interpreter is ending
        """
        self._inbox.append(call)
        if not self._woken:
            self._woken = True
            self._portal.post(self._drain)

    def defer(self, future: ComputeFuture[Any]) -> None:
        """A future whose call cannot be sent yet counts as outstanding from now on. May be called in any thread.

        :param future: with its ``origin``
        """
        self._deferred[future] = None

    def undefer(self, future: ComputeFuture[Any]) -> None:
        """It does not wait any more. To be called after :meth:`send`, so that it is always known. In any thread."""
        self._deferred.pop(future, None)

    def cancel(self, future: ComputeFuture[Any]) -> None:
        """Ask for the end of a task that was sent. May be called in any thread.

        :raises RuntimeError: the interpreter is ending
        """
        self._portal.post(self.wish, future)

    def wish(self, future: ComputeFuture[Any], *, running: bool = True) -> None:
        """The same, in the loop.

        :param running: also if it has begun
        """
        if not self._closed:
            self._cancelling.wish(future, running=running)

    def outstanding(self, origin: Origin | None = None) -> list[ComputeFuture[Any]]:
        """The futures that have not ended, of one Executor or of all whose results are awaited."""
        self._drain()
        return [
            future for future in self._held() if (future.origin.awaited if origin is None else future.origin is origin)
        ]

    async def flush(self) -> None:
        """Return when everything that was handed over has been answered or has failed."""
        self._drain()
        while self._carrying:
            await asyncio.wait(self._carrying)
        await self._cancelling.flush()

    async def reload(self, group_id: str, origin: Origin) -> list[ComputeFuture[Any]]:
        """A future for each task of a group; tasks that this process waits for keep the one they have.

        :raises ValueError: the service answered about another group
        :raises ServiceError: it refused, or cannot be reached
        """
        await self._ready()
        document = await persist(lambda: self._transport.task_group(group_id), self._pace)
        if parse_id(document.taskgroup_id, "task group") != group_id:
            raise ValueError(f"the service was asked for task group {group_id} and answered {document.taskgroup_id}")
        stream = self._stream(group_id, origin)
        known = stream.matcher.expected
        futures = {task.id: known.get(task.id) or self._revived(task.id, origin) for task in document.tasks}
        stream.matcher.asked()
        stream.announce({i: future for i, future in futures.items() if i not in known})
        stream.watch()
        await persist(stream.catch_up, self._pace)
        return list(futures.values())

    async def retire(self, origin: Origin) -> None:
        """An Executor sends no more; streams that nobody needs any more are closed."""
        origin.retired = True
        for stream in list(self._streams.values()):
            stream.users.discard(origin)
            await self._close_if_idle(stream)

    async def close(self) -> None:
        """Stop. Futures that have not ended fail."""
        self._drain()
        self._closed = True
        left = self._held()
        under_way = [*self._carrying]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._registering.close()
        await self._cancelling.close()
        for stream in self._streams.values():
            await stream.close()
        self._streams.clear()
        await asyncio.gather(*self._closing)
        for future in left:
            fail(future, ComputeError("the client was closed before the task had a result"))

    # -- out ---------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        self._woken = False
        inbox, offer = self._inbox, self._coalescer.offer
        while inbox:
            call = inbox.popleft()
            call.future.origin.pump = self
            if self._closed:
                fail(call.future, ComputeError("the client was closed before the task was sent"))
            else:
                offer(call.lane, call, len(call.payload), call.future.origin.batch_size)
        self._start()

    def _start(self) -> None:
        while not self._closed and (batch := self._coalescer.take()):
            lane, calls = batch
            task = self._portal.loop.create_task(self._carry(lane, calls), name=f"submit to {lane.endpoint_id}")
            self._carrying[task] = calls
            task.add_done_callback(self._carrying.pop)

    async def _carry(self, lane: Lane, calls: list[Call]) -> None:
        try:
            going = [call for call in calls if call.future.set_running_or_notify_cancel()]
            if not may_ride({call.function for call in going}):
                going = await self._with_functions(going)
            if going:
                await self._submit(lane, going)
        except ServiceUnreachable as error:
            _fail_all(calls, error)
            # What waits behind it in the same lane would only wait as long again.
            _fail_all(self._coalescer.drop(lane), error)
        except ComputeError as error:
            _fail_all(calls, error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours; nobody must wait for ever because of it
            _log.exception("a submit failed")
            _fail_all(calls, ComputeError(f"the submit failed unexpectedly: {type(error).__name__}: {error}"))
        finally:
            self._cancelling.answered(call.future for call in calls)
            self._coalescer.finished(lane)
            self._start()

    async def _with_functions(self, calls: list[Call]) -> list[Call]:
        """Register what has to be; the calls whose function the service now has. The others have failed."""
        failures = await self._registering.register({call.function for call in calls})
        for call in calls:
            if call.function in failures:
                fail(call.future, failures[call.function])
        return [call for call in calls if call.function not in failures]

    async def _submit(self, lane: Lane, calls: Sequence[Call]) -> None:
        if self._unfit is not None:
            raise self._unfit
        calls = self._fitting(calls)
        if not calls:
            return
        self.pythons.choose(lane, calls)
        parcel, key = Parcel(lane, calls), new_id()
        request = parcel.request(self._user_runtime())
        stream = self._stream(lane.group.id, calls[0].future.origin) if lane.group.id is not None else None
        if stream is not None:
            stream.matcher.asked()
        try:
            answer = await persist(lambda: self._transport.submit(lane.endpoint_id, request, key), self._pace)
            self._check(answer)
        except BaseException as error:
            if stream is not None:
                stream.matcher.refused()
            parts = self._parts(parcel, error)
            if parts is None:
                raise
        else:
            self._accepted(parcel, stream, answer)
            return
        for part in parts:
            try:
                await self._submit(lane, part)
            except ComputeAPIError as error:
                _fail_all(part, error)

    def _fitting(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Calls that may be sent; those that would be refused for their size have failed, and cost no request."""
        fit, refused = of_fit_size(calls, self._most_bytes)
        for call, error in refused:
            fail(call.future, error)
        return fit

    def _check(self, answer: SubmitResponse) -> None:
        self._most_bytes = answer.payload_bytes or self._most_bytes
        if answer.min_sdk_version is not None:
            try:
                self._vet(answer.min_sdk_version)
            except VersionMismatch as error:
                self._unfit = error
                raise

    def _parts(self, parcel: Parcel, error: BaseException) -> Sequence[Sequence[Call]] | None:
        """How to send again what was refused; calls for which there is no way have failed. None: all have."""
        if isinstance(error, ComputeAPIError) and error.code == MISMATCH:
            about = error if isinstance(error, Refusal) else Refusal(*error.args)
            left = self.pythons.again(parcel, about, _end_unreadable)
            return [left] if left else []
        return parcel.parts(error) or None

    def _accepted(self, parcel: Parcel, stream: Stream | None, answer: SubmitResponse) -> None:
        tasks: dict[str, ComputeFuture[Any]] = {}
        now = time.time()
        for key, calls in parcel.calls.items():
            ids = answer.tasks.get(key, [])
            if len(ids) != len(calls):
                error = ServiceError(
                    f"the service was given {len(calls)} calls of {calls[0].function.name} and accepted {len(ids)}: "
                    "this is a mistake of the service"
                )
                _fail_all(calls, error)
                continue
            for call, task_id in zip(calls, ids, strict=True):
                future = call.future
                future.accepted(task_id, now)
                future.origin.accepted += 1
                tasks[task_id] = future
        for key, function in parcel.riding.items():
            function.id = function.id or answer.functions.get(key)
        lane = parcel.lane
        self.pythons.learn(lane, answer.python_version)
        lane.group.id = answer.task_group_id
        if stream is None:
            stream = self._stream(lane.group.id, next(iter(parcel.calls.values()))[0].future.origin)
            stream.matcher.asked()
        spilled = stream.matcher.spilled
        stream.announce(tasks)
        stream.watch(answer.result_queue, recheck=spilled)

    # -- in ----------------------------------------------------------------------------------------------------------

    def _stream(self, group_id: str, origin: Origin) -> Stream:
        stream = self._streams.get(group_id)
        if stream is None:
            stream = self._streams[group_id] = Stream(
                group_id,
                self._transport,
                self._connector,
                self._pace,
                port=origin.port,
                place_of=self._place_of,
                on_idle=self._close_if_idle,
            )
        if not origin.retired:
            stream.users.add(origin)
        return stream

    async def _close_if_idle(self, stream: Stream) -> None:
        if stream.idle and self._streams.get(stream.group_id) is stream:
            del self._streams[stream.group_id]
            # A task of its own, for whoever closes everything waits for it, and does not cut it short.
            task = self._portal.loop.create_task(stream.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            await asyncio.shield(task)

    def _revived(self, task_id: str, origin: Origin) -> ComputeFuture[Any]:
        future: ComputeFuture[Any] = ComputeFuture(task_id)
        future.origin, origin.pump = origin, self
        future.set_running_or_notify_cancel()
        future.accepted(task_id, time.time())
        return future

    def _confirmed(self, future: ComputeFuture[Any]) -> None:
        """The service says that its task is cancelled; nobody waits for its result any more."""
        for stream in self._streams.values():
            if stream.matcher.expected.get(future.task_id or "") is future:
                stream.arrived(future.task_id or "", Arrived(b"", CANCELLED, "0"))
                return
        future.set_cancelled()

    def _place_of(self, future: ComputeFuture[Any]) -> Place:
        if future.lane is None:
            return Place()
        endpoint_id = future.lane.endpoint_id
        return Place(endpoint_id, self.names.get(endpoint_id), self.pythons.there(future.lane))

    def _held(self) -> list[ComputeFuture[Any]]:
        """Every future that has not ended, whoever made it."""
        held = {call.future for call in self._coalescer.waiting()}
        held.update(list(self._deferred))  # a copy in one step, for other threads change it
        held.update(call.future for calls in self._carrying.values() for call in calls)
        held.update(future for stream in self._streams.values() for future in stream.matcher.expected.values())
        return [future for future in held if not future.done()]


def _fail_all(calls: Sequence[Call], error: BaseException) -> None:
    """Fail those that the service has not accepted. (Of a batch that was sent in parts, some may have been.)"""
    for call in calls:
        if call.future.task_id is None and not call.future.done():
            fail(call.future, error)


def _end_unreadable(call: Call, why: Unreadable) -> None:
    if not call.future.done():
        call.future.set_sealed(why)
