"""What a client has in the portal's loop: a transport and a pump, made on first use, and again after a fork."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from afield.broker.base import Connector
from afield.sdk import portal
from afield.sdk.calls import Origin
from afield.sdk.portal import Portal
from afield.sdk.pump import Pump
from afield.sdk.retry import Pace, TryAgain, persist
from afield.sdk.transport.base import Transport
from afield.sdk.version import check
from afield.wire.rest import EndpointDocument, EndpointSummary, VersionInfo

__all__ = ["Session"]

T = TypeVar("T")


class Session:
    """One service, one identity, one process.

    :param transport: used only in the loop
    :param connector: likewise
    :param check_version: whether to make sure that the service takes clients like this one: by the first answer to a
        submit, or before anything else is asked
    :param user_runtime: what is said of this program with each submit
    """

    def __init__(
        self,
        transport: Transport,
        connector: Connector,
        *,
        pace: Pace,
        check_version: bool,
        user_runtime: Callable[[], dict[str, Any]],
    ) -> None:
        self._life: object = portal.life
        self.transport = transport
        self._portal: Portal = portal.current()
        self._pace = pace
        self._check_version = check_version
        self._checking: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.pump = Pump(
            self._portal, transport, connector, pace=pace, ready=self._ready, vet=self._vet, user_runtime=user_runtime
        )
        self._portal.adopt(self)

    @property
    def over(self) -> bool:
        """Whether it was closed, or is left over from before a fork."""
        return self._life is not portal.life

    def call(self, operation: Callable[[Transport], Awaitable[T]], *, again: bool = True) -> T:
        """Ask the service something and wait for the answer.

        :param again: whether it may be repeated when the answer was lost
        :raises ServiceError: it refused, or cannot be reached
        :raises VersionMismatch: it does not take clients like this one
        """

        async def ask() -> T:
            return await self._ask(operation, again=again)

        return self._portal.call(ask)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a coroutine function in the loop and wait for it."""
        return self._portal.call(function, *args)

    def wait_for(self, origin: Origin | None) -> None:
        """Return when every future has ended: of one Executor, or of all that did not say that they do not care."""
        while futures := self._portal.call(self._outstanding, origin):
            # Not concurrent.futures.wait: where Ctrl-C meets it taking the futures' locks it keeps them, and the loop's
            # thread, which ends futures, would hang on them for ever.
            ended: SimpleQueue[object] = SimpleQueue()
            for future in futures:
                future.add_done_callback(ended.put)
            for _ in futures:
                ended.get()

    def outstanding(self, origin: Origin) -> list[Any]:
        """The futures of one Executor that have not ended."""
        return self._portal.call(self._outstanding, origin)

    def cancel_all(self, origin: Origin, *, running: bool = False) -> None:
        """Cancel what has not ended of one Executor: at once what was not sent; of the rest the service is asked, and
        this does not wait for it.

        :param running: also what has begun
        """
        self._portal.call(self._cancel_all, origin, running)

    def finish(self) -> None:
        """Wait until everything is sent, and until all results that somebody cares for are there."""
        self._portal.call(self.pump.flush)
        self.wait_for(None)

    def retire_soon(self, origin: Origin) -> None:
        """The Executor was forgotten by its program. Called by the garbage collector, so it must not wait."""
        self._post(self._retire, origin)

    def abandon_soon(self, origin: Origin) -> None:
        """Nobody cares for the results of an Executor any more; what is not on its way need not go. Does not wait."""
        self._post(self._abandon, origin)

    def close_soon(self) -> None:
        """The client was forgotten by its program."""
        self._post(lambda: self._aside(self.close()))

    async def close(self) -> None:
        """Let go of everything. Closing twice is fine: the second waits for the first."""
        self._life = None
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        await self.pump.close()
        await self.transport.close()
        # Last, for at the end of the interpreter only residents are waited for.
        self._portal.release(self)

    def _post(self, function: Callable[..., None], *args: Any) -> None:
        if not self.over:
            with suppress(RuntimeError):  # the loop has ended, and everything with it
                self._portal.post(function, *args)

    def _abandon(self, origin: Origin) -> None:
        for future in self.pump.outstanding(origin):
            future.cancel_unsent()
        self._retire(origin)

    def _retire(self, origin: Origin) -> None:
        self._aside(self.pump.retire(origin))

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    async def _cancel_all(self, origin: Origin, running: bool) -> None:  # noqa: FBT001 - handed over by position
        for future in self.pump.outstanding(origin):
            if not future.cancel_unsent():
                self.pump.wish(future, running=running)

    async def _outstanding(self, origin: Origin | None) -> list[Any]:
        return self.pump.outstanding(origin)

    async def _ask(self, operation: Callable[[Transport], Awaitable[T]], *, again: bool) -> T:
        await self._ready()
        if again:
            answer = await persist(lambda: operation(self.transport), self._pace)
        else:
            try:
                answer = await operation(self.transport)
            except TryAgain as failure:
                raise failure.error from failure.__cause__
        self._note_names(answer)
        return answer

    def _note_names(self, answer: object) -> None:
        """Endpoints that came by have names, which messages can use later."""
        for each in answer if isinstance(answer, list) else (answer,):
            if isinstance(each, EndpointSummary | EndpointDocument):
                self.pump.names[each.uuid] = each.display_name or each.name

    async def _ready(self) -> None:
        if not self._check_version:
            return
        if self._checking is None:
            self._checking = asyncio.get_running_loop().create_task(self._check())
        checking = self._checking
        try:
            await asyncio.shield(checking)
        finally:
            # Asked once, unless there was no answer.
            if self._checking is checking and checking.done():
                self._checking = None

    async def _check(self) -> None:
        check(await persist(self.transport.version, self._pace))
        self._check_version = False

    def _vet(self, min_sdk_version: str) -> None:
        if self._check_version:
            check(VersionInfo("", min_sdk_version, "", ""))
            self._check_version = False
