"""The store in memory: what can be run, and where."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from afield.service.domain.records import (
    Departure,
    EndpointRecord,
    FunctionRecord,
    ListedFunction,
    UserEndpointRecord,
)
from afield.service.store.texts import check_endpoint, check_function, is_text

__all__ = ["MemoryCatalogue", "holds"]


class MemoryCatalogue:
    """The functions and endpoints of a :class:`~afield.service.store.memory.MemoryStore`."""

    def __init__(self) -> None:
        self._functions: dict[str, FunctionRecord] = {}
        self._deleted_functions: set[str] = set()
        self._endpoints: dict[str, EndpointRecord] = {}
        self._user_endpoints: dict[str, UserEndpointRecord] = {}
        self._departures: dict[str, Departure] = {}

    # -- what --------------------------------------------------------------------------------------------------------

    async def put_function(self, function: FunctionRecord) -> None:
        """Add it; one that is there stays as it is."""
        check_function(function)
        self._functions.setdefault(function.id, function)

    async def function(self, function_id: str) -> FunctionRecord | None:
        """By id; a deleted one is None."""
        return None if function_id in self._deleted_functions else self._functions.get(function_id)

    async def functions(self, function_ids: Iterable[str]) -> dict[str, FunctionRecord]:
        """Those of the ids that exist, deleted ones too."""
        return {i: self._functions[i] for i in function_ids if i in self._functions}

    async def delete_function(self, function_id: str) -> bool:
        """Hide it from :meth:`function`; whether there was one."""
        if function_id not in self._functions or function_id in self._deleted_functions:
            return False
        self._deleted_functions.add(function_id)
        return True

    async def list_functions(
        self, owner_id: str, *, search: str | None = None, before: str | None = None, limit: int = 100
    ) -> list[ListedFunction]:
        """Somebody's functions that are not deleted, the newest first."""
        found = (
            ListedFunction(f.id, f.owner_id, f.name, f.created_at, f.description, f.public, f.group_id)
            for f in sorted(self._functions.values(), key=lambda f: f.id, reverse=True)
            if f.owner_id == owner_id
            and f.id not in self._deleted_functions
            and (before is None or f.id < before)
            and holds(search, f.name, f.description)
        )
        return list(islice(found, max(0, limit)))

    # -- where -------------------------------------------------------------------------------------------------------

    async def put_endpoint(self, endpoint: EndpointRecord) -> None:
        """Add, or replace the one with this id."""
        check_endpoint(endpoint)
        self._endpoints[endpoint.id] = endpoint

    async def endpoint(self, endpoint_id: str) -> EndpointRecord | None:
        """By id."""
        return self._endpoints.get(endpoint_id)

    async def endpoints(self, owner_id: str | None = None) -> list[EndpointRecord]:
        """All, or one owner's; the oldest first."""
        found = [e for e in self._endpoints.values() if owner_id is None or e.owner_id == owner_id]
        return sorted(found, key=lambda e: (e.created_at, e.id))

    async def delete_endpoint(self, endpoint_id: str, now: float) -> Departure | None:
        """Remove it and its user endpoints, and remember its departure; its tasks stay readable."""
        endpoint = self._endpoints.pop(endpoint_id, None)
        if endpoint is None:
            return None
        ids = tuple(one.id for one in await self.user_endpoints(endpoint_id))
        for one in ids:
            del self._user_endpoints[one]
        self._departures[endpoint_id] = departure = Departure(endpoint_id, endpoint.name, ids, now)
        return departure

    async def departures(self) -> list[Departure]:
        """Of deleted endpoints, those that are still remembered; the oldest first."""
        return sorted(self._departures.values(), key=lambda one: (one.deleted_at, one.id))

    async def forget_departure(self, endpoint_id: str) -> None:
        """Nothing of it is left. User endpoints that were added to it since are removed."""
        if self._departures.pop(endpoint_id, None) is not None:
            for one in await self.user_endpoints(endpoint_id):
                del self._user_endpoints[one.id]

    async def put_user_endpoint(self, user_endpoint: UserEndpointRecord) -> None:
        """Add, or replace the one with this id."""
        self._user_endpoints[user_endpoint.id] = user_endpoint

    async def user_endpoint(self, user_endpoint_id: str) -> UserEndpointRecord | None:
        """By id."""
        return self._user_endpoints.get(user_endpoint_id)

    async def user_endpoints(self, endpoint_id: str | None = None) -> list[UserEndpointRecord]:
        """All, or one core endpoint's; the oldest first."""
        found = [u for u in self._user_endpoints.values() if endpoint_id is None or u.endpoint_id == endpoint_id]
        return sorted(found, key=lambda u: (u.created_at, u.id))


def holds(search: str | None, *texts: str | None) -> bool:
    """Whether one of the texts holds what is searched for."""
    if not search:
        return True
    return is_text(search) and any(text is not None and search.lower() in text.lower() for text in texts)
