"""PURE: what a user endpoint does about what happens to it. Events in, commands out; no clock, no socket, no disk.

Theory. A task goes through four places: waiting, with the engine, finished, settled. It only goes forward, but for one
that failed and may run again (:mod:`afield.endpoint.agent.tasks` holds the drawing).

Rules:

1. A delivery is acknowledged when every task in it is settled, never earlier. So a broker puts back whatever an agent
   that dies has not settled (:mod:`afield.endpoint.agent.ledger`).
2. A task is handed to the engine once, in whatever life, unless its submitter allowed retries
   (:mod:`afield.endpoint.agent.retries`). Before that it is written down as begun. One that comes again and was begun
   by an earlier life, which left no result, may have run: it runs again if it may, else it fails with EndpointLost.
3. The engine gets as many unfinished tasks as keep it busy; the rest waits here and is not begun.
4. Results go out at once. Few messages are under way at a time; what finishes meanwhile goes with the next. There is
   no timer.
5. What cannot be sent goes to the disk; before the process ends, everything that is not confirmed is there
   (:mod:`afield.endpoint.agent.dispatch`).
6. What somebody wants cancelled ends wherever it is, and one that is not here ends when it comes
   (:mod:`afield.endpoint.agent.wishes`).
7. It ends when it is told to, or when nothing happens for long: first no new task is begun, then running ones have
   their grace, then results have theirs, then it says goodbye.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

from afield.endpoint.agent import commands as do
from afield.endpoint.agent import events as on
from afield.endpoint.agent.dispatch import Dispatch
from afield.endpoint.agent.tasks import History, Policy, Tasks, acknowledge

__all__ = ["FLUSH_S", "AgentCore"]

#: How long results may take to be sent when everything else has ended, in seconds; afterwards they stay on disk.
FLUSH_S: Final = 5.0


_NOTHING: Final = History()


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

    def __init__(self, policy: Policy, history: History = _NOTHING) -> None:
        self._policy = policy
        self._dispatch = Dispatch(history.kept)
        self._tasks = tasks = Tasks(policy, history, self._dispatch)
        self._connected_now = False
        self._life = _Life.RUNNING
        self._why = ""
        self._flush_over = False
        self._still = 0  # heartbeats since anything moved
        self._handlers: dict[type, Callable[[Any], list[do.Command]]] = {
            on.ConnectionUp: self._connected,
            on.ConnectionDown: self._disconnected,
            on.TasksArrived: tasks.arrived,
            on.MalformedArrived: tasks.malformed,
            on.CancelsArrived: tasks.cancels,
            on.CancelImpossible: tasks.cancel_impossible,
            on.CapacityIs: tasks.capacity_is,
            on.TasksFinished: tasks.finished,
            on.PauseOver: tasks.pause_over,
            on.LookDue: tasks.look,
            on.NoticesGone: tasks.notices_gone,
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
        """Tasks that are here and not with the engine."""
        return self._tasks.waiting

    @property
    def unfinished(self) -> int:
        """Tasks that are here, begun or not, and have no result."""
        return self._tasks.waiting + self._tasks.handed

    def names(self, *, certain: bool = False) -> tuple[dict[str, int], list[str]]:
        """The tasks that matter to a later life: how often each was begun that has no safe result; and settled ones.

        :param certain: every acknowledgement has arrived
        """
        return self._tasks.names(certain=certain)

    def handle(self, event: on.Event) -> list[do.Command]:
        """What to do about ``event``, in this order."""
        commands = self._handlers[type(event)](event)
        commands += self._tasks.next()
        commands += self._dispatch.next()
        commands += self._advance()
        return commands

    # --- the connection

    def _connected(self, _: on.ConnectionUp) -> list[do.Command]:
        self._connected_now = True
        self._dispatch.open = not self._flush_over
        self._tasks.connected()
        return [do.SendHeartbeat()] if self._life < _Life.LEAVING else []

    def _disconnected(self, _: on.ConnectionDown) -> list[do.Command]:
        self._connected_now = False
        self._dispatch.open = False
        self._tasks.disconnected()
        return []

    # --- results

    def _confirmed(self, event: on.BatchConfirmed) -> list[do.Command]:
        ids, drop = self._dispatch.confirmed(event.number)
        settled, tags = self._tasks.ledger.settle(ids)
        commands: list[do.Command] = []
        if settled:
            self._tasks.moved = True
            self._tasks.settled(settled)
            commands.append(do.MarkSettled(settled))
        if drop:  # after the mark: so no life finds neither mark nor result
            commands.append(do.DropKept(event.number))
        return commands + acknowledge(tags)

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
        self._still = 0 if self._tasks.moved else self._still + 1
        self._tasks.moved = False
        soft, hard = self._policy.idle_soft, self._policy.idle_hard
        if not soft or self._life != _Life.RUNNING:
            return beat
        if not len(self._tasks.ledger) and self._still >= soft:
            return beat + self._begin_end(f"no task came for {self._still} heartbeats", 0.0)
        if len(self._tasks.ledger) and self._still >= max(hard, soft + 1):
            return beat + self._begin_end(f"tasks are here, but none moved for {self._still} heartbeats", 0.0)
        return beat

    # --- the end

    def _stop(self, event: on.StopRequested) -> list[do.Command]:
        return self._begin_end(event.why, event.grace_s) if self._life == _Life.RUNNING else []

    def _begin_end(self, why: str, grace_s: float) -> list[do.Command]:
        self._life, self._why = _Life.DRAINING, why
        handed, waiting = self._tasks.handed, self._tasks.waiting
        tell = do.Tell(f"ending, because {why}: {handed} tasks are running, {waiting} stay queued")
        self._tasks.begin_end()
        return [tell, do.StartGrace(grace_s)] if handed else [tell]

    def _grace_over(self, _: on.GraceOver) -> list[do.Command]:
        return self._end_engine() if self._life == _Life.DRAINING else []

    def _end_engine(self) -> list[do.Command]:
        self._life = _Life.STOPPING_ENGINE
        self._tasks.stopped = self._why
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
        if self._life == _Life.DRAINING and not self._tasks.handed:
            return self._end_engine()
        hopeless = self._flush_over and not self._dispatch.disk
        if self._life == _Life.FLUSHING and (hopeless or not self._dispatch.busy):
            self._life = _Life.LEAVING
            lost = self._dispatch.unsafe
            text = f"{lost} results can be neither sent nor written to the disk, and are lost with this process"
            return [do.Tell(text, alarm=True), do.SayGoodbye()] if lost else [do.SayGoodbye()]
        return []
