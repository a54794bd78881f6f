"""Endpoints, user endpoints, functions and task groups, as every submit needs them: read through a small memory.

Two things the store's seam does not have are added here, and only here:

- *Reading without waiting.* A record is believed for :data:`FRESH_S` seconds after it was read or written here. All
  writes of this process go through this object, so what it wrote it knows; what another replica wrote is seen a moment
  later.
- *Changing.* Reading a record, changing it and writing it back is one step towards everybody else in this process, so
  that a heartbeat and a registration that cross do not undo each other. Several services on one store take turns
  (:mod:`afield.service.together`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from afield.service.clock import Clock
from afield.service.domain.records import (
    Departure,
    EndpointRecord,
    FunctionRecord,
    TaskGroupRecord,
    UserEndpointRecord,
)
from afield.service.store.base import Store
from afield.service.together.base import News, Together
from afield.service.together.single import Single

__all__ = ["FRESH_S", "Records"]

#: How long, in seconds, a record is believed without another look.
FRESH_S: Final = 2.0

#: How much is remembered before all of one kind is forgotten: records, and bytes of functions' code.
_MOST_RECORDS: Final = 10_000
_MOST_BYTES: Final = 64_000_000


_SINGLE: Final = Single()


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_HasId)
Changed = TypeVar("Changed", EndpointRecord, UserEndpointRecord, TaskGroupRecord)


class _Shelf(Generic[R]):
    """Records of one kind that were read or written a moment ago."""

    def __init__(self, read: Callable[[str], Awaitable[R | None]], clock: Clock, weigh: Callable[[R], int]) -> None:
        self._read = read
        self._clock = clock
        self._weigh = weigh
        self._weight = 0
        # how often something was, which tells whoever reads meanwhile
        self._forgotten = 0
        # id -> (believed until, record)
        self._kept: dict[str, tuple[float, R]] = {}

    async def get(self, record_id: str, *, fresh: bool = False) -> R | None:
        if fresh:
            self.forget(record_id)
        found = self._fresh(record_id)
        if found is not None:
            return found
        forgotten = self._forgotten
        read = await self._read(record_id)
        # Somebody may have written a newer one while this was read.
        newer = self._fresh(record_id)
        if newer is not None:
            return newer
        # Or it was changed elsewhere: then nobody knows which of the two was read.
        if read is not None and forgotten == self._forgotten:
            self.put(read)
        return read

    def put(self, record: R) -> None:
        self._drop(record.id)
        self._weight += self._weigh(record)
        if len(self._kept) >= _MOST_RECORDS or self._weight > _MOST_BYTES:
            self._kept.clear()
            self._weight = self._weigh(record)
        self._kept[record.id] = (self._clock.now() + FRESH_S, record)

    def forget(self, record_id: str) -> None:
        self._forgotten += 1
        self._drop(record_id)

    def _drop(self, record_id: str) -> None:
        found = self._kept.pop(record_id, None)
        if found is not None:
            self._weight -= self._weigh(found[1])

    def forget_all(self) -> None:
        self._forgotten += 1
        self._kept.clear()
        self._weight = 0

    def _fresh(self, record_id: str) -> R | None:
        found = self._kept.get(record_id)
        return found[1] if found is not None and self._clock.now() < found[0] else None


def _forget(shelf: _Shelf[Any], news: News) -> None:
    """Another service has changed it."""
    shelf.forget(news.about)


def _nothing(_record: object) -> int:
    return 0


class Records:
    """What every request looks up.

    :param store: where it is
    :param together: with which other services it is shared
    """

    def __init__(self, store: Store, clock: Clock, together: Together = _SINGLE) -> None:
        self._store = store
        self._together = together
        self._clock = clock
        self._functions = _Shelf[FunctionRecord](store.function, clock, lambda function: len(function.code))
        self._endpoints = _Shelf[EndpointRecord](store.endpoint, clock, _nothing)
        self._user_endpoints = _Shelf[UserEndpointRecord](store.user_endpoint, clock, _nothing)
        self._groups = _Shelf[TaskGroupRecord](store.task_group, clock, _nothing)
        for topic, shelf in (("function", self._functions), ("endpoint", self._endpoints), ("group", self._groups)):
            together.listen(topic, partial(_forget, shelf))
        together.on_missed(self._forget_all)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def function(self, function_id: str) -> FunctionRecord | None:
        """By id; a deleted one is None."""
        return await self._functions.get(function_id)

    async def put_function(self, function: FunctionRecord) -> None:
        """Add it."""
        await self._store.put_function(function)
        self._functions.put(function)

    def know_function(self, function: FunctionRecord) -> None:
        """It was added to the store by other means."""
        self._functions.put(function)

    async def delete_function(self, function_id: str) -> bool:
        """Hide it; whether there was one."""
        self._functions.forget(function_id)
        try:
            return await self._store.delete_function(function_id)
        finally:
            self._functions.forget(function_id)
            self._together.tell(News("function", function_id))

    async def endpoint(self, endpoint_id: str) -> EndpointRecord | None:
        """By id."""
        return await self._endpoints.get(endpoint_id)

    async def put_endpoint(self, endpoint: EndpointRecord) -> None:
        """Add a new one."""
        await self._store.put_endpoint(endpoint)
        self._endpoints.put(endpoint)

    async def change_endpoint(
        self, endpoint_id: str, change: Callable[[EndpointRecord], EndpointRecord]
    ) -> EndpointRecord | None:
        """Put ``change(record)`` in the record's place, in one step; what is there then, None: no such endpoint.

        What ``change`` raises is raised, and nothing is changed.
        """
        store = self._store
        return await self._change(endpoint_id, change, store.endpoint, store.put_endpoint, self._endpoints)

    async def delete_endpoint(self, endpoint_id: str) -> Departure | None:
        """Remove it and its user endpoints; its departure, None: no such endpoint."""
        async with self._turn(endpoint_id):
            for user_endpoint in await self._store.user_endpoints(endpoint_id):
                self._user_endpoints.forget(user_endpoint.id)
            try:
                return await self._store.delete_endpoint(endpoint_id, self._clock.now())
            finally:
                self._endpoints.forget(endpoint_id)
                self._together.tell(News("endpoint", endpoint_id))

    async def user_endpoint(self, user_endpoint_id: str, *, fresh: bool = False) -> UserEndpointRecord | None:
        """By id.

        :param fresh: look into the store, whatever is believed here
        """
        return await self._user_endpoints.get(user_endpoint_id, fresh=fresh)

    async def add_user_endpoint(self, new: UserEndpointRecord) -> UserEndpointRecord:
        """Add it unless it is there; what is there then."""
        async with self._turn(new.id):
            found = await self._store.user_endpoint(new.id)
            if found is None:
                await self._store.put_user_endpoint(new)
                found = new
            self._user_endpoints.put(found)
            return found

    async def change_user_endpoint(
        self, user_endpoint_id: str, change: Callable[[UserEndpointRecord], UserEndpointRecord]
    ) -> UserEndpointRecord | None:
        """As :meth:`change_endpoint`."""
        store = self._store
        return await self._change(
            user_endpoint_id, change, store.user_endpoint, store.put_user_endpoint, self._user_endpoints
        )

    async def group(self, group_id: str, *, fresh: bool = False) -> TaskGroupRecord | None:
        """By id.

        :param fresh: look into the store, whatever is believed here
        """
        return await self._groups.get(group_id, fresh=fresh)

    async def change_group(
        self, new: TaskGroupRecord, change: Callable[[TaskGroupRecord], TaskGroupRecord]
    ) -> TaskGroupRecord:
        """Add ``new`` unless one with its id is there, and put ``change(record)`` in its place, in one step.

        What ``change`` raises is raised, and nothing is changed.
        """
        async with self._turn(new.id):
            found = await self._store.task_group(new.id)
            changed = change(new if found is None else found)
            if changed is not found:
                await self._store.put_task_group(changed)
                if found is not None:
                    self._together.tell(News("group", new.id))
            self._groups.put(changed)
            return changed

    async def _change(
        self,
        record_id: str,
        change: Callable[[Changed], Changed],
        read: Callable[[str], Awaitable[Changed | None]],
        write: Callable[[Changed], Awaitable[None]],
        shelf: _Shelf[Changed],
    ) -> Changed | None:
        async with self._turn(record_id):
            record = await read(record_id)
            if record is None:
                return None
            changed = change(record)
            if changed is not record:
                await write(changed)
            shelf.put(changed)
            return changed

    def _forget_all(self) -> None:
        for shelf in (self._functions, self._endpoints, self._user_endpoints, self._groups):
            shelf.forget_all()

    @asynccontextmanager
    async def _turn(self, record_id: str) -> AsyncIterator[None]:
        async with self._lock(record_id), self._together.alone(record_id):
            yield

    def _lock(self, record_id: str) -> asyncio.Lock:
        return self._locks.setdefault(record_id, asyncio.Lock())
