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
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import urlsplit

from afield.broker.base import Connection
from afield.errors import ConfigurationError
from afield.service.api.edge import Edge
from afield.service.api.server import HttpServer
from afield.service.auth.local import local_owner, service_secret
from afield.service.auth.oauth.keys import SigningKeys
from afield.service.auth.oauth.server import OAuth
from afield.service.auth.tokens import BearerTokens
from afield.service.broker import Broker, OwnBroker, RabbitBroker, check_broker
from afield.service.clock import Clock, SystemClock
from afield.service.domain.people import IdentityRecord, TokenKind
from afield.service.flows.beats import Beats
from afield.service.flows.duty import Duty, in_peace, on_duty
from afield.service.flows.feed import FeedTasks
from afield.service.flows.outages import Outages
from afield.service.flows.results import Results
from afield.service.flows.supervisor import Supervisor
from afield.service.flows.sweep import every
from afield.service.operate.health import Readiness
from afield.service.operate.meter import Meter
from afield.service.operate.operate import Operate
from afield.service.operate.parts import broker_part, loops_part, store_part
from afield.service.ports import bind, cannot_listen, is_everywhere
from afield.service.settings import EMBEDDED, Settings
from afield.service.store.base import Store
from afield.service.store.factory import is_postgres, open_store
from afield.service.together.base import Together
from afield.service.together.lives import Lives, OnlyLife
from afield.service.together.single import Single
from afield.service.use.assemble import Uses, assemble
from afield.service.use.records import Records

