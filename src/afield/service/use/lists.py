"""What somebody has here: their tasks and their functions, the newest first, page by page. What belongs to one of
their identities is theirs.
"""

from __future__ import annotations

from typing import Final

from afield.ids import parse_id
from afield.service.domain import refusals
from afield.service.domain.caller import Caller
from afield.service.domain.documents import function_summary, task_summary
from afield.service.domain.records import ListedFunction, ListedTask
from afield.service.store.base import Store
from afield.states import TaskState
from afield.wire.rest import FunctionList, TaskList

__all__ = ["DEFAULT_LIMIT", "MOST", "Lists"]

#: How many entries an answer has when nothing is said, and at most.
DEFAULT_LIMIT: Final = 100
MOST: Final = 1_000

#: What is asked for with ``status``: ``pending`` is everything that has not ended.
_PENDING: Final = "pending"
_STATES: Final = tuple(state.value for state in TaskState if state is not TaskState.UNSENT)


class Lists:
    """Looks through what belongs to somebody."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def tasks(
        self,
        caller: Caller,
        *,
        status: str | None = None,
        endpoint_id: str | None = None,
        function_id: str | None = None,
        task_group_id: str | None = None,
        search: str | None = None,
        before: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> TaskList:
        """The caller's tasks.

        :param status: a state, or ``pending``
        :param search: part of the label or of the function's name
        :param before: the ``next`` of another page
        :raises Refusal: another status
        :raises InvalidId: one of the ids is none
        """
        if status not in {None, _PENDING, *_STATES}:
            raise refusals.malformed(
                f"status={status!r} is not known: write {_PENDING} or one of {', '.join(_STATES)}."
            )
        found = [
            task
            for owner_id in caller.ids
            for task in await self._store.list_tasks(
                owner_id,
                pending=True if status == _PENDING else None,
                state=None if status == _PENDING else status,
                endpoint_id=_id(endpoint_id, "endpoint"),
                function_id=_id(function_id, "function"),
                group_id=_id(task_group_id, "task group"),
                search=search,
                before=_id(before, "task"),
                limit=limit + 1,  # one more, to know whether there are more
            )
        ]
        found.sort(key=_age, reverse=True)
        page = found[:limit]
        return TaskList([task_summary(task) for task in page], page[-1].id if found[limit:] else None)

    async def functions(
        self, caller: Caller, *, search: str | None = None, before: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> FunctionList:
        """The caller's functions.

        :param search: part of the name or of the description
        :param before: the ``next`` of another page
        :raises InvalidId: ``before`` is no id
        """
        found = [
            function
            for owner_id in caller.ids
            for function in await self._store.list_functions(
                owner_id, search=search, before=_id(before, "function"), limit=limit + 1
            )
        ]
        found.sort(key=_age, reverse=True)
        page = found[:limit]
        return FunctionList([function_summary(one) for one in page], page[-1].id if found[limit:] else None)


def _age(listed: ListedTask | ListedFunction) -> str:
    """Ids are by time."""
    return listed.id


def _id(given: str | None, what: str) -> str | None:
    return None if given is None else parse_id(given, what)
