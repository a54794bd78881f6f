"""Wishes to cancel tasks that were handed to their user endpoints, and not answered yet.

They are in the store, so that no restart of anybody loses one: this service's, another replica's, the endpoint's. Which
tasks they are about is known here too, so that results, of which there are many, can be told from answers, of which
there are few, without a question to the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from afield.service.domain.records import CancelRecord
from afield.service.store.base import Store
from afield.service.together.base import News, Together
from afield.service.together.single import Single

__all__ = ["Wishes"]

_SINGLE: Final = Single()

#: What services tell each other: there are wishes for these tasks.
_WISH: Final = "wish"
_TOLD_AT_ONCE: Final = 100


class Wishes:
    """What was wished and not answered."""

    def __init__(self, store: Store, together: Together = _SINGLE) -> None:
        self._store = store
        self._together = together
        self._known: set[str] = set()
        together.listen(_WISH, lambda news: self._known.update((news.text or "").split()))

    async def put(self, wishes: Sequence[CancelRecord]) -> None:
        """Keep them; an earlier one for the same task is replaced."""
        self._known.update(wish.task_id for wish in wishes)
        await self._store.put_cancels(wishes)
        for begin in range(0, len(wishes), _TOLD_AT_ONCE):
            ids = " ".join(wish.task_id for wish in wishes[begin : begin + _TOLD_AT_ONCE])
            self._together.tell(News(_WISH, wishes[begin].user_endpoint_id, ids))

    async def all(self) -> list[CancelRecord]:
        """All of them, other replicas' too."""
        before = frozenset(self._known)
        found = await self._store.cancels()
        # What was put meanwhile may not be among them.
        self._known = {wish.task_id for wish in found} | (self._known - before)
        return found

    async def of(self, user_endpoint_id: str) -> list[CancelRecord]:
        """Those for the tasks of one user endpoint."""
        found = await self._store.cancels(user_endpoint_id)
        self._known.update(wish.task_id for wish in found)
        return found

    async def answered(self, task_ids: Iterable[str]) -> None:
        """The user endpoints of these tasks have said what became of them; there may have been no wish at all."""
        known = self._known.intersection(task_ids) if self._known else ()
        if known:
            self._known.difference_update(known)
            await self._store.delete_cancels(known)