if TYPE_CHECKING:
    from afield.service.operate.metrics import Metrics

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
        self._meter = Meter(self._clock)
        self._stack: AsyncExitStack | None = None
        self._supervisor: Supervisor | None = None
        self._outages = Outages(self._clock, ride_out=False)
        self._uses: Uses | None = None

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

    async def unlock(self, endpoint_id: str) -> None:
        """Let an endpoint that was stopped from afar come back at once: whoever runs this service starts it again."""
        assert self._uses is not None
        await self._uses.endpoints.let_in(endpoint_id)

    async def stop(self) -> None:
        """Let nobody in any more, finish what is under way, close everything. Stopping twice is fine."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    async def _start(self, settings: Settings, stack: AsyncExitStack) -> Running:
        # First of all, so that a port that is taken is told before anything is touched.
        bound = bind(settings.host, settings.port)
        stack.callback(bound.close)
        check_broker(settings)
        store = await self._open_store(settings, stack)
        secret = service_secret(settings.data_dir)
        together = await self._join(settings, stack)
        records = Records(store, self._clock, together)
        tokens = BearerTokens(store, self._clock, together)
        owner = local_owner(secret, self._clock.now())
        await store.people.put_identity(owner)
        token = await tokens.issue(owner.id, "the person who runs this service", _TOKEN_LIFE_S, kind=TokenKind.SERVICE)
        oauth = self._oauth(settings, store, tokens, secret)
        self._let_in_from_elsewhere(settings, oauth, stack)
        duty = Duty(together, self._clock, settings.limits.watch_s)

        broker = await self._broker(settings, store, records, secret)
        stack.push_async_callback(broker.close)
        await broker.open()
        await broker.queues.prepare()
        uses = assemble(
            store, records, broker.queues, broker.in_flight, logins=broker.logins, clock=self._clock,
            limits=settings.limits, oauth=oauth, together=together, lives=await self._begin_life(settings, stack),
            handed_over=broker.kept.hand_over if broker.kept else lambda _: None,
        )  # fmt: skip
        self._uses = uses
        stack.push_async_callback(uses.repeats.close)
        if not broker.queues.survive:
            await uses.refill.everything()
        supervisor = self._supervisor = Supervisor()
        self._outages = Outages(self._clock, ride_out=settings.broker != EMBEDDED)
        stack.push_async_callback(supervisor.stop)
        await self._start_loops(supervisor, broker, uses, duty)
        prolong = partial(tokens.prolong, token, _TOKEN_LIFE_S)
        # In this order: what the service made for whoever runs it is prolonged before anything is forgotten.
        steps = (on_duty(together, uses.expire), prolong, on_duty(together, uses.forget_expired))
        supervisor.start("sweep", self._outages.ride(partial(every, settings.limits.sweep_s, self._clock, *steps)))

        await broker.let_in()
        operate = self._operate(settings, store, broker.connection)
        http = HttpServer(Edge(uses, tokens, operate), bound, settings.limits)
        stack.push_async_callback(http.stop)
        # Called before the above when it stops: an endpoint that is let in and then cut off would give up for good.
        stack.push_async_callback(broker.let_nobody_in)
        try:
            await http.start()
        except OSError as error:  # another service bound the port at the same moment, and was the first to listen
            raise cannot_listen(settings.host, settings.port, "--port", error) from error
        return _running(settings, bound, broker.url, token, owner)

    async def _join(self, settings: Settings, stack: AsyncExitStack) -> Together:
        """The other services on the same database, where the queues are elsewhere too."""
        if settings.broker == EMBEDDED or not is_postgres(settings.database):
            return Single()
        from afield.service.together.postgres import PostgresReplica

        assert settings.database is not None
        together = PostgresReplica(settings.database)
        stack.push_async_callback(together.close)
        await together.open()
        return together

    async def _begin_life(self, settings: Settings, stack: AsyncExitStack) -> Lives:
        """What tells the other services, where there may be any, that this one lives."""
        if settings.broker == EMBEDDED or not is_postgres(settings.database):
            return OnlyLife()
        from afield.service.together.postgres_lives import PostgresLives

        assert settings.database is not None
        lives = PostgresLives(settings.database)
        stack.push_async_callback(lives.close)
        await lives.open()
        return lives

    async def _broker(self, settings: Settings, store: Store, records: Records, secret: bytes) -> Broker:
        if settings.broker == EMBEDDED:
            return OwnBroker(settings, store, records, secret, self._clock)
        keys = SigningKeys(store.people, self._clock, secret)
        listed = await keys.listed()
        if len(await store.people.keys()) > len(listed["keys"]):
            raise ConfigurationError(
                f"{settings.data_dir} holds another secret than the other services on this database have: copy the "
                "file named secret from theirs"
            )
        return RabbitBroker(settings, store, records, secret, self._clock, sign=keys.sign)

    def _oauth(self, settings: Settings, store: Store, tokens: BearerTokens, secret: bytes) -> OAuth:
        return OAuth(
            store,
            self._clock,
            tokens,
            secret=secret,
            times=settings.sign_in,
            public_url=settings.public_url,
            proxies=settings.proxies,
        )

    def _let_in_from_elsewhere(self, settings: Settings, oauth: OAuth, stack: AsyncExitStack) -> None:
        if settings.providers:
            from afield.service.auth.upstream.outside import Outside

            outside = Outside(settings.providers, oauth.people, self._clock, settings.sign_in)
            stack.push_async_callback(outside.close)
            oauth.outside.update(outside.logins)

    def _operate(self, settings: Settings, store: Store, connection: Connection) -> Operate:
        assert self._supervisor is not None

        def metrics() -> Metrics:
            from afield.service.operate.metrics import Metrics

            return Metrics(metadata.version("afield"), store, connection, meter=self._meter, clock=self._clock)

        supervisor, outages = self._supervisor, self._outages
        loops = loops_part(lambda: [*supervisor.ended(), *outages.waiting])
        parts = [store_part(store), broker_part(connection), loops]
        return Operate(
            Readiness(parts),
            self._meter,
            metrics=metrics,
            metrics_for=settings.metrics,
            proxies=settings.proxies,
        )

    async def _open_store(self, settings: Settings, stack: AsyncExitStack) -> Store:
        # Services that share a database share no directory, unless somebody says so.
        files = settings.data_dir
        in_files = settings.broker == EMBEDDED or settings.data_dir_is_shared or not is_postgres(settings.database)
        store = self._store or open_store(
            settings.database or settings.data_dir,
            data_dir=files if in_files else None,
            connections=settings.database_connections,
        )
        await store.open()
        stack.push_async_callback(store.close)
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # a database elsewhere makes none
        return store

    async def _start_loops(self, supervisor: Supervisor, broker: Broker, uses: Uses, duty: Duty) -> None:
        connection, ride = broker.connection, self._outages.ride
        results = Results(connection, self._meter.counting(uses.finish), uses.notice)
        beats = Beats(connection, uses.beat)
        await results.inbox.open()
        await beats.inbox.open()
        supervisor.start("results", ride(results.run), results.inbox.close)
        supervisor.start("beats", ride(beats.run), beats.inbox.close)
        if broker.settled is not None:
            supervisor.start("settled", broker.settled.run())
            supervisor.start("taken", broker.settled.run_tasks())
        if broker.feed is not None:
            supervisor.start("feed", broker.feed.run())
            supervisor.start("feed again", every(uses.limits.watch_s, self._clock, broker.feed.look_around))
        if uses.keep.is_shared:
            supervisor.start("requests", ride(partial(every, 1.0, self._clock, uses.keep.tell_requests)))
        if broker.queues.held_back is not None:
            supervisor.start("feed tasks", FeedTasks(broker.queues, uses.refill).run())
        if broker.kept is None:
            looks = (uses.revive.look_around, uses.lose, uses.cancel.look_around, uses.depart)
            supervisor.start("revive", every(uses.limits.watch_s, self._clock, *looks))
            return
        uses.revive.look = duty.ask

        def came_back() -> None:
            uses.rounds.came_back()
            duty.ask()

        broker.came_back = came_back
        supervisor.start("kept", ride(broker.kept.run))
        own = (in_peace(uses.starter.forget_stale), in_peace(uses.rounds.retry))
        supervisor.start("stale", ride(partial(every, uses.limits.watch_s, self._clock, *own)))
        rounds = (uses.rounds, uses.depart, in_peace(uses.cancel.look_around), in_peace(broker.tidy))
        supervisor.start("duty", ride(partial(duty.run, *rounds)))


def _running(settings: Settings, bound: socket.socket, broker_url: str, token: str, owner: IdentityRecord) -> Running:
    port = bound.getsockname()[1]
    here = "127.0.0.1" if is_everywhere(settings.host) else settings.host
    here = f"[{here}]" if ":" in here else here
    amqp_port = urlsplit(broker_url).port or 5672
    is_other = settings.broker == EMBEDDED and settings.amqp_port not in {0, amqp_port}
    return Running(
        service_url=f"http://{here}:{port}",
        broker_url=broker_url,
        token=token,
        owner=owner,
        data_dir=settings.data_dir,
        port=port,
        amqp_port=amqp_port,
        stepped_over=settings.amqp_port if is_other else None,
    )
