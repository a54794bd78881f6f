"""A store in memory: for tests, and for trying things out. It keeps every promise of the seam except durability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from afield.service.domain.records import (
    EndpointRecord,
    FinishedTask,
    FunctionRecord,
    IdentityRecord,
    SubmitRecord,
    TaskGroupRecord,
    TaskRecord,
    TaskView,
    TokenRecord,
    UserEndpointRecord,
)
from afield.service.store.base import AlreadyStored

__all__ = ["MemoryStore"]


class MemoryStore:
    """Keeps everything in dictionaries. What was kept is still there after :meth:`close` and :meth:`open`.

    The one loop that calls it is its lock: no method waits for anything, so each happens at once and whole.
    """

    def __init__(self) -> None:
        self._identities: dict[str, IdentityRecord] = {}
        self._tokens: dict[bytes, TokenRecord] = {}
        self._functions: dict[str, FunctionRecord] = {}
        self._deleted_functions: set[str] = set()
        self._endpoints: dict[str, EndpointRecord] = {}
        self._user_endpoints: dict[str, UserEndpointRecord] = {}
        self._groups: dict[str, TaskGroupRecord] = {}
        self._tasks: dict[str, TaskRecord] = {}
        self._ends: dict[str, FinishedTask] = {}
        self._undelivered: set[str] = set()
        self._submits: dict[bytes, SubmitRecord] = {}

    async def open(self) -> None:
        """Nothing to prepare."""

    async def close(self) -> None:
        """Nothing to let go."""

    # -- who ---------------------------------------------------------------------------------------------------------

    async def put_identity(self, identity: IdentityRecord) -> None:
        """Add, or replace the one with this id."""
        self._identities[identity.id] = identity

    async def identity(self, identity_id: str) -> IdentityRecord | None:
        """By id."""
        return self._identities.get(identity_id)

    async def put_token(self, token: TokenRecord) -> None:
        """Add, or replace the one with this digest."""
        self._tokens[token.digest] = token

    async def token(self, digest: bytes) -> TokenRecord | None:
        """By the SHA-256 of the token's text."""
        return self._tokens.get(digest)

    async def delete_token(self, digest: bytes) -> None:
        """Forget it; it no longer lets anybody in."""
        self._tokens.pop(digest, None)

    # -- what --------------------------------------------------------------------------------------------------------

    async def put_function(self, function: FunctionRecord) -> None:
        """Add it; one that is there stays as it is."""
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

    # -- where -------------------------------------------------------------------------------------------------------

    async def put_endpoint(self, endpoint: EndpointRecord) -> None:
        """Add, or replace the one with this id."""
        self._endpoints[endpoint.id] = endpoint

    async def endpoint(self, endpoint_id: str) -> EndpointRecord | None:
        """By id."""
        return self._endpoints.get(endpoint_id)

    async def endpoints(self, owner_id: str | None = None) -> list[EndpointRecord]:
        """All, or one owner's; the oldest first."""
        found = [e for e in self._endpoints.values() if owner_id is None or e.owner_id == owner_id]
        return sorted(found, key=lambda e: (e.created_at, e.id))

    async def delete_endpoint(self, endpoint_id: str) -> bool:
        """Remove it and its user endpoints; its tasks stay readable. Whether there was one."""
        for user_endpoint in await self.user_endpoints(endpoint_id):
            del self._user_endpoints[user_endpoint.id]
        return self._endpoints.pop(endpoint_id, None) is not None

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

    # -- tasks -------------------------------------------------------------------------------------------------------

    async def put_task_group(self, group: TaskGroupRecord) -> None:
        """Add, or replace the one with this id."""
        self._groups[group.id] = group

    async def task_group(self, group_id: str) -> TaskGroupRecord | None:
        """By id."""
        return self._groups.get(group_id)

    async def add_tasks(self, tasks: Sequence[TaskRecord], submit: SubmitRecord | None = None) -> None:
        """Accept these tasks, and remember the answer under ``submit.key``, in one commit."""
        added = {task.id: task for task in tasks}
        if len(added) < len(tasks) or any(i in self._tasks for i in added):
            raise AlreadyStored("task")
        if submit is not None:
            if submit.key in self._submits:
                raise AlreadyStored("submit")
            self._submits[submit.key] = submit
        self._tasks.update(added)

    async def submit(self, key: bytes, *, since: float) -> SubmitRecord | None:
        """The answer to an earlier submit under this key that is not older than ``since``."""
        found = self._submits.get(key)
        return found if found is not None and found.created_at >= since else None

    async def finish_tasks(self, finished: Sequence[FinishedTask]) -> list[TaskView]:
        """End tasks; those that this call ended, in the order given."""
        ended = []
        for end in finished:
            if end.id in self._tasks and end.id not in self._ends:
                self._ends[end.id] = end
                self._undelivered.add(end.id)
                ended.append(self._view(end.id))
        return ended

    async def tasks(self, task_ids: Iterable[str]) -> dict[str, TaskView]:
        """Those of the ids that exist."""
        return {i: self._view(i) for i in task_ids if i in self._tasks}

    async def group_tasks(self, group_id: str) -> list[TaskView]:
        """All of a group without their ``finished`` part, by rising id."""
        ids = sorted(t.id for t in self._tasks.values() if t.group_id == group_id)
        return [self._view(i, with_end=False) for i in ids]

    async def waiting_tasks(self, user_endpoint_id: str, *, after: str = "", limit: int = 1000) -> list[TaskRecord]:
        """Tasks of a user endpoint that have not ended, with payloads, by rising id, ids above ``after``."""
        waiting = (t for t in self._tasks.values() if t.id not in self._ends)
        found = (t for t in waiting if t.user_endpoint_id == user_endpoint_id and t.id > after)
        return sorted(found, key=lambda t: t.id)[:limit]

    async def waiting_counts(self) -> dict[str, int]:
        """For each user endpoint with tasks that have not ended, how many."""
        counts: dict[str, int] = {}
        for task in self._tasks.values():
            if task.id not in self._ends:
                counts[task.user_endpoint_id] = counts.get(task.user_endpoint_id, 0) + 1
        return counts

    async def undelivered(self, *, after: str = "", limit: int = 1000) -> list[TaskView]:
        """Ended tasks whose result nobody has taken, by rising id, ids above ``after``."""
        return [self._view(i) for i in islice((i for i in sorted(self._undelivered) if i > after), limit)]

    async def mark_delivered(self, task_ids: Iterable[str]) -> None:
        """Somebody took the results of these tasks."""
        self._undelivered.difference_update(task_ids)

    async def delete_before(self, moment: float) -> int:
        """Forget tasks that ended, or were accepted and never ended, before ``moment``, and answered submits."""
        old = [i for i, task in self._tasks.items() if self._last_moment(i, task) < moment]
        for task_id in old:
            del self._tasks[task_id]
            self._ends.pop(task_id, None)
            self._undelivered.discard(task_id)
        self._submits = {key: s for key, s in self._submits.items() if s.created_at >= moment}
        return len(old)

    def _last_moment(self, task_id: str, task: TaskRecord) -> float:
        end = self._ends.get(task_id)
        return task.created_at if end is None else end.completed_at

    def _view(self, task_id: str, *, with_end: bool = True) -> TaskView:
        task, end = self._tasks[task_id], self._ends.get(task_id)
        return TaskView(
            id=task_id,
            group_id=task.group_id,
            owner_id=task.owner_id,
            endpoint_id=task.endpoint_id,
            user_endpoint_id=task.user_endpoint_id,
            function_id=task.function_id,
            state=task.state if end is None else end.state,
            created_at=task.created_at,
            finished=end if with_end else None,
        )
