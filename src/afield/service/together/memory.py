"""Several services within one process, for tests: the verified fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from weakref import WeakValueDictionary

from afield.service.together.base import MOST_BYTES, Listener, News

__all__ = ["MemoryReplica", "Table", "cut"]


class Table:
    """What the replicas sit around."""

    def __init__(self) -> None:
        self.seated: list[MemoryReplica] = []
        self.locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def look(self) -> None:
        """Somebody came or left."""
        if self.seated:
            self.seated[0].be_first()


class MemoryReplica:
    """A :class:`~afield.service.together.base.Together` with the others at its table; who came first is on duty."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._listeners: dict[str, list[Listener]] = {}
        self._missed: list[Callable[[], None]] = []
        self._first = asyncio.Event()
        self._is_deaf = False

    async def open(self) -> None:
        """Sit down."""
        self._table.seated.append(self)
        self._table.look()

    async def close(self) -> None:
        """Get up."""
        if self in self._table.seated:
            self._table.seated.remove(self)
            self._table.look()

    def tell(self, news: News) -> None:
        """The others hear it when the event loop gets to them."""
        loop = asyncio.get_running_loop()
        for other in self._table.seated:
            if other is not self:
                loop.call_soon(other.hear, cut(news))

    def hear(self, news: News) -> None:
        """Somebody told something."""
        if self._is_deaf:
            return
        for listener in self._listeners.get(news.topic, ()):
            listener(news)

    async def all_said(self) -> None:
        """The event loop has it."""

    @property
    def hears(self) -> bool:
        """Whether nobody made it deaf."""
        return not self._is_deaf

    def listen(self, topic: str, listener: Listener) -> None:
        """Hear what others tell about a topic."""
        self._listeners.setdefault(topic, []).append(listener)

    def on_missed(self, listener: Callable[[], None]) -> None:
        """Hear that news may have been lost."""
        self._missed.append(listener)

    def be_deaf_for_a_moment(self) -> None:
        """News may have been lost."""
        self.go_deaf()
        self.hear_again()

    def go_deaf(self) -> None:
        """Hear nothing any more, as with a lost connection."""
        self._is_deaf = True

    def hear_again(self) -> None:
        """The connection is there again."""
        self._is_deaf = False
        for listener in self._missed:
            listener()

    async def take_duty(self) -> None:
        """Wait until all who came before have left."""
        await self._first.wait()

    def be_first(self) -> None:
        """Nobody who came before is left."""
        self._first.set()

    @property
    def on_duty(self) -> bool:
        """Whether nobody else came before."""
        return self._table.seated[:1] == [self]

    def alone(self, key: str) -> AbstractAsyncContextManager[None]:
        """Wait for the others."""
        return self._alone(key)

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        lock = self._table.locks.setdefault(key, asyncio.Lock())
        async with lock:
            yield


def cut(news: News) -> News:
    """These news, short enough."""
    if news.text is None or len(news.text.encode("utf-8", "replace")) <= MOST_BYTES:
        return news
    text = news.text.encode("utf-8", "replace")[: MOST_BYTES - 3].decode("utf-8", "ignore") + "…"
    return News(news.topic, news.about, text)
