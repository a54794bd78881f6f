"""How far many calls are: a bar on stderr, for ``map(progress=True)`` and ``afield.progress(futures)``.

Who reports only counts. A thread of its own draws, some times a second, and it alone writes: so a report costs nothing,
may come from any thread, and what is drawn is ended in good order whatever happens to the loop around it.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from afield.sdk import portal
from afield.sdk.display import Display, Tally, pick_display
from afield.sdk.future import ComputeFuture
from afield.states import TaskState

__all__ = ["Bar", "has_failed", "progress"]

#: How long the last drawing may take, in seconds.
_END_S: Final = 1.0

F = TypeVar("F", bound="Future[Any]")


def progress(futures: Iterable[F], label: str | None = None) -> Iterator[F]:
    """The futures as they complete, with a bar on stderr: how many have, how many failed, how long the rest will take.

    ::

        for future in afield.progress(futures):
            print(future.result())

    :param futures: of any Executor; one that is there twice comes once
    :param label: said before the bar
    :return: an iterator; the bar is drawn from the first time it is asked until it is done with
    :raises TypeError: something in it is no future
    """
    if label is not None and not isinstance(label, str):
        raise TypeError(f"label should be text or None, and is {label!r}")
    found = list(dict.fromkeys(futures))
    for place, each in enumerate(found, 1):
        if not isinstance(each, Future):
            raise TypeError(f"progress shows futures, as submit returns them, and number {place} is {each!r}")
    return _as_they_complete(found, label or "")


def _as_they_complete(futures: list[F], label: str) -> Iterator[F]:
    if portal.inside():
        raise RuntimeError(
            "a future's callback waits for other futures, in the very thread that would bring their results: callbacks "
            "must not block; hand the work to another thread"
        )
    ended: SimpleQueue[F] = SimpleQueue()
    bar = Bar(len(futures), label)

    def note(future: Any) -> None:
        bar.ended(failed=has_failed(future))
        ended.put(future)

    left = len(futures)
    try:
        while futures:
            futures.pop().add_done_callback(note)
        while left:
            left -= 1
            yield ended.get()
    finally:
        bar.close()


class Bar:
    """What is drawn while calls end. It begins at once, and ends with :meth:`close`, at the latest with the program.

    :param total: how many calls there will be; None: unknown
    :param label: for people
    :param display: where to draw; None: what stderr is
    :param now: the clock
    """

    def __init__(
        self,
        total: int | None,
        label: str = "",
        display: Display | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tally = Tally(total, label, now())
        self._now = now
        self._display = display or pick_display()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        if self._display.every_s:
            self._thread = threading.Thread(target=self._draw, name="afield-progress", daemon=True)
            self._thread.start()
            # A loop that an exception has left may be kept, with its bar, by the traceback.
            atexit.register(self.close)

    def ended(self, *, failed: bool, count: int = 1) -> None:
        """Calls have ended. May be called in any thread."""
        with self._lock:
            if failed:
                self._tally.failed += count
            else:
                self._tally.done += count

    def close(self) -> None:
        """Draw it a last time, and leave the line. Closing twice is fine."""
        self._over.set()
        thread = self._thread
        if thread is not None:
            atexit.unregister(self.close)
            if thread is not threading.current_thread():
                # With an end, for a finalizer may run inside a write to the very stream that the thread writes to.
                thread.join(_END_S)

    def _draw(self) -> None:
        tally, display = self._tally, self._display
        try:
            while not self._over.wait(display.every_s):
                display.draw(tally, self._now())
            display.end(tally, self._now())
        except (OSError, ValueError):
            pass  # stderr was closed meanwhile: there is nobody to show anything to
        finally:
            display.release()


def has_failed(future: Future[Any]) -> bool:
    """Whether an ended future has no value. A result that nobody has looked at yet stays unopened."""
    if isinstance(future, ComputeFuture):
        return future.state is not TaskState.SUCCESS
    return future.cancelled() or future.exception() is not None
