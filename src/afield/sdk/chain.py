"""Calls whose arguments are futures: each waits here until all of these have a value, and is sent then.

Theory. Nothing is looked for in the arguments of an ordinary call: a future refuses to be pickled, so the arguments
that hold one cannot be serialized, and only then are they searched. What is found waits in a table, future -> calls.

1. A future that ends says so from the thread that ended it, mostly the one that everything else waits for. So its
   callback does no more than put it into a queue; a helper thread does the rest, because results may have to be
   unpickled, which runs anybody's code, and arguments serialized.
2. One callback for each future, however many calls wait for it. Whoever enters a call adds it to the future's list
   under the lock, or makes the list and asks for the callback; the helper takes the whole list out under the lock. So a
   call that comes after that makes a new list, and its callback comes at once.
3. The helper takes futures from the queue one at a time, and what it ends goes into the queue. So a chain of any length
   needs no stack, and a future that is made here can only wait for older ones: there are no circles.
4. The helper lives as long as the process, because no thread can be started when the interpreter ends, and just then
   calls that still wait have to be sent. After a fork there is another one; the parent's calls are the parent's.
"""

from __future__ import annotations

import copy
import copyreg
import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final

from afield.errors import DependencyFailed
from afield.sdk import portal
from afield.sdk.future import ComputeFuture

__all__ = ["Arguments", "defer", "plainly_futures", "search"]


# Plain futures refuse, too: pickle cannot take one, but dill would make a copy of it that never ends.
def _refuse(_: Future[Any]) -> str:
    raise TypeError("a future cannot be sent elsewhere; send what its result() returns")


copyreg.pickle(Future, _refuse)


