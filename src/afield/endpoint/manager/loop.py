"""The hands of a manager: it waits, and performs what :mod:`afield.endpoint.manager.core` decides."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from afield.broker.base import Connection, Connector, Consumer, Delivery
from afield.broker.link import Link
from afield.endpoint.agent.orders import Refresh, Start
from afield.endpoint.agent.timers import Timers
from afield.endpoint.host.credentials import one_url, with_port, with_port_everywhere
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.host.registration import Registered
from afield.endpoint.host.report import facts, local_identity
from afield.endpoint.host.runaway import RunawayFile
from afield.endpoint.host.standing import Standing
from afield.endpoint.manager import commands as do
from afield.endpoint.manager import events as on
from afield.endpoint.manager.accounts import Tenant
from afield.endpoint.manager.audit import AuditPipe, Audits
from afield.endpoint.manager.core import KILL_AFTER_S, ManagerCore
from afield.endpoint.manager.errand import errand_for, rendered, under
from afield.endpoint.manager.lending import Lending, rules_for_tasks
from afield.endpoint.manager.owner import below, user_environment
from afield.endpoint.manager.reports import Reports
from afield.endpoint.manager.runaway import Runaways
from afield.endpoint.manager.spawn import COMMAND, Child, UserProcess
from afield.endpoint.manager.tenancy import NoAccount, Tenancy
from afield.endpoint.settings import ManagerSettings
from afield.errors import BrokerRefused, ComputeError, ConfigurationError
from afield.wire.commands import StartCommand

__all__ = ["STOP_GRACE_S", "Manager"]

logger = logging.getLogger("afield.endpoint")

#: How long running tasks may go on when the endpoint is stopped, in seconds.
STOP_GRACE_S: Final = 5.0


class Manager:
    """An endpoint that is registered, ready to run. It may live in any event loop, beside other things.

    :param directory: its files
    :param settings: what its owner decided
    :param registered: what the service said
    :param connector: reaches the queues
    :param command: how user endpoints are started
    :param clock: unix time in seconds
    """

    def __init__(
        self,
        directory: EndpointDirectory,
        settings: ManagerSettings,
        registered: Registered,
        connector: Connector,
        *,
        command: Sequence[str] = COMMAND,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory, self._settings, self._registered = directory, settings, registered
        self._command, self._clock = tuple(command), clock
        #: set when the service can know that it is here, and it hears the service
        self.ready = asyncio.Event()
        self._tenancy = Tenancy.of(directory, settings, registered.endpoint_id, clock)
        # Asked before anything runs: a name service that hangs would stop all of it.
        self._own_identity, self._facts = local_identity(), {**facts(), "endpoint_id": registered.endpoint_id}
        self._stopped = RunawayFile(directory.path)
        runaways = Runaways(settings.start_deaths_most, settings.start_proven_after, settings.start_pause)
        runaways.restore(self._stopped.load())
        self._core = ManagerCore(
            registered.owners,
            settings.mu_child_ep_grace_period_s,
            maps=self._tenancy is not None,
            lending=Lending(settings.lending),
            runaways=runaways,
            most=settings.user_endpoints_most,
        )
        self._audits = Audits.of(directory, settings, clock, self._audit_failed)
        self._children: dict[str, UserProcess] = {}
        self._reports = Reports(registered, settings, connector)
        self._consumer: Consumer | None = None
        self._events: deque[on.Event] = deque()
        self._feeding = False
        self._greeted = False  # the service has had a heartbeat
        self._works: set[asyncio.Task[None]] = set()
        self._timers = Timers()
        self._fault: ComputeError | None = None
        self._over = asyncio.Event()
        queues = registered.queues
        url = one_url(queues.command_queue_info.connection_url, queues.heartbeat_queue_info.connection_url)
        self._url = with_port(url, settings.amqp_port)
        #: for whoever shows how it is
        self.standing = Standing(registered.endpoint_id, self._url, clock)
        self._link = Link(connector, self._address, on_up=self._up, on_down=self._down)
        self._link.finished.add_done_callback(self._thrown_out)
        self._hands = self._performers()

    @property
    def endpoint_id(self) -> str:
        """As the service knows it."""
        return self._registered.endpoint_id

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; then end every user endpoint, say goodbye and return.

        Cancelling it ends everything too, without words.

        :raises BrokerRefused: the service has thrown this endpoint out: it was deleted, or is locked
        :raises ConfigurationError: the audit log cannot be written any more
        """
        stopping = asyncio.create_task(self._stop_when(stop), name="endpoint-stop")
        self._link.start()
        self._timers.every(self._settings.heartbeat_period, lambda: self.feed(on.HeartbeatDue()))
        try:
            await self._over.wait()
            if self._works:  # reports for others, each of which has its own limit
                await asyncio.wait(self._works)
        finally:
            stopping.cancel()
            await self._close()
        if self._fault is not None:
            raise self._fault

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
        finally:
            self._feeding = False

    def _performers(self) -> dict[type, Callable[[Any], None]]:
        """What performs each kind of command."""
        return {
            do.Acknowledge: self._acknowledge,
            do.Identify: lambda command: self._work(self._identify(command.command)),
            do.KeepStopped: lambda command: self._stopped.keep(command.stopped),
            do.Spawn: self._spawn,
            do.RefreshCredentials: self._refresh,
            do.ReportFailure: self._report_failure,
            do.ReportGone: lambda command: self._work(self._reports.gone(command)),
            do.SendHeartbeat: lambda _: self._work(self._heartbeat()),
            do.StopChild: self._stop_child,
            do.StopChildren: self._stop_children,
            do.StartGrace: self._start_grace,
            do.KillChildren: lambda _: self._kill_children(),
            do.SayGoodbye: lambda _: self._work(self._goodbye()),
            do.Exit: lambda _: self._over.set(),
            do.Tell: lambda command: logger.info(command.text),
        }

    async def _stop_when(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.feed(on.StopRequested("it was told to", STOP_GRACE_S))

    # --- queues

    async def _address(self) -> str:
        return self._url

    async def _up(self, connection: Connection) -> None:
        self._reports.connection = connection
        self.feed(on.ConnectionUp())
        queue = self._registered.queues.command_queue_info.queue
        self._consumer = await connection.consume(queue, self._delivered)
        self.standing.connected()
        self._perhaps_ready()

    def _down(self, reason: str) -> None:
        self._reports.connection = self._consumer = None
        self.standing.lost(reason)
        self.feed(on.ConnectionDown())

    def _thrown_out(self, finished: asyncio.Future[None]) -> None:
        why = finished.exception() if not finished.cancelled() else None
        if why is None:
            return
        self._fault = BrokerRefused(
            f"the service does not let endpoint {self.endpoint_id} in any more: it was deleted, stopped from elsewhere "
            f"or replaced by another instance ({why}). Start it again to register anew"
        )
        self.feed(on.StopRequested("the service does not let it in any more", STOP_GRACE_S))

    def _delivered(self, delivery: Delivery) -> None:
        if self._stopped.was_cleared():
            self.feed(on.Cleared())
        properties = delivery.properties
        self.feed(
            on.CommandArrived(delivery.tag, delivery.body, properties.content_type, properties.timestamp, self._clock())
        )

    def _acknowledge(self, command: do.Acknowledge) -> None:
        if self._consumer is not None:
            self._consumer.ack(command.tag)

    async def _heartbeat(self) -> None:
        if await self._reports.heartbeat():
            self._greeted = True
            self._perhaps_ready()

    def _perhaps_ready(self) -> None:
        if self._greeted and self._consumer is not None:
            self.ready.set()

    async def _goodbye(self) -> None:
        await self._reports.goodbye()
        self.feed(on.GoodbyeSaid())

    def _report_failure(self, command: do.ReportFailure) -> None:
        self.standing.failed(command.text)
        self._work(self._reports.failure(command))

    # --- user endpoints

    async def _identify(self, command: StartCommand) -> None:
        """Find out for whose account a command is."""
        assert self._tenancy is not None
        tenant, why, lost = None, "", False
        try:
            tenant = await self._tenancy.identify(command)
        except Exception as error:  # noqa: BLE001 - who could not be identified must not pass for somebody
            why, lost = _why(error), isinstance(error, NoAccount)
        self.feed(on.Identified(command, tenant, why, self._clock(), lost))

    def _spawn(self, command: do.Spawn) -> None:
        name = command.command.kwargs.name
        child: UserProcess
        try:
            if command.tenant is None or self._tenancy is None:
                start, environment = self._prepared(command.command)
                place, log = Path(start.directory), self._log_of(name)
                child = Child(start, log)
            else:
                child, environment = self._tenancy.lodger(command.command, command.tenant), {}
                home = Path(command.tenant.account.home)
                # What lies in there is never looked at with this process's rights; people are told where it is.
                place, log = self._directory.child(name), home / ".afield" / name / "agent.log"
            pipe = None if self._audits is None else self._audits.listen(child, command.command, command.tenant)
        except Exception as error:  # noqa: BLE001 - whatever it is, what does not run must not pass for running
            self.feed(on.StartFailed(name, _why(error)))
        else:
            self._children[name] = child  # from now on it can be told things
            user = command.command.globus_username
            self.standing.child_started(name, place, log, user, lambda: child.pid)
            self._work(self._run_child(name, child, environment, command.tenant, pipe))

    def _audit_failed(self, error: ConfigurationError) -> None:
        self._fault = error
        self.feed(on.StopRequested(str(error), 0.0))

    async def _run_child(
        self,
        name: str,
        child: UserProcess,
        environment: Mapping[str, str],
        tenant: Tenant | None,
        pipe: AuditPipe | None,
    ) -> None:
        """One user endpoint, from its start to its end."""
        event: on.Event
        try:
            if tenant is not None and self._tenancy is not None:
                await self._tenancy.check(tenant)
            code = await child.run(environment, self._command)
        except ConfigurationError as error:
            event = on.StartFailed(name, _why(error))
        except Exception as error:  # noqa: BLE001 - as above
            event = on.StartFailed(name, f"{self._command[0]} could not be started: {_why(error)}")
        else:
            event = on.ChildExited(name, code, await self._tail(child) if code else "", self._clock())
        finally:
            if pipe is not None:
                pipe.close()
            del self._children[name]
            self.standing.child_ended(name)
        self.feed(event)

    async def _tail(self, child: UserProcess) -> str:
        """The end of its log. That there is none to be had must not keep its end from being known."""
        try:
            return await child.tail()
        except Exception as error:  # noqa: BLE001 - as above
            return f"the end of its log cannot be shown: {_why(error)}"

    def _prepared(self, command: StartCommand) -> tuple[Start, Mapping[str, str]]:
        """What a user endpoint is told, and its environment."""
        options = command.kwargs
        made = rendered(errand_for(self._directory, self._settings, command), self._own_identity)
        for warning in made.warnings:
            logger.warning("%s: %s", options.name, warning)
        lent = not self._core.is_owners(command)
        settings = under(made.settings, self._settings, lent=lent)
        place = self._directory.child(options.name)
        place.mkdir(mode=0o700, exist_ok=True)
        own = with_port_everywhere(options.amqp_creds, self._settings.amqp_port)
        rules = rules_for_tasks(self._settings.lending) if lent else None
        person = command.globus_effective_identity
        start = Start(options.name, str(place), settings, own, self._facts, dict(made.places), rules, person)
        return start, user_environment(self._directory)

    def _log_of(self, name: str) -> Path:
        if self._settings.log_dir is None:
            return self._directory.child(name) / "agent.log"
        place = below(self._directory, self._settings.log_dir)
        place.mkdir(parents=True, exist_ok=True)
        return place / f"{name}.log"

    def _stop_child(self, command: do.StopChild) -> None:
        child = self._children.get(command.name)
        if child is not None:
            child.stop(command.why, command.grace_s)
            self._timers.later(command.grace_s + KILL_AFTER_S, child.kill)

    def _refresh(self, command: do.RefreshCredentials) -> None:
        child = self._children.get(command.name)
        if child is not None:
            child.say(Refresh(with_port_everywhere(command.credentials, self._settings.amqp_port)))

    def _stop_children(self, command: do.StopChildren) -> None:
        for child in self._children.values():
            child.stop(command.why, command.grace_s)

    def _kill_children(self) -> None:
        for child in self._children.values():
            child.kill()

    # --- time and end

    def _start_grace(self, command: do.StartGrace) -> None:
        self._timers.later(command.seconds, lambda: self.feed(on.GraceOver()))

    def _work(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._works.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._works.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the endpoint has a fault and goes on", exc_info=error)

    async def _close(self) -> None:
        self._timers.cancel()
        self._kill_children()
        works = list(self._works)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        await self._link.close()
        if self._audits is not None:
            self._audits.close()


def _why(error: Exception) -> str:
    """For whoever submits; a fault of ours goes to the log with all its places."""
    if isinstance(error, ComputeError | OSError):
        return str(error).strip()
    logger.error("the endpoint has a fault and goes on", exc_info=error)
    return f"{type(error).__name__}: {error}"
