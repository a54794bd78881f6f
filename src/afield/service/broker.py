"""SEAM: who carries the queues, for a service that is being put together.

Two ways. :class:`OwnBroker` is the embedded one: it lives in the service's process, asks it who may come in, tells it
what peers have taken, and forgets all when it ends. :class:`RabbitBroker` is a RabbitMQ elsewhere: it keeps its own
logins and queues, and several services share it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import unquote, urlsplit

from afield.broker.base import BrokerAdmin, Connection, Properties
from afield.broker.embedded.server import EmbeddedBroker
from afield.errors import ConfigurationError
from afield.service.auth.queue_logins import Logins, QueueLogins
from afield.service.auth.rabbit_logins import ManagedLogins, PeerAddress, RabbitLogins, Sign, TokenLogins
from afield.service.clock import Clock
from afield.service.domain import names
from afield.service.domain.backlog import Backlog
from afield.service.domain.held_back import HeldBack
from afield.service.flows.feed import Feed
from afield.service.flows.kept import Kept
from afield.service.flows.settled import Acknowledged, Settled
from afield.service.ports import is_everywhere, listen_for_queues, public_host
from afield.service.settings import EMBEDDED, Settings
from afield.service.store.base import Store
from afield.service.use.in_flight import InFlight
from afield.service.use.outage import is_outage
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.shared_flight import SharedFlight

__all__ = ["Broker", "OwnBroker", "RabbitBroker", "check_broker"]

logger = logging.getLogger(__name__)


class Broker(Protocol):
    """Who carries the queues."""

    #: with which the service publishes and reads
    connection: Connection
    queues: Queues
    logins: Logins
    in_flight: InFlight
    #: called when it was away and may have lost what it held
    came_back: Callable[[], None]
    #: what it tells the store; None: there is no such thing with this broker
    settled: Settled | None
    #: puts into queues what was left out of them; None: the broker holds all
    feed: Feed | None
    kept: Kept | None
    #: where it is, without a login; known when peers are let in
    url: str

    async def open(self) -> None:
        """Be ready for the service itself.

        :raises BrokerError: that cannot be
        """

    async def let_in(self) -> None:
        """Let peers in."""

    async def let_nobody_in(self) -> None:
        """Let nobody in any more, where that is in this service's hands."""

    async def tidy(self) -> None:
        """Remove logins that should let nobody in any more.

        :raises BrokerError: that cannot be done just now
        """

    async def close(self) -> None:
        """Tell the store what is known, and let go. Twice is fine."""


class OwnBroker:
    """The embedded broker."""

    def __init__(self, settings: Settings, store: Store, records: Records, secret: bytes, clock: Clock) -> None:
        self._settings = settings
        self.came_back: Callable[[], None] = _nothing  # it goes with the service
        logins = QueueLogins(secret, records, store.people, clock)
        self._reach = logins.reach
        self.logins: Logins = logins
        self.in_flight: InFlight = InFlight(store, settings.limits.grace_s)
        settled = Settled(store, records, self.in_flight, clock)
        self._flush = settled.flush
        self.settled: Settled | None = settled
        self.kept: Kept | None = None
        limits = settings.limits
        self._broker = EmbeddedBroker(
            logins.authenticate,
            handshakes=limits.queue_handshakes,
            handshakes_per_address=limits.queue_handshakes_per_address,
            connections=limits.queue_connections,
            on_settled=self._taken,
        )
        self._broker.leave_out(lambda queue: names.reader_of_queue(queue) is not None, self._has_ended)
        self.connection: Connection = self._broker.connect_local()
        backlog = Backlog(limits.group_queue_bytes)
        self.queues = Queues(
            self._broker,
            self.connection,
            clock,
            backlog=backlog,
            held_back=HeldBack(limits.endpoint_queue_bytes),
            gauge=self._broker,
        )
        self.feed: Feed | None = Feed(store, records, self.queues)
        self.port = 0
        self.url = ""

    def _has_ended(self, properties: Properties) -> bool:
        """Whether this is a task, in the published envelope, which its endpoint need not get any more."""
        task_id = properties.headers.get("task_uuid")
        return isinstance(task_id, str) and not self.in_flight.is_open(task_id)

    def _taken(self, queue: str, messages: Sequence[Acknowledged]) -> None:
        assert self.settled is not None
        assert self.feed is not None
        self.settled.taken(queue, messages)
        self.feed.taken(queue, messages)

    async def open(self) -> None:
        """It is there."""

    async def let_in(self) -> None:
        """Listen.

        :raises ConfigurationError: no port can be had
        """
        settings = self._settings
        self.port = await listen_for_queues(self._broker, settings.host, settings.amqp_port, settings.data_dir)
        self._reach(public_host(settings.public_host, settings.host), self.port)
        here = "127.0.0.1" if is_everywhere(settings.host) else settings.host
        self.url = f"amqp://[{here}]:{self.port}" if ":" in here else f"amqp://{here}:{self.port}"

    async def let_nobody_in(self) -> None:
        """Stop listening."""
        await self._broker.stop_listening()

    async def tidy(self) -> None:
        """There is no table of them."""

    async def close(self) -> None:
        """End it, and with it what it holds; the store has all of it."""
        await self._broker.close()
        await self._flush()


