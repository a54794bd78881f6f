"""Wishes to cancel tasks that the service has, or is about to get: many in one request, and none lost on the way.

A wish for a task whose submit is under way waits for its id. One request is under way at a time; what is wished
meanwhile goes with the next. What comes of a wish is told to its future: that it is cancelled; or why it cannot be; or
nothing yet, then its endpoint was asked, and a result or a notice comes by the stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from afield.errors import ComputeError, ServiceError
from afield.sdk.future import ComputeFuture
from afield.sdk.retry import Pace, TryAgain, persist
from afield.sdk.transport.base import Transport
from afield.states import TaskState
from afield.wire.rest import CancelAnswer, CancelRequest

__all__ = ["Cancelling"]

_log = logging.getLogger(__name__)

#: Wishes in one request.
_AT_ONCE: Final = 1000

_UNKNOWN: Final = "the service does not know the task any more, or it is somebody else's"


class Cancelling:
    """The wishes of one pump. Everything here is called in the loop.

    :param confirmed: called with each future whose task the service says is cancelled
    """

    def __init__(self, transport: Transport, pace: Pace, confirmed: Callable[[ComputeFuture[Any]], None]) -> None:
        self._transport, self._pace, self._confirmed = transport, pace, confirmed
        #: futures whose task has no id yet, and whether it should be ended although it has begun
        self._unnamed: dict[ComputeFuture[Any], bool] = {}
        self._waiting: dict[ComputeFuture[Any], bool] = {}
        self._task: asyncio.Task[None] | None = None

    def wish(self, future: ComputeFuture[Any], *, running: bool) -> None:
        """Somebody wants its task ended.

        :param running: also if it has begun
        """
        if future.done():
            return
        place = self._unnamed if future.task_id is None else self._waiting
        place[future] = running or place.get(future, False)
        if self._waiting:
            self._start()

    def answered(self, futures: Iterable[ComputeFuture[Any]]) -> None:
        """The submit that these were in was answered: now their tasks have ids, or there will never be any."""
        if not self._unnamed:
            return
        for future in futures:
            running = self._unnamed.pop(future, None)
            if running is not None:
                self.wish(future, running=running)

    async def flush(self) -> None:
        """Return when all wishes that could be sent are answered."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Stop. What waits is sent once more, and not repeated."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            while self._waiting:
                futures, running = self._next()
                with suppress(TryAgain, ComputeError):
                    await self._transport.cancel(_request(futures, running=running))

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="cancel tasks")

    async def _run(self) -> None:
        while self._waiting:
            futures, running = self._next()
            request = _request(futures, running=running)
            try:
                answer = await persist(lambda request=request: self._transport.cancel(request), self._pace)  # type: ignore[misc]
            except asyncio.CancelledError:
                self._waiting |= dict.fromkeys(futures, running)
                raise
            except ServiceError as error:
                _refuse_all(futures, str(error))
            except Exception as error:  # noqa: BLE001 - a mistake of ours; nobody must wait for ever because of it
                _log.exception("a request to cancel failed")
                _refuse_all(futures, f"the request failed unexpectedly: {type(error).__name__}: {error}")
            else:
                self._take(futures, answer)

    def _next(self) -> tuple[list[ComputeFuture[Any]], bool]:
        running = next(iter(self._waiting.values()))
        alike = (future for future, value in self._waiting.items() if value is running)
        futures = list(islice(alike, _AT_ONCE))
        for future in futures:
            del self._waiting[future]
        return futures, running

    def _take(self, futures: list[ComputeFuture[Any]], answer: CancelAnswer) -> None:
        for future in futures:
            assert future.task_id is not None  # _request needed it
            told = answer.results.get(future.task_id)
            if told is None or told.status == "unknown":
                future.refused(_UNKNOWN)
            elif told.status == TaskState.CANCELLED:
                self._confirmed(future)
            elif told.reason:
                future.refused(told.reason)


def _refuse_all(futures: list[ComputeFuture[Any]], why: str) -> None:
    for future in futures:
        future.refused(why)


def _request(futures: list[ComputeFuture[Any]], *, running: bool) -> CancelRequest:
    return CancelRequest([future.task_id for future in futures if future.task_id is not None], running)
