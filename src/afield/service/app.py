"""The composition: the one place where concrete classes meet. A service starts here, and stops in good order.

The order of starting is the order of what may happen next: the store first; then the queues, filled from it; then the
loops that read them; then endpoints are let in, and last of all clients. It stops the other way round: nobody new is
let in, what is under way is finished, then the queues, then the store.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from afield.broker.base import Connection
from afield.broker.embedded.server import EmbeddedBroker
from afield.service.api.edge import Edge
from afield.service.api.server import HttpServer
from afield.service.auth.local import local_owner, service_secret
from afield.service.auth.queue_logins import QueueLogins
from afield.service.auth.tokens import BearerTokens
from afield.service.clock import Clock, SystemClock
from afield.service.domain.people import IdentityRecord
from afield.service.flows.beats import Beats
from afield.service.flows.results import Results
from afield.service.flows.settled import Settled
from afield.service.flows.supervisor import Supervisor
from afield.service.flows.sweep import every
from afield.service.ports import bind, cannot_listen, is_everywhere, listen_for_queues
from afield.service.settings import Settings
from afield.service.store.base import Store
from afield.service.store.factory import open_store
from afield.service.use.assemble import Uses, assemble
from afield.service.use.in_flight import InFlight
from afield.service.use.queues import Queues
from afield.service.use.records import Records

__all__ = ["Running", "Service"]

#: The owner's token is new at each start. Older ones live on for a while, in seconds, so that programs that were
#: running find the service again after it was killed.
_TOKEN_LIFE_S: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Running:
    """A service that is up.

    :param service_url: for clients on this machine
    :param broker_url: of the queues, without a login
    :param token: lets its holder in as the owner; only its hash is kept
    :param owner: the person who runs the service
    :param data_dir: where everything is kept
    :param port: for HTTP
    :param amqp_port: for the queues
    :param stepped_over: the port for the queues that was asked for and is another program's; None: it is ours
    """

    service_url: str
    broker_url: str
    token: str
    owner: IdentityRecord
    data_dir: Path
    port: int
    amqp_port: int
    stepped_over: int | None


class Service:
    """One service, from start to stop, in the running event loop.

    ::

        service = Service()
        running = await service.start(Settings(data_dir=Path("data")))
        ...
        await service.stop()

    :param clock: the time
    :param store: where records are kept; None: where the settings say
    """

    def __init__(self, clock: Clock | None = None, store: Store | None = None) -> None:
        self._clock = clock or SystemClock()
        self._store = store
        self._stack: AsyncExitStack | None = None
        self._supervisor: Supervisor | None = None

    async def start(self, settings: Settings) -> Running:
        """Be up when this returns.

        :raises ConfigurationError: an address cannot be had, or the database is none that is known
        :raises DataDirectoryError: the data directory cannot be used
        """
        async with AsyncExitStack() as stack:
            running = await self._start(settings, stack)
            self._stack = stack.pop_all()
        return running

    async def failed(self) -> NoReturn:
        """Wait for ever, or until a part of the service fails, and raise that; the service is then to be stopped."""
        assert self._supervisor is not None
        raise await asyncio.shield(self._supervisor.failed)

    async def stop(self) -> None:
        """Let nobody in any more, finish what is under way, close everything. Stopping twice is fine."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    async def _start(self, settings: Settings, stack: AsyncExitStack) -> Running:
        # First of all, so that a port that is taken is told before anything is touched.
        bound = bind(settings.host, settings.port)
        stack.callback(bound.close)
        store = await self._open_store(settings, stack)
        secret = service_secret(settings.data_dir)
        records = Records(store, self._clock)
        logins = QueueLogins(secret, records, self._clock)
        tokens = BearerTokens(store, self._clock)
        owner = local_owner(secret, self._clock.now())
        await store.people.put_identity(owner)
        token = await tokens.issue(owner.id, "the person who runs this service", _TOKEN_LIFE_S)

        in_flight = InFlight(store)
        settled = Settled(store, in_flight, self._clock)
        stack.push_async_callback(settled.flush)
        broker = EmbeddedBroker(logins.authenticate, on_settled=settled.taken)
        stack.push_async_callback(broker.close)
        connection = broker.connect_local()
        queues = Queues(broker, connection, self._clock)
        await queues.prepare()
        uses = assemble(store, records, queues, in_flight, logins=logins, clock=self._clock, limits=settings.limits)
        await uses.refill.everything()
        supervisor = self._supervisor = Supervisor()
        stack.push_async_callback(supervisor.stop)
        await self._start_loops(supervisor, connection, uses)
        supervisor.start("settled", settled.run())
        prolong = partial(tokens.prolong, token, _TOKEN_LIFE_S)
        supervisor.start("sweep", every(settings.limits.sweep_s, self._clock, uses.expire, prolong))

        amqp_port = await listen_for_queues(broker, settings.host, settings.amqp_port, settings.data_dir)
        logins.reach(_public_host(settings), amqp_port)
        http = HttpServer(Edge(uses, tokens), bound, settings.limits.goodbye_s)
        stack.push_async_callback(http.stop)
        # Called before the above when it stops: an endpoint that is let in and then cut off would give up for good.
        stack.push_async_callback(broker.stop_listening)
        try:
            await http.start()
        except OSError as error:  # another service bound the port at the same moment, and was the first to listen
            raise cannot_listen(settings.host, settings.port, "--port", error) from error
        return _running(settings, bound, amqp_port, token, owner)

    async def _open_store(self, settings: Settings, stack: AsyncExitStack) -> Store:
        store = self._store or open_store(settings.database or settings.data_dir, data_dir=settings.data_dir)
        await store.open()
        stack.push_async_callback(store.close)
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # a database elsewhere makes none
        return store

    async def _start_loops(self, supervisor: Supervisor, connection: Connection, uses: Uses) -> None:
        results, beats = Results(connection, uses.finish, uses.notice), Beats(connection, uses.beat)
        await results.inbox.open()
        await beats.inbox.open()
        supervisor.start("results", results.run(), results.inbox.close)
        supervisor.start("beats", beats.run(), beats.inbox.close)
        looks = (uses.revive.look_around, uses.lose, uses.cancel.look_around)
        supervisor.start("revive", every(uses.limits.watch_s, self._clock, *looks))


def _public_host(settings: Settings) -> str:
    if settings.public_host:
        return settings.public_host
    return socket.gethostname() if is_everywhere(settings.host) else settings.host


def _running(settings: Settings, bound: socket.socket, amqp_port: int, token: str, owner: IdentityRecord) -> Running:
    port = bound.getsockname()[1]
    here = "127.0.0.1" if is_everywhere(settings.host) else settings.host
    here = f"[{here}]" if ":" in here else here
    return Running(
        service_url=f"http://{here}:{port}",
        broker_url=f"amqp://{here}:{amqp_port}",
        token=token,
        owner=owner,
        data_dir=settings.data_dir,
        port=port,
        amqp_port=amqp_port,
        stepped_over=settings.amqp_port if settings.amqp_port not in {0, amqp_port} else None,
    )