class Arguments:
    """The arguments of one call, with futures in place of some values.

    Lists, tuples and dictionaries that hold a future are copies: what happens to the originals does not matter.
    """

    __slots__ = ("_args", "_kwargs", "places")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        #: the futures, each with the place where it is met first
        self.places: dict[Future[Any], str] = {}
        copies: dict[int, Any] = {}
        self._args = tuple(
            _replaced(value, f"argument {place}", self._note, copies) for place, value in enumerate(args, 1)
        )
        self._kwargs = {
            name: _replaced(value, f"argument {name!r}", self._note, copies) for name, value in kwargs.items()
        }

    def filled(self, value: Callable[[Future[Any]], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments with what ``value`` gives in the place of each future."""
        copies: dict[int, Any] = {}

        def replaced(part: Any) -> Any:
            return _replaced(part, "", lambda future, _: value(future), copies)

        return tuple(map(replaced, self._args)), {name: replaced(part) for name, part in self._kwargs.items()}

    def _note(self, future: Future[Any], place: str) -> Future[Any]:
        self.places.setdefault(future, place)
        return future


def plainly_futures(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an argument is a future, not looking into any: what is seen so need not fail first."""
    for value in args:
        if isinstance(value, Future):
            return True
    return bool(kwargs) and any(isinstance(value, Future) for value in kwargs.values())


def search(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
    """The arguments, if there are futures among them at any depth of lists, tuples and dictionaries' values."""
    try:
        found = Arguments(args, kwargs)
    except RecursionError:
        return None  # nothing that deep can be pickled either, and that error says so
    return found if found.places else None


def _replaced(value: Any, place: str, each: Callable[[Future[Any], str], Any], copies: dict[int, Any]) -> Any:
    """``value`` with what ``each`` gives for the futures in it: itself, if there are none.

    :param copies: by the originals' ids, so that what is one object stays one, and circles end
    """
    if isinstance(value, Future):
        return each(value, place)
    if not isinstance(value, list | tuple | dict):
        return value
    key = id(value)
    if key in copies:
        return copies[key]
    made: Any = None
    if not isinstance(value, tuple):
        made = copies[key] = copy.copy(value)
    changed: dict[Any, Any] = {}
    for step, part in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(part, _HOLDERS):
            replaced = _replaced(part, f"{place}[{step!r}]", each, copies)
            if replaced is not part or isinstance(part, Future):
                changed[step] = replaced
    if not changed:
        copies[key] = value
        return value
    if made is None:
        parts = [changed.get(step, part) for step, part in enumerate(value)]
        copies[key] = made = value._make(parts) if hasattr(value, "_make") else tuple(parts)
    else:
        for step, part in changed.items():
            made[step] = part
    return made


_HOLDERS: Final = (list, tuple, dict, Future)


class _Waiting:
    """A call that waits."""

    __slots__ = ("_arguments", "_deliver", "_done", "_missing", "_what", "future")

    def __init__(
        self,
        future: ComputeFuture[Any],
        what: str,
        arguments: Arguments,
        deliver: Callable[[tuple[Any, ...], dict[str, Any]], None],
        done: Callable[[ComputeFuture[Any]], None],
    ) -> None:
        self.future = future
        self._what, self._deliver, self._done = what, deliver, done
        self._arguments: Arguments | None = arguments
        self._missing = len(arguments.places)

    def one_ended(self, ended: Future[Any], error: BaseException | None) -> None:
        """One of the futures has ended. Called in the helper thread, once for each future."""
        arguments = self._arguments
        if arguments is None:
            return
        if error is not None:
            self._fail(_failure(self._what, arguments.places[ended], error))
            return
        self._missing -= 1
        if self._missing:
            return
        try:
            self._deliver(*arguments.filled(lambda future: future.result()))
        except BaseException as failure:  # noqa: BLE001 - objects raise what they like when they are pickled, and the
            self._fail(failure)  # thread must go on, even if that is SystemExit
        self.over()

    def over(self, _: object = None) -> None:
        """It waits no more: it was sent, has failed, or was cancelled."""
        if self._arguments is not None:
            self._arguments = None
            self._done(self.future)

    def _fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):  # it was cancelled at that moment, or its client was closed
            self.future.set_exception(error)


def _failure(what: str, place: str, error: BaseException) -> DependencyFailed:
    """Why a call was not made. At the end of a chain the first failure is what a person wants to know of."""
    if isinstance(error, DependencyFailed):
        first = error.__cause__ or error
        how = "is the result of a call that was not made either, because another failed:"
    else:
        first = error
        how = "was cancelled" if isinstance(error, CancelledError) else "failed:"
    # Of a traceback the last line says it.
    told = str(first).strip().rpartition("\n")[2]
    detail = "" if isinstance(first, CancelledError) else f"{type(first).__name__}: {told}"
    failure = DependencyFailed(f"{what} was not called, because {place} {how} {detail}".rstrip(" :"))
    failure.__cause__ = first
    return failure


class _Helper:
    """The thread, and the table of what waits for what."""

    def __init__(self) -> None:
        self.life = portal.life
        self._lock = threading.RLock()
        self._waiting: dict[Future[Any], list[_Waiting]] = {}
        self._ended: SimpleQueue[Future[Any]] = SimpleQueue()
        threading.Thread(target=self._run, name="afield-chain", daemon=True).start()

    def enter(self, call: _Waiting, futures: list[Future[Any]]) -> None:
        fresh = []
        with self._lock:
            for future in futures:
                calls = self._waiting.get(future)
                if calls is None:
                    self._waiting[future] = [call]
                    fresh.append(future)
                else:
                    calls.append(call)
        for future in fresh:
            future.add_done_callback(self._ended.put)

    def _run(self) -> None:
        while True:
            self._handle(self._ended.get())

    def _handle(self, ended: Future[Any]) -> None:
        with self._lock:
            calls = self._waiting.pop(ended)
        error: BaseException | None
        try:
            error = ended.exception()
        except BaseException as failure:  # noqa: BLE001 - it was cancelled; or reading its result raised SystemExit
            error = failure
        for call in calls:
            call.one_ended(ended, error)


# Reentrant, because a finalizer may run anywhere and send calls of its own.
_lock = threading.RLock()
_helper: _Helper | None = None


def defer(
    future: ComputeFuture[Any],
    what: str,
    arguments: Arguments,
    deliver: Callable[[tuple[Any, ...], dict[str, Any]], None],
    done: Callable[[ComputeFuture[Any]], None],
) -> None:
    """Have a call sent when all futures among its arguments have values. Does not wait.

    :param future: the call's own
    :param what: its function's name, for messages
    :param deliver: called with the arguments when they are there, in the helper thread; what it raises ends the future
    :param done: called, once, when the call waits no more: sent, failed or cancelled
    """
    global _helper  # noqa: PLW0603 - one per process is what it is
    with _lock:
        if _helper is None or _helper.life is not portal.life:
            _helper = _Helper()
        helper = _helper
    call = _Waiting(future, what, arguments, deliver, done)
    future.add_done_callback(call.over)
    helper.enter(call, list(arguments.places))


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - whoever held it at the fork does not exist in the child
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