def _nothing() -> None:
    """Until somebody wants to know."""


class RabbitBroker:
    """A RabbitMQ.

    :param sign: makes tokens, where they are the logins
    :raises ConfigurationError: one of its addresses cannot be read
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        records: Records,
        secret: bytes,
        clock: Clock,
        *,
        sign: Sign,
    ) -> None:
        # Here, for a service with a broker of its own needs neither pika nor aiohttp.
        from afield.broker.rabbitmq.admin import RabbitAdmin
        from afield.broker.rabbitmq.api import ManagementApi, api_url
        from afield.broker.rabbitmq.steady import SteadyConnection

        parts = urlsplit(settings.broker)
        # As clients read it (the AMQP URI specification): no path and "/" alike are the default.
        vhost = unquote(parts.path[1:]) or "/"
        self._api = ManagementApi(settings.broker_api or api_url(settings.broker), vhost)
        address = PeerAddress(settings.broker, settings.broker_public_url)
        #: called when it was away and may have lost what it held
        self.came_back: Callable[[], None] = _nothing
        steady = SteadyConnection(settings.broker, came_back=self._came_back)
        self._connect = steady.open
        self.connection: Connection = steady
        self.in_flight: InFlight = SharedFlight(store, settings.limits.grace_s)
        self.settled: Settled | None = None
        self.feed: Feed | None = None
        kept = Kept(store, clock)
        self._flush = kept.flush
        self.kept: Kept | None = kept
        admin: BrokerAdmin = RabbitAdmin(steady.up, self._api, settings.queue_type)
        self.queues = Queues(admin, self.connection, clock, survive=settings.limits.retention_s, kept=kept.results)
        logins: RabbitLogins = (
            ManagedLogins(
                secret,
                records,
                store.people,
                clock,
                api=self._api,
                address=address,
                connections=settings.limits.queue_connections,
            )
            if settings.queue_logins == "management"
            else TokenLogins(sign, records, store.people, clock, api=self._api, address=address, vhost=vhost)
        )
        self._tidy = logins.tidy
        self.logins: Logins = logins
        self.url = address.without_login

    async def open(self) -> None:
        """Connect.

        :raises BrokerUnreachable: it, or its management API, does not answer
        :raises BrokerRefused: the login is wrong, or may not enough
        """
        await self._api.check()
        await self._connect()

    async def _came_back(self) -> None:
        await self.queues.prepare()
        self.came_back()

    async def let_in(self) -> None:
        """It lets in whoever has a login."""

    async def let_nobody_in(self) -> None:
        """Other services use it on."""

    async def tidy(self) -> None:
        """Remove users, or end connections."""
        await self._tidy()

    async def close(self) -> None:
        """Disconnect."""
        await self.connection.close()
        await self._api.close()
        try:
            await self._flush()
        except Exception as error:
            if not is_outage(error):
                raise
            # Whoever is on duty finds out (use/rounds.py).
            logger.warning("the store could not be told what the broker has taken: %s", error)


def check_broker(settings: Settings) -> None:
    """Make sure that who carries the queues is somebody who is known.

    :raises ConfigurationError: it is not
    """
    for option, said, choices in (
        ("--queue-type", settings.queue_type, ("classic", "quorum")),
        ("--queue-logins", settings.queue_logins, ("management", "oauth2")),
    ):
        if said not in choices:
            raise ConfigurationError(f"{option} {said} is not one of {', '.join(choices)}")
    if settings.broker == EMBEDDED:
        return
    try:
        known = urlsplit(settings.broker).scheme in ("amqp", "amqps") and bool(urlsplit(settings.broker).hostname)
    except ValueError:
        known = False
    if not known:
        # It may hold a password, so it is not repeated.
        raise ConfigurationError(
            "--broker names no broker that Afield knows: write embedded, or amqp://user:password@host:port/vhost"
        )
