"""What became of tasks: one, many, a whole group, or as they end."""

from __future__ import annotations

from collections.abc import Sequence

from afield.errors import InvalidId
from afield.ids import parse_id
from afield.service.auth.queue_logins import Logins
from afield.service.clock import Clock
from afield.service.domain import refusals
from afield.service.domain.access import Action, decide
from afield.service.domain.caller import Caller
from afield.service.domain.documents import group_task, task_document, unknown_task
from afield.service.domain.names import ClientLogin, group_prefix
from afield.service.store.base import Store
from afield.service.use.people.permit import Permit
from afield.service.use.task_groups import TaskGroups
from afield.wire.rest import BatchStatus, ResultQueue, TaskDocument, TaskGroupDocument

__all__ = ["Watch"]


class Watch:
    """Looks at tasks for those whose they are.

    :param most: tasks that one request may ask about
    :param client_login_s: seconds for which a client's queue login lets it connect
    """

    def __init__(
        self,
        store: Store,
        groups: TaskGroups,
        logins: Logins,
        *,
        permit: Permit,
        clock: Clock,
        most: int,
        client_login_s: float,
    ) -> None:
        self._store = store
        self._permit = permit
        self._groups = groups
        self._logins = logins
        self._clock = clock
        self._most = most
        self._client_login_s = client_login_s

    async def task(self, caller: Caller, task_id: str, wire: int) -> TaskDocument:
        """One task.

        :raises Refusal: unknown, forgotten or somebody else's
        """
        task_id = parse_id(task_id, "task")
        view = (await self._store.tasks([task_id])).get(task_id)
        if view is None:
            raise refusals.task_not_found(task_id)
        refusal = decide(Action.READ_TASK, caller, view)
        if refusal is not None:
            raise refusal
        await self._permit.results(caller, [view])
        return task_document(view, wire)

    async def tasks(self, caller: Caller, task_ids: Sequence[str], wire: int) -> BatchStatus:
        """Many tasks, under their ids as they were given. Those that the caller may not see are told as unknown.

        :raises Refusal: more than one request may ask about
        """
        if len(task_ids) > self._most:
            raise refusals.invalid(
                f"{len(task_ids):,} task ids in one request: ask about at most {self._most:,} at a time."
            )
        canonical = {given: _canonical(given) for given in task_ids}
        views = await self._store.tasks({one for one in canonical.values() if one is not None})
        mine = {view.id: view for view in views.values() if decide(Action.READ_TASK, caller, view) is None}
        await self._permit.results(caller, mine.values())
        documents = {}
        for given, one in canonical.items():
            view = None if one is None else mine.get(one)
            documents[given] = unknown_task(given) if view is None else task_document(view, wire)
        return BatchStatus(documents)

    async def group(self, caller: Caller, group_id: str, wire: int) -> TaskGroupDocument:
        """The tasks of a group. Who asks will watch its queue next, so that is made ready for them.

        :raises Refusal: unknown, or somebody else's
        """
        group = await self._groups.prepare(await self._groups.find(caller, group_id), wire)
        return TaskGroupDocument(group.id, [group_task(view) for view in await self._store.group_tasks(group.id)])

    async def ready_queue(self, caller: Caller, group_id: str, wire: int) -> ResultQueue:
        """As :meth:`result_queue`, for somebody who will watch one group next: its queue is made ready for them. One
        whose tasks have all ended has none after the service was started again.

        :raises Refusal: unknown, or somebody else's
        """
        group = await self._groups.prepare(await self._groups.find(caller, group_id), wire)
        return await self.queues_of(caller, group.owner_id)  # it may be another identity of theirs that made it

    async def result_queue(self, caller: Caller) -> ResultQueue:
        """How to reach the queues of the caller's groups; good for connecting soon."""
        return await self.queues_of(caller, caller.id)

    async def queues_of(self, caller: Caller, identity_id: str) -> ResultQueue:
        """The same for the groups of one of the caller's identities."""
        until = int(self._clock.now() + self._client_login_s)
        login = ClientLogin(identity_id, until, caller.proof)
        return ResultQueue(group_prefix(identity_id), await self._logins.admit(login))


def _canonical(task_id: str) -> str | None:
    try:
        return parse_id(task_id, "task")
    except InvalidId:
        return None
