"""Asks what may not answer for a long time, or never: this machine's name service, which may be a directory elsewhere.

A call of the C library cannot be ended from outside. So each has a thread of its own, of which there are not many at
once, nobody waits for one longer than they want to, and none keeps this process from ending, as those of asyncio's own
pool would. That pool also resolves the names of hosts, and stays free for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

__all__ = ["Enquiry"]

T = TypeVar("T")


class Enquiry:
    """Asks many questions.

    :param most: how many may be open at once, also such that nobody waits for any more
    :param patience_s: how long each asker waits, in seconds
    """

    def __init__(self, most: int, patience_s: float) -> None:
        self._free, self._patience_s = asyncio.Semaphore(most), patience_s

    async def ask(self, question: Callable[[], T]) -> T:
        """The answer.

        :param question: called in another thread
        :raises TimeoutError: there was none in time, or too many others have none yet
        """
        async with asyncio.timeout(self._patience_s):
            await self._free.acquire()
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[T] = loop.create_future()

            def work() -> None:
                settle: Callable[[], None]
                try:
                    found = question()
                except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits for it
                    failed = error
                    settle = lambda: answer.set_exception(failed)  # noqa: E731 - one of two
                else:
                    settle = lambda: answer.set_result(found)  # noqa: E731
                with suppress(RuntimeError):  # the loop is closed: nobody is there any more
                    loop.call_soon_threadsafe(self._answered, answer, settle)

            try:
                Thread(target=work, name="enquiry", daemon=True).start()
            except RuntimeError:
                self._free.release()
                raise
            return await answer

    def _answered(self, answer: asyncio.Future[T], settle: Callable[[], None]) -> None:
        self._free.release()
        if not answer.done():
            settle()
