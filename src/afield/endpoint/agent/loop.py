"""The hands of a user endpoint: it waits, and performs what :mod:`afield.endpoint.agent.core` decides.

::

    queues ──TasksArrived───►┌──────┐──Run──────► journal, then engine ──TasksFinished─┐
           ──CancelsArrived─►│      │──CancelJob► engine ──CancelImpossible────────────┤
    pipe   ──StopRequested──►│ core │──Publish──► queues ──BatchConfirmed──────────────┤
    clock  ──HeartbeatDue───►│      │──Keep─────► outbox ──BatchKept───────────────────┤
           ──PauseOver──────►│      │──Notify───► queues ──NoticesGone─────────────────┤
           ──LookDue────────►└──────┘──Acknowledge ► queues                            │
                                 ▲──────────────────────────────────────────────────────┘

All of it happens in one event loop, one event at a time; what blocks on a disk happens in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from afield.broker.base import Connector, Delivery
from afield.endpoint.agent import commands as do
from afield.endpoint.agent import events as on
from afield.endpoint.agent import heartbeat
from afield.endpoint.agent.audit import Audit
from afield.endpoint.agent.core import AgentCore
from afield.endpoint.agent.jobs import Jobs
from afield.endpoint.agent.journal import Journal
from afield.endpoint.agent.orders import Order, Refresh, Start, Stop
from afield.endpoint.agent.outbox import Outbox
from afield.endpoint.agent.outcomes import Outcomes, failure
from afield.endpoint.agent.queues import Queues
from afield.endpoint.agent.reading import read_cancels, read_tasks
from afield.endpoint.agent.sending import Sending
from afield.endpoint.agent.tasks import History, Policy
from afield.endpoint.agent.timers import Timers
from afield.endpoint.engines.base import Engine, NeverBegun
from afield.errors import BrokerError, ConfigurationError, WireError
from afield.wire import v2
from afield.wire.messages import Report, Result, Task

__all__ = ["Agent"]

logger = logging.getLogger("afield.endpoint")

#: How long after the first unsynced line the journal is synced, in seconds; see there.
_SYNC_AFTER_S: Final = 0.05
#: How long a goodbye may take, in seconds.
_GOODBYE_S: Final = 2.0
#: How long running tasks may go on when the broker has thrown us out, in seconds.
_REFUSED_GRACE_S: Final = 5.0


class Agent:
    """One user endpoint's process, apart from the pipe to its manager.

    :param start: what it was told
    :param engine: where tasks run
    :param connector: reaches the queues
    :param journal: which tasks were begun, in this life and before
    :param outbox: results that wait on the disk
    :param clock: unix time in seconds
    """

    def __init__(
        self,
        start: Start,
        engine: Engine,
        connector: Connector,
        journal: Journal,
        outbox: Outbox,
        *,
        audit: Audit | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._start, self._engine, self._journal, self._outbox = start, engine, journal, outbox
        self._clock, self._started_at = clock, clock()
        self._audit = audit
        settings = start.settings
        kept, complaints = outbox.load()
        for complaint in complaints:
            logger.error(complaint)
        #: tasks that earlier lives began, and of which they left no result
        self.cut_short = frozenset(journal.begun).difference(*kept.values())
        policy = Policy(
            frozenset(map(str.lower, settings.allowed_functions)) if settings.allowed_functions is not None else None,
            settings.idle_heartbeats_soft,
            settings.idle_heartbeats_hard,
            notices=start.credentials.control_queue_info is not None,
            retries_when_lost=settings.engine.max_retries_on_system_failure,
        )
        self._core = AgentCore(policy, History(journal.begun, journal.settled, kept))
        self._id = start.credentials.endpoint_id
        self._outcomes = Outcomes(self._id)
        self._queues = Queues(
            connector,
            start.credentials,
            on_up=lambda: self.feed(on.ConnectionUp()),
            on_delivery=self._delivered,
            on_control=self._cancels_delivered,
            on_down=lambda: self.feed(on.ConnectionDown()),
            on_refused=lambda why: self.stop(f"the broker refuses it: {why}", _REFUSED_GRACE_S),
        )
        self._sending = Sending(self._queues, outbox, self.feed)
        self._jobs = Jobs(settings.engine, Path(start.directory))
        self._capacity = -1
        self._done: list[tuple[str, asyncio.Future[bytes]]] = []
        self._events: deque[on.Event] = deque()
        self._feeding = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers = Timers()
        self._sync_due = False
        self._over: asyncio.Future[int] | None = None
        self._fault: ConfigurationError | None = None
        #: called after each turn in which something happened, for whoever shows how it is
        self.changed: Callable[[], None] = lambda: None
        self._hands = self._performers()

    async def run(self) -> int:
        """Work until it is time to end; the exit status.

        :raises ConfigurationError: the engine cannot work here as it is configured, or the disk takes no journal
        :raises OSError: what was on the disk cannot be read again
        """
        self._over = asyncio.get_running_loop().create_future()
        try:
            await self._engine.start()
            self._look_at_capacity()
            self._queues.start()
            self._timers.every(self._start.settings.heartbeat_period, lambda: self.feed(on.HeartbeatDue()))
            code = await self._over
        finally:
            await self._close()
        if self._fault is not None:
            raise self._fault
        return code

    def ordered(self, order: Order) -> None:
        """The manager says something."""
        match order:
            case Refresh(credentials):
                self._queues.refresh(credentials)
            case Stop(why, grace_s):
                self.stop(why, grace_s)
            case Start():
                logger.warning("the manager said twice to start; the second time was ignored")

    def stop(self, why: str, grace_s: float) -> None:
        """End, giving running tasks this many seconds."""
        self.feed(on.StopRequested(why, grace_s))

    def feed(self, event: on.Event) -> None:
        """Something happened. What it leads to has been begun when this returns."""
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events:
                for command in self._core.handle(self._events.popleft()):
                    self._hands[type(command)](command)
        except OSError as error:
            # The outbox is on a disk that refuses to forget.
            self._fail(error)
        finally:
            self._feeding = False
        self.changed()

    def _performers(self) -> dict[type, Callable[[Any], None]]:
        """What performs each kind of command."""
        return {
            do.Run: self._run,
            do.CancelJob: self._cancel_job,
            do.StartPause: lambda c: self._timers.later(c.seconds, lambda: self.feed(on.PauseOver(c.task_id, c.begun))),
            do.StartLook: lambda command: self._timers.later(command.seconds, self._look),
            do.Notify: lambda command: self._spawn(self._sending.notices(command.notices)),
            do.AcknowledgeCancels: lambda command: self._queues.acknowledge_control(command.tags),
            do.Publish: self._publish,
            do.PublishKept: lambda command: self._spawn(self._sending.kept(command.number)),
            do.Keep: lambda command: self._spawn(self._sending.keep(command.number, command.results)),
            do.DropKept: lambda command: self._outbox.drop(command.number),
            do.MarkSettled: self._mark_settled,
            do.MarkNeverBegun: lambda command: self._journal.mark_never_begun(command.task_ids),
            do.Acknowledge: self._acknowledge,
            do.SendHeartbeat: lambda _: self._spawn(self._heartbeat()),
            do.StartGrace: lambda command: self._timers.later(command.seconds, lambda: self.feed(on.GraceOver())),
            do.StartFlush: lambda command: self._timers.later(command.seconds, lambda: self.feed(on.FlushOver())),
            do.StopEngine: lambda _: self._spawn(self._stop_engine()),
            do.SayGoodbye: lambda _: self._spawn(self._goodbye()),
            do.Exit: lambda command: self._end(command.code),
            do.Tell: lambda command: logger.log(logging.WARNING if command.alarm else logging.INFO, command.text),
        }

    # --- in

    def _delivered(self, delivery: Delivery) -> None:
        self._look_at_capacity()
        event = read_tasks(delivery)
        if self._audit is not None and isinstance(event, on.TasksArrived):
            self._audit.received(event.tasks)
        self.feed(event)

    def _cancels_delivered(self, delivery: Delivery) -> None:
        try:
            event = read_cancels(delivery)
        except WireError as error:
            logger.warning("a message of the control queue was dropped: %s", error)
            self._queues.acknowledge_control([delivery.tag])
        else:
            self.feed(event)

    def _finished(self, task_id: str, future: asyncio.Future[bytes]) -> None:
        self._done.append((task_id, future))
        if len(self._done) == 1:  # with what else finishes in this turn of the loop
            asyncio.get_running_loop().call_soon(self._collect)

    def _collect(self) -> None:
        done, self._done = self._done, []
        results: list[Result] = []
        never_begun: list[Result] = []
        kinds: dict[str, Sequence[str]] = {}
        for task_id, future in done:
            untouched = future.cancelled() or isinstance(future.exception(), NeverBegun)
            result, classes = self._outcomes.of(task_id, future)
            (never_begun if untouched else results).append(result)
            if classes:
                kinds[task_id] = classes
        self._look_at_capacity()
        if self._audit is not None:
            self._audit.ended(results)
        if done:
            self.feed(on.TasksFinished(results, never_begun, kinds, self._now()))

    def _look_at_capacity(self) -> None:
        capacity = self._engine.capacity
        if capacity != self._capacity:
            self._capacity = capacity
            self.feed(on.CapacityIs(capacity))

    # --- out

    def _run(self, command: do.Run) -> None:
        try:
            self._journal.mark_begun([task.task_id for task in command.tasks])
        except OSError as error:
            self._cannot_begin(command.tasks, error)
            return
        self._sync_soon()
        if self._audit is not None:
            self._audit.handed(command.tasks)
        refused: list[Result] = []
        for task in command.tasks:
            try:
                future = self._engine.submit(self._jobs.of(task))
            except ConfigurationError as error:
                refused.append(failure(task.task_id, error))
            else:
                future.add_done_callback(partial(self._finished, task.task_id))
        if refused:
            self.feed(on.TasksFinished(refused))
        # What waits for something rare makes room for others, and nothing else may happen for long.
        self._look_at_capacity()

    def _cancel_job(self, command: do.CancelJob) -> None:
        task_id = command.task_id
        if not command.running and task_id in self._engine.running():
            self.feed(on.CancelImpossible(task_id, "", self._now()))
        elif why := self._engine.cancel(task_id):
            self.feed(on.CancelImpossible(task_id, why, self._now()))

    def _cannot_begin(self, tasks: Sequence[Task], error: OSError) -> None:
        """What is not written down as begun must not begin. What runs may end, and its results may go out."""
        why = f"the journal {self._journal.path} cannot be written: {error.strerror or error}"
        self._fault = ConfigurationError(f"{why}. Make room or mend it: tasks wait until then")
        self.stop(why, _REFUSED_GRACE_S)
        self.feed(on.TasksFinished((), [failure(task.task_id, error) for task in tasks]))

    def _publish(self, command: do.Publish) -> None:
        if self._audit is not None:
            self._audit.ended(command.results)
        self._spawn(self._sending.results(command.number, v2.encode_results(command.results)))

    def _mark_settled(self, command: do.MarkSettled) -> None:
        self._journal.mark_settled(command.task_ids)
        if self._journal.long:
            self._journal.compact(*self._core.names())

    def _acknowledge(self, command: do.Acknowledge) -> None:
        for tag in command.tags:
            self._queues.acknowledge(tag)

    async def _heartbeat(self) -> None:
        try:
            await self._queues.send_report(self._report(active=True))
        except BrokerError as error:
            logger.info("a heartbeat could not be sent: %s", error)

    async def _goodbye(self) -> None:
        if self._fault is not None:  # the manager tells it, and why; a goodbye would have us started again at once
            self.feed(on.GoodbyeSaid())
            return
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._queues.send_report(self._report(active=False))
        except (BrokerError, TimeoutError) as error:
            logger.info("the goodbye could not be sent: %s", error)
        self.feed(on.GoodbyeSaid())

    def state(self, *, active: bool = True) -> dict[str, Any]:
        """What it says of itself in its heartbeats."""
        return heartbeat.state(
            self._start,
            self._engine.status(),
            waiting=self._core.waiting,
            unfinished=self._core.unfinished,
            started_at=self._started_at,
            active=active,
        )

    def _report(self, *, active: bool) -> Report:
        return Report(self._id, self.state(active=active))

    async def _stop_engine(self) -> None:
        await self._engine.stop(0.0)
        # The futures are resolved now, and their callbacks are in the loop's line ahead of us.
        await asyncio.sleep(0)
        self._collect()
        self.feed(on.EngineStopped())

    # --- time

    def _now(self) -> int:
        return int(self._clock() * 1e9)

    def _look(self) -> None:
        self.feed(on.LookDue(self._engine.running(), self._now()))

    def _sync_soon(self) -> None:
        if not self._sync_due:
            self._sync_due = True
            self._timers.later(_SYNC_AFTER_S, lambda: self._spawn(self._sync()))

    async def _sync(self) -> None:
        self._sync_due = False
        await asyncio.to_thread(self._journal.sync)

    # --- the end

    def _end(self, code: int) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(code)

    def _fail(self, error: Exception) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_exception(error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    async def _close(self) -> None:
        self._timers.cancel()
        # A connection that ends in good order has brought over every acknowledgement.
        certain = self._queues.connected
        names = self._core.names(certain=certain)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._queues.close()
        await self._engine.stop(0.0)
        self._journal.compact(*names)
        self._journal.close()
