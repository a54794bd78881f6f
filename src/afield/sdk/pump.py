"""The way out, in the portal's loop: what callers hand over becomes requests, and answers find their stream.

From a caller's thread a call crosses by :meth:`Pump.send`: it goes into a deque, and only the first of a burst wakes
the loop. Why none is left lying: a caller appends, then looks at the flag; the loop clears the flag, then empties the
deque. So whoever finds the flag set has appended before it was cleared, and is emptied out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from afield.broker.base import Connector
from afield.errors import ComputeAPIError, ComputeError, ServiceError, ServiceUnreachable
from afield.ids import new_id, parse_id
from afield.sdk.calls import Call, Origin
from afield.sdk.coalesce import Coalescer, Group, Lane, halves
from afield.sdk.functions import Function
from afield.sdk.future import ComputeFuture
from afield.sdk.portal import Portal
from afield.sdk.retry import Pace, persist
from afield.sdk.stream import Stream, fail
from afield.sdk.transport.base import Transport
from afield.wire.rest import SubmitRequest, SubmitResponse

__all__ = ["Pump"]

_log = logging.getLogger(__name__)

_json = msgspec.json.Decoder(dict[str, Any]).decode


class Pump:
    """One service, one identity. All but :meth:`send` is called in the loop.

    :param ready: awaited before anything is sent: whether this client may speak to this service
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
        user_runtime: Callable[[], dict[str, Any]],
    ) -> None:
        self._portal, self._transport, self._connector = portal, transport, connector
        self._pace, self._ready, self._user_runtime = pace, ready, user_runtime
        self._inbox: deque[Call] = deque()
        self._woken = False
        self._coalescer: Coalescer[Call] = Coalescer()
        #: requests under way, and their calls
        self._carrying: dict[asyncio.Task[None], list[Call]] = {}
        self._registering: dict[Function, asyncio.Task[None]] = {}
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
        stream.settle(stream.matcher.answered({i: future for i, future in futures.items() if i not in known}))
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
        under_way = [*self._carrying, *self._registering.values()]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
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
            if going:
                await self._ready()
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
            self._coalescer.finished(lane)
            self._start()

    async def _with_functions(self, calls: list[Call]) -> list[Call]:
        """Register what has to be; the calls whose function the service now has. The others have failed."""
        missing = {call.function for call in calls if call.function.id is None}
        if not missing:
            return calls
        answers = await asyncio.gather(*map(self._registered, missing), return_exceptions=True)
        failures = {function: error for function, error in zip(missing, answers, strict=True) if error is not None}
        for error in failures.values():
            if not isinstance(error, ComputeAPIError):
                raise error  # it is not about the function
        for call in calls:
            if call.function in failures:
                fail(call.future, failures[call.function])
        return [call for call in calls if call.function not in failures]

    async def _registered(self, function: Function) -> None:
        task = self._registering.get(function)
        if task is None:
            task = self._registering[function] = self._portal.loop.create_task(self._register(function))
            task.add_done_callback(lambda _: self._registering.pop(function))
        await asyncio.shield(task)

    async def _register(self, function: Function) -> None:
        registration = function.registration
        assert registration is not None  # without an id there is one
        answer = await persist(lambda: self._transport.register_function(registration), self._pace)
        function.id, function.registration = answer.function_uuid, None

    async def _submit(self, lane: Lane, calls: Sequence[Call]) -> None:
        by_function: dict[str, list[Call]] = {}
        for call in calls:
            assert call.function.id is not None  # _with_functions saw to it
            by_function.setdefault(call.function.id, []).append(call)
        request = self._request(lane, by_function)
        group_id, key = lane.group.id, new_id()
        stream = self._stream(group_id, calls[0].future.origin) if group_id is not None else None
        if stream is not None:
            stream.matcher.asked()
        try:
            answer = await persist(lambda: self._transport.submit(lane.endpoint_id, request, key), self._pace)
        except BaseException as error:
            if stream is not None:
                stream.matcher.refused()
            parts = _parts(calls, by_function, error)
            if not parts:
                raise
        else:
            self._accepted(lane.group, stream, by_function, answer)
            return
        for part in parts:
            try:
                await self._submit(lane, part)
            except ComputeAPIError as error:
                _fail_all(part, error)

    def _request(self, lane: Lane, by_function: dict[str, list[Call]]) -> SubmitRequest:
        options = lane.options
        return SubmitRequest(
            tasks={function_id: [call.payload for call in calls] for function_id, calls in by_function.items()},
            create_queue=True,
            task_group_id=lane.group.id,
            resource_specification=_json(options.resource_specification) if options.resource_specification else None,
            user_endpoint_config=_json(options.user_endpoint_config) if options.user_endpoint_config else None,
            user_runtime=self._user_runtime(),
            result_serializers=list(options.result_serializers) or None,
        )

    def _accepted(
        self, group: Group, stream: Stream | None, by_function: dict[str, list[Call]], answer: SubmitResponse
    ) -> None:
        tasks: dict[str, ComputeFuture[Any]] = {}
        for function_id, calls in by_function.items():
            ids = answer.tasks.get(function_id, [])
            if len(ids) != len(calls):
                error = ServiceError(
                    f"the service was given {len(calls)} calls of function {function_id} and accepted {len(ids)}: "
                    "this is a mistake of the service"
                )
                _fail_all(calls, error)
                continue
            for call, task_id in zip(calls, ids, strict=True):
                future = call.future
                future.task_id = task_id
                future.origin.accepted += 1
                tasks[task_id] = future
        group.id = answer.task_group_id
        if stream is None:
            origin = next(iter(by_function.values()))[0].future.origin
            stream = self._stream(group.id, origin)
            stream.matcher.asked()
        spilled = stream.matcher.spilled
        stream.settle(stream.matcher.answered(tasks))
        stream.watch(recheck=spilled)

    # -- in ----------------------------------------------------------------------------------------------------------

    def _stream(self, group_id: str, origin: Origin) -> Stream:
        stream = self._streams.get(group_id)
        if stream is None:
            stream = self._streams[group_id] = Stream(
                group_id, self._transport, self._connector, self._pace, port=origin.port, on_idle=self._close_if_idle
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
        future.origin = origin
        future.set_running_or_notify_cancel()
        return future

    def _held(self) -> list[ComputeFuture[Any]]:
        """Every future that has not ended, whoever made it."""
        held = {call.future for call in self._coalescer.waiting()}
        held.update(call.future for calls in self._carrying.values() for call in calls)
        held.update(future for stream in self._streams.values() for future in stream.matcher.expected.values())
        return [future for future in held if not future.done()]


def _fail_all(calls: Sequence[Call], error: BaseException) -> None:
    """Fail those that the service has not accepted. (Of a batch that was sent in parts, some may have been.)"""
    for call in calls:
        if call.future.task_id is None and not call.future.done():
            fail(call.future, error)


def _parts(calls: Sequence[Call], by_function: dict[str, list[Call]], error: BaseException) -> Sequence[Sequence[Call]]:
    """How to send a refused batch again so that only what is refused fails; nothing: that would not help."""
    if not isinstance(error, ComputeAPIError) or len(calls) < 2:
        return ()
    if error.http_status == 413:
        return halves(calls)
    if error.code.startswith("FUNCTION_") and len(by_function) > 1:
        return list(by_function.values())
    return ()
