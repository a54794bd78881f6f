"""A ``concurrent.futures.Future`` that makes its Condition only when somebody waits on it.

Theory. Making a Condition, an RLock and a deque for each future is most of what a client spends on a task
(reference: performance, section 3), and nearly all futures of a large run are finished before anybody looks. So
``_condition`` is a property here, and what guards a future depends on whether it was ever asked for:

1. While ``_lazy`` is None, everything about the future changes under ``_lock``, one lock for all futures of the
   process, held for a few attribute accesses and never while waiting for anything.
2. ``_lazy`` goes from None to a Condition once, under ``_lock``. From then on everything changes under that Condition,
   which is what ``concurrent.futures.wait`` and ``as_completed`` rely on: they hold it, look, and add themselves to
   ``_waiters``.

Each change therefore takes ``_lock``, reads ``_lazy``, and if it is None makes the change there and then; else it lets
go of ``_lock`` and makes the change under the Condition. Why nothing is lost: take one that finishes and one that
waits. Either the finisher held ``_lock`` first, then it changed the state before the Condition existed, and the waiter,
who reads the state after making the Condition, sees it ended. Or the waiter made the Condition first, then the
finisher finds it, has to acquire it, and gets it only when the waiter has let go inside ``wait()``, already enlisted;
so ``notify_all`` reaches it. No waiter can be in ``_waiters`` without a Condition, so rule 1 need not look there. The
locks are never nested one in the other, so they cannot deadlock.

A result arrives *sealed*, as bytes, and is opened by the first who asks for it, in that thread: unpickling may import
modules and run anybody's code, which must not hold up the stream, and may not be wanted at all. Two who open at the
same time both decode; the first to finish decides what everybody gets. A waiter that is to stop at the first exception
has to know at once; for it the result is opened on arrival.

After a fork, a future of the parent that has not ended is ended in the child by the first look: its result goes to the
parent.
"""

from __future__ import annotations

import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, InvalidStateError
from typing import Any, Final, Protocol, TypeVar

from afield.errors import ComputeError
from afield.sdk import portal

