"""The border between threads that block and code that awaits: one background thread with one event loop.

Nothing starts when this is imported. The first :func:`current` starts the thread, a daemon; it lives until the process
ends. Three rules:

1. At the end of the interpreter, whoever registered with :meth:`Portal.adopt` is first asked to finish (in the leaving
   thread, which may wait there) and then closed (in the loop). This happens before ``concurrent.futures`` refuses
   work, because name resolution in the loop needs its threads.
2. A program that ends with Ctrl-C is not asked to wait for anything.
3. After a fork the child forgets all of it and closes nothing: the sockets are the parent's, and even taking one out
   of the shared epoll set would blind the parent. The child's next :func:`current` starts afresh. :data:`life` is a
   new object then, so that things made before the fork are recognised.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

__all__ = ["Portal", "Resident", "current", "inside"]

T = TypeVar("T")

#: Names this process's turn; another object after each fork.
life: object = object()

_lock = threading.Lock()
_current: Portal | None = None
_thread_id = 0
#: What a forked child must neither use nor let go of.
_forgotten: list[Portal] = []
_registered = False

#: How long the loop may take to end at exit, in seconds: it only closes sockets.
_END_S = 5.0


class Resident(Protocol):
    """Something that lives in the loop and must leave in good order."""

    def finish(self) -> None:
        """Wait until nothing of it is left to do. Called by the leaving thread; Ctrl-C may interrupt it."""

    async def close(self) -> None:
        """Let go of sockets and tasks. Closing twice is fine."""


class Portal:
    """The thread and its loop; :func:`current` gives the one of this process."""

    def __init__(self) -> None:
        import asyncio

        self._asyncio = asyncio
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self._residents: set[Resident] = set()
        self._thread = threading.Thread(target=self._run, name="afield-portal", daemon=True)
        self._thread.start()

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have ``function`` called in the loop soon; does not wait.

        :raises RuntimeError: the interpreter is ending and the loop with it
        """
        self.loop.call_soon_threadsafe(function, *args)

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine function in the loop and wait for what it returns or raises.

        An exception in the waiting thread, such as Ctrl-C, cancels it there.

        :raises RuntimeError: called inside the loop's own thread, where waiting would be for ever
        """
        if inside():
            raise RuntimeError(
                "this call waits for the thread that it is made in, which would be for ever: "
                "a future's callback must not block; hand the work to another thread"
            )
        waited = self._asyncio.run_coroutine_threadsafe(function(*args), self.loop)
        try:
            return waited.result()
        except BaseException:
            waited.cancel()
            raise

    def adopt(self, resident: Resident) -> None:
        """See to it that ``resident`` is finished and closed when the interpreter ends."""
        self._residents.add(resident)

    def release(self, resident: Resident) -> None:
        """It has closed by itself."""
        self._residents.discard(resident)

    def end(self, *, wait: bool) -> None:
        """Finish (if ``wait``) and close all residents, then the loop. Afterwards nothing of it is left."""
        try:
            if wait:
                for resident in list(self._residents):
                    resident.finish()
        finally:
            with suppress(TimeoutError):  # then it ends as it is, with the process
                self._asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(_END_S)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(_END_S)

    async def _close(self) -> None:
        for resident in list(self._residents):
            await resident.close()
        self._residents.clear()
        tasks = self._asyncio.all_tasks() - {self._asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await self._asyncio.gather(*tasks, return_exceptions=True)
        # The loop's helper threads (it looks names up in them) are let go by its close(). Waiting for them would need a
        # thread more, which cannot be started while the interpreter ends (Python 3.12).
        await self.loop.shutdown_asyncgens()

    def _run(self) -> None:
        global _thread_id  # noqa: PLW0603 - one portal, one thread
        _thread_id = threading.get_ident()
        self._asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()


def current() -> Portal:
    """The portal of this process, started if need be."""
    global _current, _registered  # noqa: PLW0603 - one per process is what it is
    found = _current
    if found is not None:
        return found
    with _lock:
        if _current is None:
            if not _registered:
                # Called in reverse order of registration: ours, then theirs.
                import concurrent.futures.thread  # noqa: F401

                threading._register_atexit(_at_exit)  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other hook that early
                _registered = True
            _current = Portal()
        return _current


def inside() -> bool:
    """Whether this is the loop's own thread, which must never wait."""
    return threading.get_ident() == _thread_id


def _at_exit() -> None:
    global _current  # noqa: PLW0603
    found = _current
    if found is None:
        return
    try:
        found.end(wait=not _interrupted())
    except KeyboardInterrupt:
        # The person has waited long enough; what was accepted is safe with the service.
        pass
    finally:
        _current = None


def _interrupted() -> bool:
    """Whether the program ends because of Ctrl-C. A console keeps its last error, which says nothing of its end."""
    last = getattr(sys, "last_type", None)
    return last is not None and issubclass(last, KeyboardInterrupt) and not hasattr(sys, "ps1")


def _forget() -> None:
    global life, _lock, _current, _thread_id  # noqa: PLW0603
    life = object()
    _lock = threading.Lock()
    if _current is not None:
        _forgotten.append(_current)
    _current = None
    _thread_id = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
