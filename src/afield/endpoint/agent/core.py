"""PURE: what a user endpoint does about what happens to it. Events in, commands out; no clock, no socket, no disk.

Theory. A task goes through four places, and only forward::

    arrived ─► waiting ─► with the engine ─► finished ─► settled
              (memory)    (begun, on disk)   (result)    (result confirmed, delivery acknowledged)

Rules:

1. A delivery is acknowledged when every task in it is settled, never earlier. So a broker puts back whatever an agent
   that dies has not settled (:mod:`afield.endpoint.agent.ledger`).
2. A task is handed to the engine once, in whatever life. Before that it is written down as begun. One that comes again
   and was begun by an earlier life, which left no result, may have run: it fails with EndpointLost.
3. The engine gets as many unfinished tasks as keep it busy; the rest waits here and is not begun.
4. Results go out at once. Few messages are under way at a time; what finishes meanwhile goes with the next. There is
   no timer.
5. What cannot be sent goes to the disk; before the process ends, everything that is not confirmed is there
   (:mod:`afield.endpoint.agent.dispatch`).
6. It ends when it is told to, or when nothing happens for long: first no new task is begun, then running ones have
   their grace, then results have theirs, then it says goodbye.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from afield.endpoint.agent import commands as do
from afield.endpoint.agent import events as on
from afield.endpoint.agent.dispatch import Dispatch
from afield.endpoint.agent.ledger import Ledger, Phase
from afield.wire.messages import ErrorDetails, Result, Task

__all__ = ["FLUSH_S", "AgentCore", "History", "Policy"]

#: How long results may take to be sent when everything else has ended, in seconds; afterwards they stay on disk.
FLUSH_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What the owner of the machine decided.

    :param allowed_functions: ids of the only functions that may run; None: all
    :param idle_soft: end after so many heartbeats without a task; 0: never
    :param idle_hard: end after so many heartbeats in which nothing moved though there are tasks
    """

    allowed_functions: frozenset[str] | None = None
    idle_soft: int = 10
    idle_hard: int = 5760


@dataclass(frozen=True, slots=True)
class History:
    """What earlier lives left on disk.

    :param begun: tasks that were handed to an engine and of which no result is known
    :param settled: tasks whose results are safe
    :param kept: results on disk: number of the batch -> its task ids
    """

    begun: frozenset[str] = frozenset()
    settled: tuple[str, ...] = ()
    kept: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class _Life(IntEnum):
    RUNNING = 0
    DRAINING = 1  #: nothing new begins; running tasks have their grace
    STOPPING_ENGINE = 2
    FLUSHING = 3  #: results have theirs
    LEAVING = 4  #: goodbye is under way
    GONE = 5