__all__ = ["FINISHED", "LazyFuture", "Sealed"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

# The states of concurrent.futures, whose functions compare these strings.
_PENDING: Final = "PENDING"
_RUNNING: Final = "RUNNING"
_CANCELLED: Final = "CANCELLED_AND_NOTIFIED"
FINISHED: Final = "FINISHED"  #: with a result or an exception
_ENDED: Final = (FINISHED, _CANCELLED)

# Reentrant, because a signal handler or a finalizer may run anywhere and touch a future of its own.
_lock = threading.RLock()


class Sealed(Protocol):
    """An outcome that has arrived and that nobody has looked into."""

    @property
    def failed(self) -> bool:
        """Whether it is known to be a failure, without opening it."""

    def open(self) -> tuple[Any, BaseException | None]:
        """The value, or the exception. Never raises for what is inside."""


class _Condition(threading.Condition):
    """A Condition whose lock is taken by ``with condition.lock``.

    ``with condition`` goes through a Python function. Ctrl-C that arrives there, after the lock was taken, leaves it
    taken for ever, and the thread that ends all futures hangs on it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        super().__init__(self.lock)


class LazyFuture(concurrent.futures.Future[T]):
    """What ``concurrent.futures`` promises of a future, at the price of a few attributes. It can be awaited, too."""

    # What most futures never need is on the class; an instance gets its own when it does.
    _lazy: _Condition | None = None
    _state: str = _PENDING
    _result: T | None = None
    _exception: BaseException | None = None
    _sealed: Sealed | None = None
    _waiters: list[Any] = []  # noqa: RUF012 - replaced, with the Condition, before anybody could add to it
    _done_callbacks: list[Callable[[Any], Any]] = []  # noqa: RUF012 - replaced, never changed

    def __init__(self) -> None:  # the base makes a Condition, so it is not called
        self._life = portal.life

    # -- looking -------------------------------------------------------------------------------------------------------

    def done(self) -> bool:
        """Whether it has ended: with a result, an exception, or cancelled."""
        return self._state in _ENDED or self._orphaned()

    def running(self) -> bool:
        """Whether it is with the service and has not ended."""
        return self._state == _RUNNING and not self._orphaned()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state == _CANCELLED

    def result(self, timeout: float | None = None) -> T:
        """The value, or the exception raised.

        :param timeout: seconds to wait at most; None: as long as it takes
        :raises TimeoutError: it has not ended by then
        :raises CancelledError: it was cancelled
        """
        try:
            error = self.exception(timeout)
            if error is not None:
                raise error
            return self._result  # type: ignore[return-value]  # ended without an exception: it is a T
        finally:
            error = None  # an exception that refers to a frame that refers to it is kept until the next collection

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The exception that it ended with, or None.

        :param timeout: seconds to wait at most; None: as long as it takes
        :raises TimeoutError: it has not ended by then
        :raises CancelledError: it was cancelled
        """
        if self._state not in _ENDED:
            self._wait(timeout)
        if self._sealed is not None:
            self._open()
        if self._state == _CANCELLED:
            raise CancelledError
        return self._exception

    def add_done_callback(self, fn: Callable[[Any], Any]) -> None:
        """Have ``fn`` called with this future when it ends, or now if it has. It must not block: it may be called in
        the thread that everything else waits for.
        """
        self._orphaned()
        with _lock:
            condition = self._lazy
            if condition is None and self._state not in _ENDED:
                self._done_callbacks = [*self._done_callbacks, fn]
                return
        if condition is not None:
            with condition.lock:
                if self._state not in _ENDED:
                    self._done_callbacks = [*self._done_callbacks, fn]
                    return
        self._call((fn,))

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio

        return asyncio.wrap_future(self).__await__()

    def __reduce__(self) -> Any:
        raise TypeError("a future cannot be sent elsewhere; send what its result() returns")

    # -- ending --------------------------------------------------------------------------------------------------------

    def cancel(self) -> bool:
        """Cancel it, if that is possible; whether it is cancelled now."""
        return self.cancel_unsent()

    def cancel_unsent(self) -> bool:
        """Cancel it if it is not on its way yet, asking nobody; whether it is cancelled now."""
        return self._cancel((_PENDING,))

    def set_cancelled(self) -> bool:
        """Its task has ended as cancelled; whether that is how this ended."""
        return self._cancel((_PENDING, _RUNNING))

    def set_running_or_notify_cancel(self) -> bool:
        """It is being sent, unless it was cancelled; whether it should be sent."""
        with _lock:
            condition = self._lazy
            if condition is None:
                return self._begin()
        with condition.lock:
            return self._begin()

    def set_result(self, result: T) -> None:
        """End it with a value.

        :raises InvalidStateError: it has ended already
        """
        self._finish(result, None, None)

    def set_exception(self, exception: BaseException | None) -> None:
        """End it with an exception.

        :raises InvalidStateError: it has ended already
        """
        self._finish(None, exception, None)

    def set_sealed(self, sealed: Sealed) -> None:
        """End it with an outcome that the first who asks will open.

        :raises InvalidStateError: it has ended already
        """
        self._finish(None, None, sealed)

    # -- inside --------------------------------------------------------------------------------------------------------

    @property
    def _condition(self) -> _Condition:  # type: ignore[override]
        """Asked for by whoever waits; `concurrent.futures` does so for every future before it looks at any."""
        self._orphaned()
        condition = self._lazy
        if condition is None:
            fresh = _Condition()
            with _lock:
                condition = self._lazy
                if condition is None:
                    self._waiters = []
                    condition = self._lazy = fresh
        return condition

    def _get_snapshot(self) -> tuple[bool, bool, T | None, BaseException | None]:
        # asyncio of Python 3.14 looks at a future through this.
        done = self.done()
        if self._sealed is not None:
            self._open()
        return done, self.cancelled(), self._result, self._exception

    def _wait(self, timeout: float | None) -> None:
        if portal.inside():
            raise RuntimeError(
                "a future's callback waits for another future, in the very thread that would bring its result: "
                "callbacks must not block; hand the work to another thread"
            )
        condition = self._condition
        with condition.lock:
            if not condition.wait_for(lambda: self._state in _ENDED, timeout):
                raise TimeoutError

    def _begin(self) -> bool:
        if self._state == _PENDING:
            self._state = _RUNNING
            return True
        if self._state == _CANCELLED:
            return False
        raise InvalidStateError(f"{self!r} was begun twice")

    def _cancel(self, states: tuple[str, ...]) -> bool:
        with _lock:
            condition = self._lazy
            if condition is None:
                if self._state not in states:
                    return self._state == _CANCELLED
                self._become(_CANCELLED, False)  # noqa: FBT003
        if condition is not None:
            with condition.lock:
                if self._state not in states:
                    return self._state == _CANCELLED
                self._become(_CANCELLED, False)  # noqa: FBT003
                for waiter in self._waiters:
                    waiter.add_cancelled(self)
                condition.notify_all()
        self._call(self._done_callbacks)
        return True

    def _finish(self, value: T | None, error: BaseException | None, sealed: Sealed | None) -> None:
        with _lock:
            condition = self._lazy
            if condition is None:
                self._end(value, error, sealed)
        if condition is not None:
            with condition.lock:
                if sealed is not None and any(getattr(each, "stop_on_exception", False) for each in self._waiters):
                    value, error = sealed.open()
                    sealed = None
                self._end(value, error, sealed)
                failed = error is not None or (sealed is not None and sealed.failed)
                for waiter in self._waiters:
                    (waiter.add_exception if failed else waiter.add_result)(self)
                condition.notify_all()
        if self._done_callbacks:
            self._call(self._done_callbacks)

    def _end(self, value: T | None, error: BaseException | None, sealed: Sealed | None) -> None:
        if self._state in _ENDED:
            raise InvalidStateError(f"{self!r} has ended already")
        self._result, self._exception, self._sealed = value, error, sealed
        # Last: who reads the state without a lock finds the rest in place.
        self._become(FINISHED, error is not None or (sealed is not None and sealed.failed))

    def _become(self, state: str, failed: bool) -> None:  # noqa: FBT001 - by position, because that is quicker
        """It has ended. Called under the lock that guards it, when all else about its end is in place."""
        del failed
        self._state = state

    def _change(self, change: Callable[[], None]) -> None:
        """Change what is guarded, and wake those who wait, to look again."""
        with _lock:
            condition = self._lazy
            if condition is None:
                change()
        if condition is not None:
            with condition.lock:
                change()
                condition.notify_all()

    def _open(self) -> None:
        sealed = self._sealed
        if sealed is None:
            return
        value, error = sealed.open()
        with _lock:
            if self._sealed is not None:
                self._result, self._exception = value, error
                self._sealed = None  # last, so that who finds it gone finds the rest in place

    def _call(self, callbacks: Iterable[Callable[[Any], Any]]) -> None:
        for callback in callbacks:
            try:
                callback(self)
            except Exception:  # noqa: BLE001 - a user's code, in a thread that must go on
                _log.exception("a callback of %r raised", self)

    def _orphaned(self) -> bool:
        """After a fork, end what will never end here; whether it did so."""
        if self._life is portal.life:
            return False
        with _lock:
            # Its Condition may be held by a thread that does not exist here.
            self._lazy, self._done_callbacks = None, []
            self._life = portal.life
            if self._state in _ENDED:
                return False
            self._end(
                None,
                ComputeError(
                    f"this future belongs to process {os.getppid()}, from which this one was forked: the result goes "
                    "there. Submit again here"
                ),
                None,
            )
        return True


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - whoever held it at the fork does not exist in the child
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
