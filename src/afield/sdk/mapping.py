"""``map`` and ``starmap``: results as an iterator, with a window of calls in flight.

Theory. A call is *in flight* from its submit until its result is handed out. Never more than a window of them are, so
the input may be endless. The window is filled when the map is made, and again whenever a result is asked for.

1. What goes wrong while input is read (the iterable raises, an argument cannot be sent) belongs to the place where it
   happens: results of earlier calls come first. With nothing before it, it is raised at once.
2. Whoever stops (:meth:`Results.close`, an exception, dropping an iterator that was begun) does not want the rest.
3. An iterator of which nothing was ever asked is another matter: in ``with Executor() as ex: ex.map(save, files)``
   results are nobody's concern, and all calls are to be made, as in the standard library. They are, where the input is
   known to end; else there is a warning.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future
from itertools import islice
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from afield.sdk import portal
from afield.sdk.checks import said
from afield.sdk.future import ComputeFuture
from afield.sdk.progress import Bar, has_failed

__all__ = ["WINDOW", "Input", "Results", "map_input", "starmap_input"]

T = TypeVar("T")

#: Calls in flight, where nobody says otherwise: enough for a large machine, and still little memory.
WINDOW: Final = 4096


class Input:
    """The arguments of all calls.

    :param calls: those of one call after the other
    :param length: how many; None: unknown, perhaps without end
    """

    __slots__ = ("_calls", "length")

    def __init__(self, calls: Iterator[tuple[Any, ...]], length: int | None) -> None:
        self._calls, self.length = calls, length

    def take(self, count: int) -> list[tuple[Any, ...]]:
        """The next ones; fewer, or none, at the end."""
        return list(islice(self._calls, count))


def map_input(iterables: tuple[Iterable[Any], ...]) -> Input:
    """One argument from each iterable for each call; the shortest decides, as in the standard library.

    :raises TypeError: there is none, or one of them is no iterable
    """
    if not iterables:
        raise TypeError("map takes at least one iterable of arguments: write submit(fn) to call it once without any")
    for place, each in enumerate(iterables, 1):
        if not _iterates(each):
            raise TypeError(f"map takes iterables of arguments, and number {place} is {said(each)}: write [value]")
    known = [len(each) for each in iterables if isinstance(each, Sized)]
    return Input(zip(*iterables, strict=False), min(known) if known else None)


def starmap_input(iterable: Iterable[Iterable[Any]]) -> Input:
    """All arguments of a call from each element.

    :raises TypeError: it is no iterable
    """
    if not _iterates(iterable):
        raise TypeError(f"starmap takes an iterable of tuples of arguments, and this is {said(iterable)}")

    def calls() -> Iterator[tuple[Any, ...]]:
        each: Any
        for place, each in enumerate(iterable, 1):
            if isinstance(each, str | bytes) or not isinstance(each, Iterable):
                raise TypeError(
                    f"starmap takes all arguments of a call from each element, so each should be a tuple, and element "
                    f"{place} is {each!r}; map takes single arguments"
                )
            yield tuple(each)

    return Input(calls(), len(iterable) if isinstance(iterable, Sized) else None)


def _iterates(value: object) -> bool:
    # Not by isinstance: what has only __getitem__ is iterable, too.
    return hasattr(type(value), "__iter__") or hasattr(type(value), "__getitem__")


class Results(Generic[T]):
    """What ``map`` returns: an iterator, and a context manager that closes it.

    :param submit: sends the calls of one task
    :param chunksize: how many calls that are, at most
    :param window: tasks in flight
    :param complete: whether all calls are to be made if nobody ever asks for a result
    :param deadline: by the monotonic clock; None: there is none
    :param ordered: results in the order of the input; else as they come
    :param bar: told of every call; closed at the end
    """

    _closed = True  # of one whose making failed

    def __init__(
        self,
        submit: Callable[[list[tuple[Any, ...]]], ComputeFuture[Any]],
        calls: Input,
        *,
        chunksize: int,
        window: int,
        complete: bool,
        deadline: float | None,
        ordered: bool,
        bar: Bar | None,
    ) -> None:
        self._submit = submit
        self._calls: Input | None = calls
        self._chunksize, self._window = chunksize, window
        #: whether all calls are to be made, asked for or not
        self.complete = complete
        self._deadline, self._bar = deadline, bar
        #: in order; a dictionary for the sake of taking one out of the middle
        self._flying: dict[ComputeFuture[Any], None] = {}
        self._landed: SimpleQueue[ComputeFuture[Any]] | None = None if ordered else SimpleQueue()
        #: results of a task that was taken apart
        self._values: deque[T] = deque()
        #: what ended the input
        self._trouble: Exception | None = None
        self._begun = False
        self._closed = False
        try:
            self._fill()
            self._end_of_input()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Results[T]:
        return self

    def __next__(self) -> T:
        self._begun = True
        if self._values:
            return self._values.popleft()
        if self._closed:
            raise StopIteration
        try:
            self._fill()
            self._end_of_input()
            if self._flying:
                self._values.extend(self._next_values())
        except BaseException:
            self.close()
            raise
        if not self._values:
            self.close()
            raise StopIteration
        return self._values.popleft()

    def close(self) -> None:
        """Hand out no more. What has not ended is cancelled, wherever it is; this does not wait for it."""
        if self._closed:
            return
        self._closed, self._calls = True, None
        flying, self._flying = list(self._flying), {}
        # What is not on its way first, else it would be while the others are asked for.
        for future in [future for future in reversed(flying) if not future.cancel_unsent()]:
            future.cancel(timeout=0)
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Results[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._closed:
            return
        if self._begun:
            self.close()
        else:
            self.submit_all()
            if self._calls is not None and self._trouble is None:
                warnings.warn(
                    f"nobody asked for the results of map, so that after the first {len(self._flying)} tasks no more "
                    "were sent. Iterate over what map returns",
                    RuntimeWarning,
                    stacklevel=2,
                )
            if self._bar is not None:
                self._bar.close()

    def submit_all(self) -> None:
        """Send what is left of an input that is known to end, for nobody can later. An error stays for who asks."""
        if self.complete and not self._closed and not portal.inside():
            self._window = 1 << 62
            self._fill()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        while self._calls is not None and len(self._flying) < self._window:
            try:
                calls = self._calls.take(self._chunksize)
                if not calls:
                    self._calls = None
                    return
                future = self._submit(calls)
            except Exception as error:  # noqa: BLE001 - anybody's iterable; told when its turn comes
                self._calls, self._trouble = None, error
                return
            self._flying[future] = None
            if self._bar is not None:
                future.add_done_callback(_counting(self._bar, len(calls)))
            if self._landed is not None:
                future.add_done_callback(self._landed.put)

    def _end_of_input(self) -> None:
        """Raise what ended it, if that is what comes next."""
        trouble = self._trouble
        if trouble is not None and not self._flying:
            self._trouble = None
            raise trouble

    def _next_values(self) -> list[T]:
        left = None if self._deadline is None else self._deadline - time.monotonic()
        if self._landed is None:
            future = next(iter(self._flying))
            outcome = future.result(left)
        else:
            future = _first(self._landed, left)
            outcome = future.result()
        del self._flying[future]
        return outcome if self._chunksize > 1 else [outcome]  # several: as chunks.py has them returned


def _first(landed: SimpleQueue[ComputeFuture[Any]], left: float | None) -> ComputeFuture[Any]:
    if portal.inside():
        raise RuntimeError(
            "a future's callback waits for results of map, in the very thread that would bring them: callbacks must "
            "not block; hand the work to another thread"
        )
    try:
        return landed.get(timeout=None if left is None else max(left, 0))
    except Empty:
        raise TimeoutError from None


def _counting(bar: Bar, count: int) -> Callable[[Future[Any]], None]:
    return lambda future: bar.ended(failed=has_failed(future), count=count)
