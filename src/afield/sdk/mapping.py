"""``Executor.map``: the standard library's, with many calls in one task where ``chunksize`` says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, Final, TypeVar

__all__ = ["chunks", "in_chunks", "in_order"]

T = TypeVar("T")

# The worker may not have this package, so this function must travel by value, and not by name. What says that it is
# defined in __main__ does.
_SOURCE: Final = """
def in_chunks(fn):
    def run_chunk(calls):
        return [fn(*call) for call in calls]
    return run_chunk
"""


def in_chunks(fn: Callable[..., T]) -> Callable[[list[tuple[Any, ...]]], list[T]]:
    """A function that makes several calls of ``fn`` and returns the list of what they return."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(_SOURCE, namespace)  # noqa: S102 - our own text, above
    made: Callable[[list[tuple[Any, ...]]], list[T]] = namespace["in_chunks"](fn)
    made.__name__ = getattr(fn, "__name__", made.__name__)
    return made


def chunks(iterables: Iterable[Iterable[Any]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    """The arguments of all calls, ``size`` calls at a time."""
    calls = zip(*iterables, strict=False)  # the shortest decides, as in the standard library
    while chunk := list(islice(calls, size)):
        yield chunk


def in_order(futures: list[Future[T]], timeout: float | None, began: float) -> Generator[T, None, None]:
    """The results, in order, as they are there; what was not asked for is cancelled.

    :param timeout: seconds from ``began``; None: as long as it takes
    :param began: by the monotonic clock
    :raises TimeoutError: from the iterator, when a result is not there by then
    """
    futures.reverse()  # so that finished ones can be let go of from the cheap end
    try:
        while futures:
            left = None if timeout is None else began + timeout - time.monotonic()
            yield futures.pop().result(left)
    finally:
        for future in futures:
            future.cancel()
