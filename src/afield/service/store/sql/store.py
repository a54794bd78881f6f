"""The store on an SQL database: each method is one query function, handed to a runner.

The only thing done here is the care for big values (:mod:`.files`): their files are written while the call already
queues, so that its place in the order is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from afield.service.domain.records import (
    CancelRecord,
    Departure,
    EndpointRecord,
    FinishedTask,
    FunctionRecord,
    HandOver,
    ListedFunction,
    ListedTask,
    SubmitRecord,
    TakenTask,
    TaskGroupRecord,
    TaskMove,
    TaskRecord,
    TaskStep,
    TaskView,
    UserEndpointRecord,
    WaitingTasks,
)
from afield.service.domain.repeats import Attempt, Repeated, Unanswered, Unclear
from afield.service.store.base import AlreadyStored
from afield.service.store.blobs import BlobMissing, Blobs
from afield.service.store.directory import DataDirectory
from afield.service.store.sql import cancels, catalogue, ends, hand_overs, lists, moves, schema, unanswered
from afield.service.store.sql import tasks as accepted
from afield.service.store.sql.files import Files
from afield.service.store.sql.keys import key as to_key
from afield.service.store.sql.overdue import overdue
from afield.service.store.sql.runner import Runner, Shared
from afield.service.store.sql.sql_people import SqlPeople
from afield.service.store.texts import check_endpoint, check_function, check_labels, is_text

__all__ = ["SqlStore"]

P = ParamSpec("P")
T = TypeVar("T")

#: Tasks forgotten in one commit: a few ten milliseconds, for which all other calls wait.
_FORGET = 500


class SqlStore:
    """See :class:`~afield.service.store.base.Store` for the promises.

    :param runner: runs queries on the database
    :param where: the database, for messages, without secrets
    :param blobs: where big values go; None: they stay in rows
    :param directory: locked while the store is open
    :param shared_blobs_age: seconds. Where other services write to the same blobs, only files older than this are taken
        for left behind; None: the directory is ours alone
    """

    def __init__(
        self,
        runner: Runner,
        where: str,
        *,
        blobs: Blobs | None = None,
        directory: DataDirectory | None = None,
        shared_blobs_age: float | None = None,
    ) -> None:
        self._runner, self._where, self._directory = runner, where, directory
        self._files = Files(blobs, where, runner.block, shared_age=shared_blobs_age)
        self._people = SqlPeople(runner)

    @property
    def commits(self) -> int:
        """Transactions committed since the start."""
        return self._runner.commits

    async def open(self) -> None:
        """Lock the directory, make or migrate the tables, remove files that a crash left behind.

        :raises DataDirectoryError: not writable, in use by another service, or written by a newer version
        """
        if self._directory is not None:
            self._directory.hold()
        try:
            await self._runner.open(partial(schema.prepare, where=self._where))
            if self._files.open():
                await self._read(self._files.sweep)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what is under way and let go. Closing twice is fine."""
        await self._runner.close()
        await self._files.close()
        if self._directory is not None:
            self._directory.release()

    # -- who ---------------------------------------------------------------------------------------------------------

    @property
    def people(self) -> SqlPeople:
        """People, how they come in, and with whom they share."""
        return self._people

    # -- what --------------------------------------------------------------------------------------------------------

    async def put_function(self, function: FunctionRecord) -> None:
        """Add it; one that is there stays as it is.

        :raises NotText: its name, description or group is no text that can be kept
        """
        check_function(function)
        await self._write(catalogue.put_function, function)

    async def function(self, function_id: str) -> FunctionRecord | None:
        """By id; a deleted one is None."""
        return await self._read(catalogue.function, function_id)

    async def functions(self, function_ids: Iterable[str]) -> dict[str, FunctionRecord]:
        """Those of the ids that exist, deleted ones too."""
        return await self._read(catalogue.functions, list(function_ids))

    async def delete_function(self, function_id: str) -> bool:
        """Hide it from :meth:`function`; whether there was one."""
        return await self._write(catalogue.delete_function, function_id)

    async def list_functions(
        self, owner_id: str, *, search: str | None = None, before: str | None = None, limit: int = 100
    ) -> list[ListedFunction]:
        """Somebody's functions that are not deleted, the newest first."""
        if search and not is_text(search):
            return []
        found: list[ListedFunction] = []
        below: bytes | None = lists.ABOVE_ALL if before is None else to_key(before)
        while below is not None and len(found) < limit:
            step, below = await self._read(lists.functions, owner_id, search, below, limit - len(found))
            found += step
        return found

    # -- where -------------------------------------------------------------------------------------------------------

    async def put_endpoint(self, endpoint: EndpointRecord) -> None:
        """Add, or replace the one with this id.

        :raises NotText: its name or display name is no text that can be kept
        """
        check_endpoint(endpoint)
        await self._write(catalogue.put_endpoint, endpoint)

    async def endpoint(self, endpoint_id: str) -> EndpointRecord | None:
        """By id."""
        return await self._read(catalogue.endpoint, endpoint_id)

    async def endpoints(self, owner_id: str | None = None) -> list[EndpointRecord]:
        """All, or one owner's; the oldest first."""
        return await self._read(catalogue.endpoints, owner_id)

    async def delete_endpoint(self, endpoint_id: str, now: float) -> Departure | None:
        """Remove it and its user endpoints, and remember its departure, in one commit; its tasks stay readable."""
        return await self._write(catalogue.delete_endpoint, endpoint_id, now)

    async def departures(self) -> list[Departure]:
        """Of deleted endpoints, those that are still remembered; the oldest first."""
        return await self._read(catalogue.departures)

    async def forget_departure(self, endpoint_id: str) -> None:
        """Nothing of it is left. User endpoints that were added to it since are removed in the same commit."""
        await self._write(catalogue.forget_departure, endpoint_id)

    async def put_user_endpoint(self, user_endpoint: UserEndpointRecord) -> None:
        """Add, or replace the one with this id."""
        await self._write(catalogue.put_user_endpoint, user_endpoint)

    async def user_endpoint(self, user_endpoint_id: str) -> UserEndpointRecord | None:
        """By id."""
        return await self._read(catalogue.user_endpoint, user_endpoint_id)

    async def user_endpoints(self, endpoint_id: str | None = None) -> list[UserEndpointRecord]:
        """All, or one core endpoint's; the oldest first."""
        return await self._read(catalogue.user_endpoints, endpoint_id)

    # -- tasks -------------------------------------------------------------------------------------------------------

    async def put_task_group(self, group: TaskGroupRecord) -> None:
        """Add, or replace the one with this id."""
        await self._write(catalogue.put_task_group, group)

    async def task_group(self, group_id: str) -> TaskGroupRecord | None:
        """By id."""
        return await self._read(catalogue.task_group, group_id)

    async def add_tasks(
        self,
        tasks: Sequence[TaskRecord],
        submit: SubmitRecord | None = None,
        functions: Sequence[FunctionRecord] = (),
        *,
        to_hand_over: bool = False,
        attempt: Attempt | None = None,
    ) -> Repeated | Unclear | None:
        """Accept these tasks, with their functions, and remember the answer under ``submit.key``, in one commit.

        :return: None: they were accepted; anything else: nothing was added
        :raises AlreadyStored: one of the task ids or the key is there already; nothing was added
        :raises NotText: a label, or a text of a function, is no text that can be kept
        """
        check_labels(tasks)
        for function in functions:
            check_function(function)
        files = self._files.write([task.payload for task in tasks])
        work = Shared(accepted.add, accepted.Submitted(tasks, submit, functions, files, to_hand_over, attempt))
        try:
            found = await self._runner.run(work, writes=True, ready=files)
        except AlreadyStored:
            self._files.remove_all(files)
            raise
        if found is not None:
            self._files.remove_all(files)
        return found

    async def hand_overs(self, before: float, *, limit: int = 100) -> list[HandOver]:
        """What is still to be put into queues, the oldest first."""
        return await self._read(hand_overs.waiting, before, limit)

    async def handed_over(self, ids: Iterable[str]) -> None:
        """These hand-overs are done."""
        await self._write(hand_overs.done, list(ids))

    async def submit(self, key: bytes, *, since: float) -> SubmitRecord | None:
        """The answer to an earlier submit under this key that is not older than ``since``."""
        return await self._read(accepted.submit, key, since)

    async def repeated(self, attempt: Attempt) -> Repeated | Unclear | None:
        """Whether this submit repeats one that is unanswered; then it is the one that has it."""
        return await self._runner.run(Shared(unanswered.repeated, attempt), writes=True)

    async def answered(self, keys: Iterable[bytes], life: str) -> None:
        """These submits were answered in this life."""
        forget = partial(unanswered.answered, keys=list(keys), life=life)
        await self._runner.run(forget, writes=True, flushed=False)

    async def went_astray(self, submits: Sequence[Unanswered]) -> None:
        """The answers to these submits went astray in the life they name."""
        await self._write(unanswered.went_astray, submits)

    async def finish_tasks(self, finished: Sequence[FinishedTask]) -> list[TaskView]:
        """End tasks. The first end wins.

        :return: the tasks that this call ended, with their ends, in the order given
        """
        files = self._files.write([value for end in finished for value in (end.data, end.exception)])
        work = Shared(ends.finish, ends.Finished(finished, files))
        ended = await self._runner.run(work, writes=True, ready=files)
        if files is not None and len(ended) < len(finished):
            won = {id(view.finished) for view in ended}
            names = files.result()
            lost = [name for i, name in enumerate(names) if name is not None and id(finished[i // 2]) not in won]
            self._files.remove(lost)
        return ended

    async def move_tasks(self, wanted: Sequence[TaskMove]) -> list[str]:
        """Tasks were seen in other states; those that moved, in the order given."""
        return await self._runner.run(Shared(moves.move, wanted), writes=True)

    async def taken_tasks(self, user_endpoint_id: str | None = None) -> list[TakenTask]:
        """Tasks that have not ended and that somebody has taken, by rising id."""
        return await self._read(moves.taken, user_endpoint_id)

    async def steps(self, task_id: str) -> list[TaskStep]:
        """The moves of a task, the earliest first."""
        return await self._read(moves.steps, task_id)

    async def put_cancels(self, records: Sequence[CancelRecord]) -> None:
        """Somebody wants these tasks ended."""
        await self._write(cancels.put, records)

    async def cancels(self, user_endpoint_id: str | None = None) -> list[CancelRecord]:
        """All wishes, or those for one user endpoint; by rising task id."""
        return await self._read(cancels.cancels, user_endpoint_id)

    async def delete_cancels(self, task_ids: Iterable[str]) -> None:
        """Forget the wishes for these tasks."""
        await self._write(cancels.forget, list(task_ids))

    async def tasks(self, task_ids: Iterable[str]) -> dict[str, TaskView]:
        """Those of the ids that exist."""
        return await self._read(accepted.views, list(task_ids), self._files.load)

    async def group_tasks(self, group_id: str) -> list[TaskView]:
        """All of a group without their ``finished`` part, by rising id."""
        return await self._read(accepted.in_group, group_id)

    async def waiting_tasks(self, user_endpoint_id: str, *, after: str = "", limit: int = 1000) -> list[TaskRecord]:
        """Tasks of a user endpoint that have not ended, with payloads, by rising id, ids above ``after``."""
        return await self._read(accepted.waiting, user_endpoint_id, after, limit, self._files.load)

    async def list_tasks(
        self,
        owner_id: str,
        *,
        pending: bool | None = None,
        state: str | None = None,
        endpoint_id: str | None = None,
        function_id: str | None = None,
        group_id: str | None = None,
        search: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[ListedTask]:
        """Somebody's tasks, the newest first."""
        if (search and not is_text(search)) or (state is not None and state not in accepted.STATES):
            return []
        wanted = lists.ListedTasks(owner_id, pending, state, endpoint_id, function_id, group_id, search)
        found: list[ListedTask] = []
        below: bytes | None = lists.ABOVE_ALL if before is None else to_key(before)
        while below is not None and len(found) < limit:
            step, below = await self._read(lists.tasks, wanted, below, limit - len(found))
            found += step
        return found

    async def waiting_counts(self) -> dict[str, int]:
        """For each user endpoint with tasks that have not ended, how many."""
        return await self._read(accepted.waiting_counts)

    async def waiting_by_state(self) -> list[WaitingTasks]:
        """The same, apart by state, with the age of the oldest; in no certain order."""
        return await self._read(accepted.waiting_by_state)

    async def undelivered(self, *, after: str = "", limit: int = 1000) -> list[TaskView]:
        """Ended tasks whose result nobody has taken, by rising id, ids above ``after``."""
        return await self._read(ends.undelivered, after, limit, self._files.load)

    async def mark_delivered(self, task_ids: Iterable[str]) -> None:
        """Somebody took the results of these tasks."""
        await self._write(ends.mark_delivered, list(task_ids))

    async def delete_before(self, moment: float, *, group_id: str | None = None, open_too: bool = True) -> int:
        """Forget tasks that ended, or were accepted and never ended, before ``moment``; how many that were.

        It goes in steps, so that other calls get their turn.
        """
        total, since = 0, 0.0
        while True:
            step = await self._write(ends.forget, moment, _FORGET, since, group_id, open_too=open_too)
            self._files.remove(step.files)
            total, since = total + step.count, step.until
            if step.count == 0:
                break
        if group_id is not None:
            return total
        await self._write(unanswered.forget_submits, moment)
        await self._write(ends.forget_wishes, moment)
        while await self._write(ends.forget_groups, moment, _FORGET):
            pass
        return total

    async def groups_with_times(self) -> list[TaskGroupRecord]:
        """The task groups that say themselves how long their tasks are kept, or wait; by rising id."""
        return await self._read(catalogue.groups_with_times)

    async def overdue(
        self, moment: float, *, seen: float, group_id: str | None = None, limit: int = 1000
    ) -> list[tuple[str, str]]:
        """Tasks that have waited for too long: (task, user endpoint)."""
        return await self._read(overdue, moment, seen, group_id, limit)

    async def forget_submits(self, moment: float) -> None:
        """Forget the answers to submits from before ``moment``, and which of them are unanswered."""
        await self._write(unanswered.forget_submits, moment)

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _write(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._runner.run(lambda connection: query(connection, *args, **kwargs), writes=True)

    async def _read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def work(connection: Connection) -> T:
            return query(connection, *args, **kwargs)

        try:
            return await self._runner.run(work, writes=False)
        except BlobMissing:
            # Its task may have been forgotten between reading the row and the file: then the row is gone as well.
            return await self._runner.run(work, writes=False)