class AgentCore:
    """Decides for one user endpoint.

    :param policy: what its owner decided
    :param history: what its earlier lives left
    """

    def __init__(self, policy: Policy, history: History = History()) -> None:
        self._policy = policy
        self._ledger = Ledger(history.settled)
        kept = {task_id for ids in history.kept.values() for task_id in ids}
        for task_id in kept:
            self._ledger.add(None, task_id, Phase.FINISHED)
        self._begun_before = history.begun - kept
        self._dispatch = Dispatch(history.kept)
        self._waiting: deque[Task] = deque()
        self._handed = 0
        self._capacity = 0
        self._connected_now = False
        self._life = _Life.RUNNING
        self._why = ""
        self._flush_over = False
        self._moved = False
        self._still = 0  # heartbeats since anything moved
        self._handlers: dict[type, Callable[[Any], list[do.Command]]] = {
            on.ConnectionUp: self._connected,
            on.ConnectionDown: self._disconnected,
            on.TasksArrived: self._arrived,
            on.MalformedArrived: self._malformed,
            on.CapacityIs: self._capacity_is,
            on.TasksFinished: self._finished,
            on.BatchConfirmed: self._confirmed,
            on.BatchFailed: self._failed,
            on.BatchKept: self._kept,
            on.BatchNotKept: self._not_kept,
            on.HeartbeatDue: self._heartbeat,
            on.StopRequested: self._stop,
            on.GraceOver: self._grace_over,
            on.EngineStopped: self._engine_stopped,
            on.FlushOver: self._flush_is_over,
            on.GoodbyeSaid: self._goodbye_said,
        }

    @property
    def waiting(self) -> int:
        """Tasks that are here and not begun."""
        return len(self._waiting)

    @property
    def unfinished(self) -> int:
        """Tasks that are here, begun or not, and have no result."""
        return len(self._waiting) + self._handed

    def names(self, *, certain: bool = False) -> tuple[list[str], list[str]]:
        """Ids of the tasks that matter to a later life: begun or finished ones, and settled ones.

        :param certain: every acknowledgement has arrived
        """
        held, settled = self._ledger.names(certain=certain)
        begun = {task_id for task_id in held if self._ledger.phase(task_id) != Phase.WAITING}
        begun.update(task_id for task_id in self._begun_before if not self._ledger.settled(task_id))
        return sorted(begun), settled

    def handle(self, event: on.Event) -> list[do.Command]:
        """What to do about ``event``, in this order."""
        commands = self._handlers[type(event)](event)
        commands += self._hand_over()
        commands += self._dispatch.next()
        commands += self._advance()
        return commands

    # --- the connection

    def _connected(self, _: on.ConnectionUp) -> list[do.Command]:
        self._connected_now = True
        self._dispatch.open = not self._flush_over
        return [do.SendHeartbeat()] if self._life < _Life.LEAVING else []

    def _disconnected(self, _: on.ConnectionDown) -> list[do.Command]:
        self._connected_now = False
        self._dispatch.open = False
        self._ledger.disconnect()
        return []

    # --- tasks

    def _arrived(self, event: on.TasksArrived) -> list[do.Command]:
        self._moved = True
        tag, ledger = event.tag, self._ledger
        ledger.begin_delivery(tag)
        for task in event.tasks:
            if ledger.came_again(tag, task.task_id):
                continue
            if self._life != _Life.RUNNING:
                ledger.leave(tag)
            elif (refusal := self._refusal(task)) is not None:
                ledger.add(tag, task.task_id, Phase.FINISHED)
                self._dispatch.add(refusal)
            else:
                ledger.add(tag, task.task_id, Phase.WAITING)
                self._waiting.append(task)
        return _acknowledge(ledger.end_delivery(tag))

    def _refusal(self, task: Task) -> Result | None:
        """Why a task that just came does not run, as its result; None: it does."""
        if task.task_id in self._begun_before:
            return _lost(task.task_id, "the endpoint's process ended")
        allowed = self._policy.allowed_functions
        if allowed is not None and task.function_id.lower() not in allowed:
            return _failure(
                task.task_id,
                "FUNCTION_NOT_ALLOWED",
                f"function {task.function_id} may not run on this endpoint: its owner allows only certain functions. "
                "Ask the owner to add it to allowed_functions, or use another endpoint.",
            )
        return None

    def _malformed(self, event: on.MalformedArrived) -> list[do.Command]:
        tell = do.Tell(f"a message that is not a task came and was dropped: {event.why}")
        self._ledger.begin_delivery(event.tag)
        if event.task_id and not self._ledger.came_again(event.tag, event.task_id):
            self._ledger.add(event.tag, event.task_id, Phase.FINISHED)
            text = f"task {event.task_id} came to the endpoint in a form that it cannot read: {event.why}"
            self._dispatch.add(_failure(event.task_id, "MalformedTask", text))
        return [tell, *_acknowledge(self._ledger.end_delivery(event.tag))]

    def _capacity_is(self, event: on.CapacityIs) -> list[do.Command]:
        self._capacity = event.count
        return []

    def _hand_over(self) -> list[do.Command]:
        free = self._capacity - self._handed
        if free <= 0 or not self._waiting or self._life != _Life.RUNNING:
            return []
        tasks = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        for task in tasks:
            self._ledger.move(task.task_id, Phase.HANDED)
        self._handed += len(tasks)
        return [do.Run(tasks)]

    def _finished(self, event: on.TasksFinished) -> list[do.Command]:
        self._moved = True
        # An engine that could not begin a task tells why, and whoever sent it should hear it. But when it could not
        # because this endpoint ends, the task may as well run later.
        ending = self._life != _Life.RUNNING
        for result in event.results if ending else (*event.results, *event.never_begun):
            if self._ledger.phase(result.task_id) == Phase.HANDED:
                self._handed -= 1
                self._ledger.move(result.task_id, Phase.FINISHED)
                self._dispatch.add(self._explained(result))
        untouched = [result.task_id for result in event.never_begun] if ending else []
        given_back = [task_id for task_id in untouched if self._ledger.phase(task_id) == Phase.HANDED]
        for task_id in given_back:
            self._handed -= 1
            self._ledger.give_back(task_id)
        return [do.MarkNeverBegun(given_back)] if given_back else []

    def _explained(self, result: Result) -> Result:
        """A worker that was lost because this endpoint ends is not a lost worker."""
        if self._life >= _Life.STOPPING_ENGINE and result.error is not None and result.error.code == "WorkerLost":
            return _lost(result.task_id, f"the endpoint was stopped ({self._why})")
        return result

    # --- results

    def _confirmed(self, event: on.BatchConfirmed) -> list[do.Command]:
        ids, drop = self._dispatch.confirmed(event.number)
        settled, tags = self._ledger.settle(ids)
        commands: list[do.Command] = []
        if settled:
            self._moved = True
            commands.append(do.MarkSettled(settled))
        if drop:  # after the mark: so no life finds neither mark nor result
            commands.append(do.DropKept(event.number))
        return commands + _acknowledge(tags)

    def _failed(self, event: on.BatchFailed) -> list[do.Command]:
        self._dispatch.failed(event.number)
        return []

    def _kept(self, event: on.BatchKept) -> list[do.Command]:
        self._dispatch.kept(event.number)
        return []

    def _not_kept(self, event: on.BatchNotKept) -> list[do.Command]:
        self._dispatch.not_kept(event.number)
        return [do.Tell(f"results cannot be written to the disk and stay in memory: {event.why}", alarm=True)]

    # --- time

    def _heartbeat(self, _: on.HeartbeatDue) -> list[do.Command]:
        beat: list[do.Command] = [do.SendHeartbeat()] if self._connected_now and self._life < _Life.LEAVING else []
        self._dispatch.disk = True  # if it refused, it is asked once in a heartbeat
        self._still = 0 if self._moved else self._still + 1
        self._moved = False
        soft, hard = self._policy.idle_soft, self._policy.idle_hard
        if not soft or self._life != _Life.RUNNING:
            return beat
        if not len(self._ledger) and self._still >= soft:
            return beat + self._begin_end(f"no task came for {self._still} heartbeats", 0.0)
        if len(self._ledger) and self._still >= max(hard, soft + 1):
            return beat + self._begin_end(f"tasks are here, but none moved for {self._still} heartbeats", 0.0)
        return beat

    # --- the end

    def _stop(self, event: on.StopRequested) -> list[do.Command]:
        return self._begin_end(event.why, event.grace_s) if self._life == _Life.RUNNING else []

    def _begin_end(self, why: str, grace_s: float) -> list[do.Command]:
        self._life, self._why = _Life.DRAINING, why
        tell = do.Tell(f"ending, because {why}: {self._handed} tasks are running, {len(self._waiting)} stay queued")
        self._waiting.clear()
        return [tell, do.StartGrace(grace_s)] if self._handed else [tell]

    def _grace_over(self, _: on.GraceOver) -> list[do.Command]:
        return self._end_engine() if self._life == _Life.DRAINING else []

    def _end_engine(self) -> list[do.Command]:
        self._life = _Life.STOPPING_ENGINE
        return [do.StopEngine()]

    def _engine_stopped(self, _: on.EngineStopped) -> list[do.Command]:
        self._life = _Life.FLUSHING
        return [do.StartFlush(FLUSH_S)] if self._dispatch.busy else []

    def _flush_is_over(self, _: on.FlushOver) -> list[do.Command]:
        self._flush_over = True
        self._dispatch.give_up()
        self._dispatch.disk = True  # the last time that it is asked
        return []

    def _goodbye_said(self, _: on.GoodbyeSaid) -> list[do.Command]:
        self._life = _Life.GONE
        return [do.Exit(0)]

    def _advance(self) -> list[do.Command]:
        if self._life == _Life.DRAINING and not self._handed:
            return self._end_engine()
        hopeless = self._flush_over and not self._dispatch.disk
        if self._life == _Life.FLUSHING and (hopeless or not self._dispatch.busy):
            self._life = _Life.LEAVING
            lost = self._dispatch.unsafe
            text = f"{lost} results can be neither sent nor written to the disk, and are lost with this process"
            return [do.Tell(text, alarm=True), do.SayGoodbye()] if lost else [do.SayGoodbye()]
        return []


def _acknowledge(tags: Sequence[int]) -> list[do.Command]:
    return [do.Acknowledge(tags)] if tags else []


def _failure(task_id: str, code: str, text: str) -> Result:
    return Result(task_id=task_id, data=text.encode(), error=ErrorDetails(code, text))


def _lost(task_id: str, how: str) -> Result:
    text = (
        f"{how} while task {task_id} may have been running. It is not run again, for it may have had effects "
        "already. Submit it again if running it twice does no harm."
    )
    return _failure(task_id, "EndpointLost", text)
