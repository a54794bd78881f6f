"""A store in memory: for tests, and for trying things out. It keeps every promise of the seam except durability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from afield.service.domain.records import (
    CancelRecord,
    FinishedTask,
    FunctionRecord,
    HandOver,
    ListedTask,
    SubmitRecord,
    TakenTask,
    TaskGroupRecord,
    TaskMove,
    TaskRecord,
    TaskStep,
    TaskView,
    WaitingTasks,
)
from afield.service.domain.repeats import ASTRAY, Attempt, Repeated, Unanswered, Unclear, decide
from afield.service.store.base import AlreadyStored
from afield.service.store.memory_catalogue import MemoryCatalogue, holds
from afield.service.store.memory_people import MemoryPeople
from afield.service.store.texts import check_function, check_labels
from afield.states import TERMINAL, TaskState, may_move

__all__ = ["MemoryStore"]


class MemoryStore(MemoryCatalogue):
    """Keeps everything in dictionaries. What was kept is still there after :meth:`close` and :meth:`open`.

    The one loop that calls it is its lock: no method waits for anything, so each happens at once and whole.
    """

    def __init__(self) -> None:
        super().__init__()
        self.people = MemoryPeople()
        self._groups: dict[str, TaskGroupRecord] = {}
        self._tasks: dict[str, TaskRecord] = {}
        self._moves: dict[str, TaskMove] = {}
        self._steps: dict[str, dict[tuple[float, str], TaskStep]] = {}
        self._taken: dict[str, TaskMove] = {}
        self._ends: dict[str, FinishedTask] = {}
        self._cancels: dict[str, CancelRecord] = {}
        self._undelivered: set[str] = set()
        self._submits: dict[bytes, SubmitRecord] = {}
        self._unanswered: dict[bytes, Unanswered] = {}
        self._hand_overs: dict[str, HandOver] = {}

    async def open(self) -> None:
        """Nothing to prepare."""

    async def close(self) -> None:
        """Nothing to let go."""

    # -- tasks -------------------------------------------------------------------------------------------------------

    async def put_task_group(self, group: TaskGroupRecord) -> None:
        """Add, or replace the one with this id."""
        self._groups[group.id] = group

    async def task_group(self, group_id: str) -> TaskGroupRecord | None:
        """By id."""
        return self._groups.get(group_id)

    async def add_tasks(
        self,
        tasks: Sequence[TaskRecord],
        submit: SubmitRecord | None = None,
        functions: Sequence[FunctionRecord] = (),
        *,
        to_hand_over: bool = False,
        attempt: Attempt | None = None,
    ) -> Repeated | Unclear | None:
        """Accept these tasks, with their functions, and remember the answer under ``submit.key``, in one commit."""
        check_labels(tasks)
        for function in functions:
            check_function(function)
        if attempt is not None and (found := self._repeated(attempt)) is not None:
            return found
        added = {task.id: task for task in tasks}
        if len(added) < len(tasks) or any(i in self._tasks for i in added):
            raise AlreadyStored("task")
        if submit is not None:
            if submit.key in self._submits:
                raise AlreadyStored("submit")
            self._submits[submit.key] = submit
        self._tasks.update(added)
        for function in functions:
            self._functions.setdefault(function.id, function)
        if to_hand_over and tasks:
            self._hand_overs[tasks[0].id] = HandOver(tasks[0].user_endpoint_id, tuple(added), tasks[0].created_at)
        if attempt is not None:
            left = Unanswered(attempt.key, attempt.body, attempt.life, attempt.at)
            self._unanswered.setdefault(attempt.key, left)
        return None

    async def hand_overs(self, before: float, *, limit: int = 100) -> list[HandOver]:
        """What is still to be put into queues, the oldest first."""
        found = [one for one in self._hand_overs.values() if one.created_at < before]
        return sorted(found, key=lambda one: (one.created_at, one.id))[:limit]

    async def handed_over(self, ids: Iterable[str]) -> None:
        """These hand-overs are done."""
        for one in ids:
            self._hand_overs.pop(one, None)

    async def submit(self, key: bytes, *, since: float) -> SubmitRecord | None:
        """The answer to an earlier submit under this key that is not older than ``since``."""
        found = self._submits.get(key)
        return found if found is not None and found.created_at >= since else None

    async def repeated(self, attempt: Attempt) -> Repeated | Unclear | None:
        """Whether this submit repeats one that is unanswered; then it is the one that has it."""
        return self._repeated(attempt)

    def _repeated(self, attempt: Attempt) -> Repeated | Unclear | None:
        found = decide(attempt, self._unanswered.values())
        if not isinstance(found, Unanswered):
            return found
        self._unanswered[found.key] = Unanswered(found.key, found.body, attempt.life, attempt.at)
        return Repeated(found.key)

    async def answered(self, keys: Iterable[bytes], life: str) -> None:
        """These submits were answered in this life."""
        for key in keys:
            if key in self._unanswered and self._unanswered[key].life == life:
                del self._unanswered[key]

    async def went_astray(self, submits: Sequence[Unanswered]) -> None:
        """The answers to these submits went astray in the life they name."""
        for one in submits:
            if self._unanswered.setdefault(one.key, one).life == one.life:
                self._unanswered[one.key] = Unanswered(one.key, one.body, ASTRAY, one.since)

    async def finish_tasks(self, finished: Sequence[FinishedTask]) -> list[TaskView]:
        """End tasks; those that this call ended, in the order given."""
        ended = []
        for end in finished:
            if end.id in self._tasks and end.id not in self._ends:
                self._ends[end.id] = end
                self._undelivered.add(end.id)
                ended.append(self._view(end.id))
        return ended

    async def move_tasks(self, wanted: Sequence[TaskMove]) -> list[str]:
        """Tasks were seen in other states; those that moved, in the order given."""
        moved = {}
        for move in wanted:
            if move.id not in self._tasks or move.id in self._ends or move.state in TERMINAL:
                continue
            if may_move(self._state(move.id)[0], move.state):
                self._move(move)
                moved[move.id] = True
        return list(moved)

    def _move(self, move: TaskMove) -> None:
        self._moves[move.id] = move
        if move.life is not None:
            self._taken[move.id] = move
        elif move.state is TaskState.WAITING_FOR_ENDPOINT:
            self._taken.pop(move.id, None)
        step = TaskStep(move.state, move.at, move.actor, move.attempt, move.life)
        self._steps.setdefault(move.id, {})[move.at, move.state] = step

    async def taken_tasks(self, user_endpoint_id: str | None = None) -> list[TakenTask]:
        """Tasks that have not ended and that somebody has taken, by rising id."""
        found = [(self._tasks[i], move) for i, move in sorted(self._taken.items()) if i not in self._ends]
        return [
            TakenTask(task.id, task.group_id, task.user_endpoint_id, self._moves[task.id].at, move.life or "")
            for task, move in found
            if user_endpoint_id in {None, task.user_endpoint_id}
        ]

    async def steps(self, task_id: str) -> list[TaskStep]:
        """The moves of a task, the earliest first."""
        return [step for _, step in sorted(self._steps.get(task_id, {}).items())]

    async def put_cancels(self, records: Sequence[CancelRecord]) -> None:
        """Somebody wants these tasks ended."""
        self._cancels.update((record.task_id, record) for record in records)

    async def cancels(self, user_endpoint_id: str | None = None) -> list[CancelRecord]:
        """All wishes, or those for one user endpoint; by rising task id."""
        found = [
            c for c in self._cancels.values() if user_endpoint_id is None or c.user_endpoint_id == user_endpoint_id
        ]
        return sorted(found, key=lambda c: c.task_id)

    async def delete_cancels(self, task_ids: Iterable[str]) -> None:
        """Forget the wishes for these tasks."""
        for task_id in task_ids:
            self._cancels.pop(task_id, None)

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
        wanted = (("endpoint_id", endpoint_id), ("function_id", function_id), ("group_id", group_id))
        found = (
            self._listed(task)
            for task in sorted(self._tasks.values(), key=lambda t: t.id, reverse=True)
            if task.owner_id == owner_id
            and (before is None or task.id < before)
            and (pending is None or pending == (task.id not in self._ends))
            and (state is None or state == self._state(task.id)[0])
            and all(value is None or getattr(task, name) == value for name, value in wanted)
        )
        found = (one for one in found if holds(search, one.function_name, one.label))
        return list(islice(found, max(0, limit)))

    async def waiting_counts(self) -> dict[str, int]:
        """For each user endpoint with tasks that have not ended, how many."""
        counts: dict[str, int] = {}
        for task in self._tasks.values():
            if task.id not in self._ends:
                counts[task.user_endpoint_id] = counts.get(task.user_endpoint_id, 0) + 1
        return counts

    async def waiting_by_state(self) -> list[WaitingTasks]:
        """The same, apart by state, with the age of the oldest; in no certain order."""
        found: dict[tuple[str, TaskState], WaitingTasks] = {}
        for task in self._tasks.values():
            if task.id not in self._ends:
                where = task.user_endpoint_id, self._state(task.id)[0]
                seen = found.get(where) or WaitingTasks(*where, 0, task.created_at)
                found[where] = WaitingTasks(*where, seen.count + 1, min(seen.oldest_at, task.created_at))
        return list(found.values())

    async def undelivered(self, *, after: str = "", limit: int = 1000) -> list[TaskView]:
        """Ended tasks whose result nobody has taken, by rising id, ids above ``after``."""
        return [self._view(i) for i in islice((i for i in sorted(self._undelivered) if i > after), limit)]

    async def mark_delivered(self, task_ids: Iterable[str]) -> None:
        """Somebody took the results of these tasks."""
        self._undelivered.difference_update(task_ids)

    async def delete_before(self, moment: float, *, group_id: str | None = None, open_too: bool = True) -> int:
        """Forget tasks that ended, or were accepted and never ended, before ``moment``, and answered submits."""
        old = [
            i
            for i, task in self._tasks.items()
            if self._last_moment(i, task) < moment
            and self._is_of(task, group_id, "retention_s")
            and (open_too or i in self._ends)
        ]
        for task_id in old:
            del self._tasks[task_id]
            self._ends.pop(task_id, None)
            self._moves.pop(task_id, None)
            self._steps.pop(task_id, None)
            self._taken.pop(task_id, None)
            self._cancels.pop(task_id, None)
            self._undelivered.discard(task_id)
        if group_id is not None:
            return len(old)
        self._forget_submits(moment)
        self._cancels = {i: c for i, c in self._cancels.items() if i in self._tasks or c.asked_at >= moment}
        used = {task.group_id for task in self._tasks.values()}
        self._groups = {i: g for i, g in self._groups.items() if i in used or g.created_at >= moment}
        return len(old)

    async def groups_with_times(self) -> list[TaskGroupRecord]:
        """The task groups that say themselves how long their tasks are kept, or wait; by rising id."""
        groups = sorted(self._groups.values(), key=lambda group: group.id)
        return [group for group in groups if group.retention_s is not None or group.waiting_s is not None]

    async def overdue(
        self, moment: float, *, seen: float, group_id: str | None = None, limit: int = 1000
    ) -> list[tuple[str, str]]:
        """Tasks that have waited for too long: (task, user endpoint)."""
        found = []
        for task in self._tasks.values():
            if task.id not in self._ends and self._is_of(task, group_id, "waiting_s"):
                state, since = self._state(task.id)
                is_waiting = state is TaskState.WAITING_FOR_ENDPOINT
                if task.created_at < moment if is_waiting else since < seen:
                    found.append((task.user_endpoint_id, task.id))
        return [(task_id, where) for where, task_id in sorted(found)[:limit]]

    async def forget_submits(self, moment: float) -> None:
        """Forget the answers to submits from before ``moment``, and which of them are unanswered."""
        self._forget_submits(moment)

    def _forget_submits(self, moment: float) -> None:
        left = self._unanswered = {key: one for key, one in self._unanswered.items() if one.since >= moment}
        self._submits = {key: s for key, s in self._submits.items() if s.created_at >= moment or key in left}

    def _is_of(self, task: TaskRecord, group_id: str | None, time: str) -> bool:
        """Whether a task is of this group; None: of one that says nothing itself about this time."""
        group = self._groups.get(task.group_id)
        return task.group_id == group_id if group_id is not None else getattr(group, time, None) is None

    def _last_moment(self, task_id: str, task: TaskRecord) -> float:
        end = self._ends.get(task_id)
        return task.created_at if end is None else end.completed_at

    def _state(self, task_id: str) -> tuple[TaskState, float]:
        """Where a task is, and since when."""
        task, end, move = self._tasks[task_id], self._ends.get(task_id), self._moves.get(task_id)
        if end is not None:
            return end.state, end.completed_at
        return (task.state, task.created_at) if move is None else (move.state, move.at)

    def _view(self, task_id: str, *, with_end: bool = True) -> TaskView:
        task = self._tasks[task_id]
        state, since = self._state(task_id)
        return TaskView(
            id=task_id,
            group_id=task.group_id,
            owner_id=task.owner_id,
            endpoint_id=task.endpoint_id,
            user_endpoint_id=task.user_endpoint_id,
            function_id=task.function_id,
            state=state,
            created_at=task.created_at,
            finished=self._ends.get(task_id) if with_end else None,
            since=since,
            label=task.options.label,
        )

    def _listed(self, task: TaskRecord) -> ListedTask:
        function = self._functions.get(task.function_id)
        state, since = self._state(task.id)
        return ListedTask(
            id=task.id,
            state=state,
            since=since,
            created_at=task.created_at,
            group_id=task.group_id,
            endpoint_id=task.endpoint_id,
            function_id=task.function_id,
            function_name="" if function is None else function.name,
            label=task.options.label,
        )
