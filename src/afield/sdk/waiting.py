"""For programs of asyncio: waiting for many futures as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from typing import Any

__all__ = ["all_ended"]


async def all_ended(futures: Sequence[Future[Any]]) -> None:
    """Return when all have ended, in whatever way. Being cancelled does not cancel them."""
    if not futures:
        return
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    # Futures end in any thread; counting by an iterator is one step, so that exactly one of them is the last.
    ended = count(1)

    def note(_: Future[Any]) -> None:
        if next(ended) == len(futures):
            with suppress(RuntimeError):  # whoever waited has gone, and the loop with it
                loop.call_soon_threadsafe(over.set)

    for future in futures:
        future.add_done_callback(note)
    await over.wait()
