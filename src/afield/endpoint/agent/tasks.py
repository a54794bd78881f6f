"""PURE: the tasks of an agent, from their arrival to their results. A part of :mod:`afield.endpoint.agent.core`.

::

    arrived ─► waiting ─────► with the engine ─► finished ─► settled
              (memory)        (begun, on disk)   (result)    (result confirmed, delivery acknowledged)
                 ▲                   │                ▲
                 └── after a pause ──┘ failed, and    │ cancelled
                                       may run again ─┘

Whatever may go wrong with a task is decided by the first of these that applies: somebody wants it cancelled; it was
begun and may not be again; its function may not run here; it failed and may run again; it failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from afield.endpoint.agent import commands as do
from afield.endpoint.agent import events as on
from afield.endpoint.agent.dispatch import Dispatch
from afield.endpoint.agent.endings import cancelled, failed, lost, not_allowed
from afield.endpoint.agent.ledger import Ledger, Phase
from afield.endpoint.agent.line import Line
from afield.endpoint.agent.looks import EVERY_S, Looks
from afield.endpoint.agent.retries import Retries
from afield.endpoint.agent.wishes import Wishes
from afield.states import TaskState
from afield.wire.messages import Cancel, Notice, Result, Task

__all__ = ["History", "Policy", "Tasks"]


#: When tasks are cancelled that were begun and do not run, for people.
_AFTER: Final = "after the endpoint's process that began it had ended"
_BETWEEN: Final = "between two attempts"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the owner of the machine decided.

    :param allowed_functions: ids of the only functions that may run; None: all
    :param idle_soft: end after so many heartbeats without a task; 0: never
    :param idle_hard: end after so many heartbeats in which nothing moved though there are tasks
    :param notices: the service wants to hear where unfinished tasks are
    :param retries_when_lost: how often any task runs again whose worker or endpoint was lost
    """

    allowed_functions: frozenset[str] | None = None
    idle_soft: int = 10
    idle_hard: int = 5760
    notices: bool = False
    retries_when_lost: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """What earlier lives left on disk.

    :param begun: tasks that were handed to an engine and of which no result is known, and how often they were
    :param settled: tasks whose results are safe
    :param kept: results on disk: number of the batch -> its task ids
    """

    begun: Mapping[str, int] = field(default_factory=dict)
    settled: tuple[str, ...] = ()
    kept: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class Tasks:
    """Decides about the tasks of one agent.

    :param dispatch: takes their results
    """

    def __init__(self, policy: Policy, history: History, dispatch: Dispatch) -> None:
        self._allowed = policy.allowed_functions
        self._dispatch = dispatch
        #: which are here, and under which deliveries
        self.ledger = Ledger(history.settled)
        kept = {task_id for ids in history.kept.values() for task_id in ids}
        for task_id in kept:
            self.ledger.add(None, task_id, Phase.FINISHED)
        self._begun_before = {task_id: count for task_id, count in history.begun.items() if task_id not in kept}
        self._line = Line()
        self._retries = Retries(policy.retries_when_lost)
        self._wishes = Wishes()
        self._looks = Looks(on=policy.notices)
        self._capacity = 0
        #: how many the engine has
        self.handed = 0
        #: whether anything moved; whoever looks at it may set it back
        self.moved = False
        #: false: nothing new begins, as this agent ends
        self.accepting = True
        #: why the engine is being stopped; empty: it is not
        self.stopped = ""

    @property
    def waiting(self) -> int:
        """How many are here and not with the engine."""
        return len(self._line) + self._retries.paused

    def names(self, *, certain: bool = False) -> tuple[dict[str, int], list[str]]:
        """The tasks that matter to a later life: how often each was begun that has no safe result; and settled ones.

        :param certain: every acknowledgement has arrived
        """
        held, settled = self.ledger.names(certain=certain)
        begun = dict(self._begun_before)
        for task_id in held:
            if self.ledger.phase(task_id) != Phase.WAITING:
                begun.setdefault(task_id, 1)
        begun.update(self._retries.counts())
        return dict(sorted(begun.items())), settled

    def next(self) -> list[do.Command]:
        """What follows from all that happened."""
        commands: list[do.Command] = []
        free = self._capacity - self.handed
        if free > 0 and self._line and self.accepting:
            commands.append(self._hand_over(free))
        if self._wishes.answered:
            commands.append(do.AcknowledgeCancels(self._wishes.answered))
            self._wishes.answered = []
        if self._looks.open and self._looks.due(self.handed):
            commands.append(do.StartLook(EVERY_S))
        return commands

    def _hand_over(self, free: int) -> do.Run:
        tasks = self._line.take(free)
        for task in tasks:
            self.ledger.move(task.task_id, Phase.HANDED)
            self._retries.begins(task)
        self.handed += len(tasks)
        return do.Run(tasks)

    def begin_end(self) -> None:
        """Begin nothing more: what is not with the engine is left to a later life."""
        self.accepting = self._looks.open = False
        self._line.clear()
        self._retries.give_up_pauses()

    # --- the connection

    def connected(self) -> None:
        """Tags begin anew, and nobody knows which notices arrived."""
        if self.accepting:
            held, _ = self.ledger.names()
            self._looks.start_over(task_id for task_id in held if self.ledger.phase(task_id) != Phase.FINISHED)

    def disconnected(self) -> None:
        """Every tag is void."""
        self._looks.open = False
        self.ledger.disconnect()
        self._wishes.disconnect()

    # --- tasks come

    def capacity_is(self, event: on.CapacityIs) -> list[do.Command]:
        """The engine takes more or less."""
        self._capacity = event.count
        return []

    def arrived(self, event: on.TasksArrived) -> list[do.Command]:
        """Tasks came."""
        self.moved = True
        tag, ledger = event.tag, self.ledger
        # Nearly always there is nothing to look up; a call for each task to find that out would be a tenth of its cost.
        all_run = self.accepting and self._allowed is None and not self._begun_before and not self._wishes.open
        fresh: list[str] = []
        ledger.begin_delivery(tag)
        for task in event.tasks:
            task_id = task.task_id
            if ledger.came_again(tag, task_id):
                continue
            if not all_run and not self.accepting:
                ledger.leave(tag)
            elif not all_run and (ending := self._ending(task)) is not None:
                ledger.add(tag, task_id, Phase.FINISHED)
                self._dispatch.add(ending)
            else:
                ledger.add(tag, task_id, Phase.WAITING)
                self._line.add(task)
                fresh.append(task_id)
        self._looks.waits(fresh)
        return acknowledge(ledger.end_delivery(tag))

    def _ending(self, task: Task) -> Result | None:
        """Why a task that just came does not run, as its result; None: it does."""
        task_id = task.task_id
        begun = self._begun_before.get(task_id, 0)
        if self._wishes.open and (wish := self._wishes.wants(task_id)) is not None:
            if wish.running or not begun:
                self._wishes.here(task_id)
                return cancelled(task_id, _AFTER) if begun else cancelled(task_id)
            self._wishes.answer((task_id,))
        if begun and not self._retries.revive(task, begun):
            return lost(task_id, "the endpoint's process ended", begun)
        if self._allowed is not None and task.function_id.lower() not in self._allowed:
            return not_allowed(task_id, task.function_id)
        return None

    def malformed(self, event: on.MalformedArrived) -> list[do.Command]:
        """Something came that is no task."""
        tell = do.Tell(f"a message that is not a task came and was dropped: {event.why}")
        self.ledger.begin_delivery(event.tag)
        if event.task_id and not self.ledger.came_again(event.tag, event.task_id):
            self.ledger.add(event.tag, event.task_id, Phase.FINISHED)
            self._wishes.here(event.task_id)
            text = f"task {event.task_id} came to the endpoint in a form that it cannot read: {event.why}"
            self._dispatch.add(failed(event.task_id, "MalformedTask", text))
        return [tell, *acknowledge(self.ledger.end_delivery(event.tag))]

    # --- tasks end

    def finished(self, event: on.TasksFinished) -> list[do.Command]:
        """The engine is done with some."""
        self.moved = True
        commands: list[do.Command] = []
        results = event.results
        if event.never_begun:
            # An engine that could not begin a task tells why, and whoever sent it should hear it. But when it could
            # not because this endpoint ends, the task may as well run later.
            if self.accepting:
                results = (*results, *event.never_begun)
            else:
                commands += self._given_back(event.never_begun)
        if self._looks.told:
            self._looks.ended(result.task_id for result in results)
        ledger, tries = self.ledger, self._retries.tries
        for result in results:
            task_id = result.task_id
            if ledger.phase(task_id) is not Phase.HANDED:
                continue
            self.handed -= 1
            if result.error is not None:
                commands += self._failed(result, event)
            elif tries:
                self._end(result)
            else:  # the usual case
                ledger.move(task_id, Phase.FINISHED)
                self._dispatch.add(result)
        return commands

    def _given_back(self, results: Sequence[Result]) -> list[do.Command]:
        task_ids = [result.task_id for result in results if self.ledger.phase(result.task_id) == Phase.HANDED]
        for task_id in task_ids:
            self.handed -= 1
            self.ledger.give_back(task_id)
            self._retries.untouched(task_id)
        return [do.MarkNeverBegun(task_ids)] if task_ids else []

    def _failed(self, result: Result, event: on.TasksFinished) -> list[do.Command]:
        task_id = result.task_id
        if not self._retries.may_follow(result, event.kinds.get(task_id, ())):
            self._end(self._explained(result))
            return []
        if (wish := self._wishes.wants(task_id)) is not None:
            if wish.running:
                self._retries.failed(result, event.at)
                self._end(cancelled(task_id, _BETWEEN))
                return []
            self._wishes.answer((task_id,))  # it had begun
        if not self.accepting:
            self.ledger.give_back(task_id)  # a later life knows from the disk how often it was begun
            return []
        self._retries.failed(result, event.at)
        self.ledger.move(task_id, Phase.WAITING)
        self._looks.waits_again(task_id)
        return [do.StartPause(task_id, self._retries.begun(task_id), self._retries.pause(task_id))]

    def _explained(self, result: Result) -> Result:
        """A worker that was lost because this endpoint ends is not a lost worker."""
        if self.stopped and result.error is not None and result.error.code == "WorkerLost":
            how = f"the endpoint was stopped ({self.stopped})"
            return lost(result.task_id, how, self._retries.begun(result.task_id))
        return result

    def _end(self, result: Result) -> None:
        self.ledger.move(result.task_id, Phase.FINISHED)
        self._dispatch.add(self._retries.told(result) if self._retries.tries else result)

    def pause_over(self, event: on.PauseOver) -> list[do.Command]:
        """A task waits for the engine again."""
        if self._retries.begun(event.task_id) == event.begun:
            task = self._retries.resume(event.task_id)
            if task is not None:
                self.moved = True
                self._line.add(task)
        return []

    def settled(self, task_ids: Sequence[str]) -> None:
        """The results of these are safe."""
        if self._wishes.open:
            self._wishes.answer(task_ids)
        if self._retries.tries:
            self._retries.forget(task_ids)
        if self._begun_before:
            for task_id in task_ids:
                self._begun_before.pop(task_id, None)

    # --- tasks are cancelled

    def cancels(self, event: on.CancelsArrived) -> list[do.Command]:
        """Somebody wants tasks ended."""
        commands: list[do.Command] = []
        self._wishes.begin_delivery(event.tag)
        for cancel in event.cancels:
            commands += self._cancel(event.tag, cancel)
        self._wishes.end_delivery(event.tag)
        return commands

    def _cancel(self, tag: int, cancel: Cancel) -> list[do.Command]:
        task_id = cancel.task_id
        phase = self.ledger.phase(task_id)
        if phase is None and self.ledger.settled(task_id):
            return []
        begun = self._retries.begun(task_id)
        if phase is Phase.WAITING and begun and not cancel.running:
            return []
        wish = self._wishes.add(tag, cancel, early=phase is None)
        if phase is Phase.HANDED:
            return [do.CancelJob(task_id, wish.running)]
        if phase is Phase.WAITING and self.accepting:
            self._line.remove(task_id)
            self._retries.resume(task_id)
            self._end(cancelled(task_id, _BETWEEN) if begun else cancelled(task_id))
        return []

    def cancel_impossible(self, event: on.CancelImpossible) -> list[do.Command]:
        """The engine goes on with one."""
        task_id = event.task_id
        self._wishes.answer((task_id,))
        if not event.why or self.ledger.phase(task_id) != Phase.HANDED:
            return []
        attempt = max(self._retries.begun(task_id), 1)
        return [do.Notify([Notice(task_id, TaskState.RUNNING, event.at, attempt, event.why)])]

    # --- what is told of them

    def look(self, event: on.LookDue) -> list[do.Command]:
        """Say where they are."""
        if not self._looks.open:
            self._looks.missed()
            return []
        notices = self._looks.tell(event.running, event.at, self.ledger.phase, self._retries.begun)
        return [do.Notify(notices)] if notices else []

    def notices_gone(self, _: on.NoticesGone) -> list[do.Command]:
        """There may be another look."""
        self._looks.gone()
        return []


def acknowledge(tags: Sequence[int]) -> list[do.Command]:
    """These deliveries, if there are any."""
    return [do.Acknowledge(tags)] if tags else []
