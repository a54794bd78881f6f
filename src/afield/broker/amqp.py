"""AMQP 0-9-1 for whoever connects: the only client of it in the system, on pika.

Everything that is pika's and not AMQP's stays in this file and in ``amqp_channels``. Each purpose has a channel of its
own, because a fault closes the whole channel it happened on: one for publishing, one for each consumer, one for each
check.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pika
from pika import exceptions
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel

from afield.broker.amqp_channels import AmqpConsumer, Publisher, refusal
from afield.broker.amqp_frames import SturdyConnection
from afield.broker.amqp_tunnel import Tunnelled, proxy_from_environment
from afield.broker.base import NotSent, OnDelivery, Publication
from afield.broker.tls import CA_FILE, own_context
from afield.errors import BrokerRefused, BrokerUnreachable

__all__ = ["AmqpConnection", "AmqpConnector", "redact"]

logger = logging.getLogger("afield.broker")

if logging.getLogger("pika").level == logging.NOTSET:
    # pika logs each failed connection as several errors, with traces. All of it reaches our callers as one exception.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def redact(url: str) -> str:
    """The URL without its password, for messages and logs."""
    try:
        parts = urlsplit(url)
        if parts.password is None:
            return url
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(an unreadable URL)"
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))


class AmqpConnector:
    """A :class:`~afield.broker.base.Connector` for ``amqp://`` and ``amqps://``.

    ``amqps`` verifies the broker as :mod:`afield.broker.tls` says. What pika reads in the query of a URL
    (``heartbeat``, ``ssl_options``, …) works here too. ``AFIELD_AMQP_PROXY`` names an HTTP proxy to go through, see
    :mod:`afield.broker.amqp_tunnel`; without it, the way is direct.

    :param farewell_s: how long a broker may take to agree when a connection is closed, in seconds
    """

    def __init__(self, *, farewell_s: float = 5.0) -> None:
        self._farewell_s = farewell_s

    async def connect(self, url: str) -> AmqpConnection:
        """Connect and log in; see :meth:`afield.broker.base.Connector.connect`.

        :raises BrokerUnreachable: nobody listens, or it hung up
        :raises BrokerRefused: the login is wrong, or the URL is none
        :raises ConfigurationError: the proxy or the certificates that the environment names cannot be used
        """
        loop = asyncio.get_running_loop()
        try:
            if urlsplit(url).scheme not in ("amqp", "amqps"):
                raise ValueError("it begins with neither amqp:// nor amqps://")  # noqa: TRY301 - said below, like all of it
            parameters = pika.URLParameters(url)
        except (ValueError, TypeError, SyntaxError) as error:
            raise BrokerRefused(f"{redact(url)} is not the URL of a broker: {error}") from error
        if parameters.ssl_options is not None and "ssl_options" not in urlsplit(url).query:
            context = own_context()
            if context is not None:
                parameters.ssl_options = pika.SSLOptions(context, parameters.host)
        proxy = proxy_from_environment()
        services = loop if proxy is None else Tunnelled(loop, proxy, parameters.host, parameters.port)
        opened: asyncio.Future[None] = loop.create_future()

        def on_open(fresh: AsyncioConnection) -> None:
            if opened.done():
                fresh.close()  # whoever wanted it was cancelled
            else:
                opened.set_result(None)

        def on_error(_: object, error: BaseException) -> None:
            if not opened.done():
                opened.set_exception(_cannot_connect(redact(url), error))

        raw = SturdyConnection(parameters, on_open, on_error, custom_ioloop=services)
        connection = AmqpConnection(redact(url), raw, loop, self._farewell_s)
        try:
            await opened
        except asyncio.CancelledError:
            _abandon(raw)
            raise
        return connection


def _abandon(raw: AsyncioConnection) -> None:
    """Stop connecting.

    In the middle of a handshake all of pika's own ways out raise in a later callback, where nobody can catch it (1.4).
    The broker hanging up is something that it can take; so that is what it gets to see.
    """
    transport = raw._transport  # noqa: SLF001 - there is no other way to it
    if transport is None:
        if not raw.is_closing and not raw.is_closed:
            raw.close()
        return
    with suppress(OSError):  # not connected any more
        transport._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001


def _cannot_connect(url: str, error: object) -> Exception:
    for cause in _causes(error):
        if isinstance(cause, exceptions.AuthenticationError) or _says_refused(cause):
            return BrokerRefused(f"the broker at {url} refused the login: wrong user name or password, or revoked")
    text = f"no connection to the broker at {url}: {_text(error)}"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        text += (
            f". If your institution signs its own certificates, name the file with its root: {CA_FILE}=/path/to/ca.pem"
        )
    return BrokerUnreachable(text)


def _says_refused(error: object) -> bool:
    """To pika every end before the login is through is a "probable" refusal, also that of a broker which is killed or
    stopped just then. One that refuses says 403.
    """
    return isinstance(error, exceptions.ProbableAuthenticationError) and "(403)" in str(error)


def _causes(error: object) -> Iterator[object]:
    """What pika has wrapped, innermost last: a host may have several addresses, each of which failed in its way."""
    for inner in _wrapped(error):
        yield from _causes(inner)
    yield error


def _wrapped(error: object) -> list[BaseException]:
    """What pika has wrapped in an error, in one of its three ways."""
    within = (*getattr(error, "exceptions", ()), getattr(error, "exception", None), *getattr(error, "args", ()))
    return [inner for inner in within if isinstance(inner, BaseException)]


def _text(error: object) -> str:
    """What pika's error says, without its wrappings."""
    inner = _wrapped(error)
    if inner:
        return _text(inner[-1])
    return str(error) or type(error).__name__


class AmqpConnection:
    """A :class:`~afield.broker.base.Connection` over pika; made by :class:`AmqpConnector`.

    :param url: where it goes, without the password
    :param farewell_s: see there
    """

    def __init__(self, url: str, raw: AsyncioConnection, loop: asyncio.AbstractEventLoop, farewell_s: float) -> None:
        self._url = url
        self._loop = loop
        self._raw = raw
        self._farewell_s = farewell_s
        self._publisher = Publisher(raw, loop)
        self._consumers: set[AmqpConsumer] = set()
        self._closing = False
        self.closed: asyncio.Future[str] = loop.create_future()
        raw.add_on_close_callback(self._ended)

    async def publish(self, publication: Publication) -> None:
        """Hand over one message; see :meth:`afield.broker.base.Connection.publish`.

        :raises Unroutable: mandatory, and no queue is bound for it
        :raises BrokerRefused: not allowed, no such exchange, or the broker dropped it
        :raises BrokerUnreachable: the connection is gone, or went before the answer came
        :raises WireError: its properties have a form that AMQP does not know
        """
        self._usable()
        await self._publisher.publish(publication)

    async def consume(
        self, queue: str, on_delivery: OnDelivery, *, exclusive: bool = False, prefetch: int = 0
    ) -> AmqpConsumer:
        """Subscribe; see :meth:`afield.broker.base.Connection.consume`.

        :raises BrokerRefused: no such queue, not yours, or somebody else has it exclusively
        :raises BrokerUnreachable: the connection is gone
        """
        consumer: AmqpConsumer | None = None

        async def subscribe(channel: Channel) -> None:
            nonlocal consumer
            if prefetch:
                await self.ask(channel, lambda done: channel.basic_qos(prefetch_count=prefetch, callback=done))
            consumer = AmqpConsumer(channel, queue, on_delivery, self._loop, self._consumers.discard)
            begin = consumer.begin
            await self.ask(channel, lambda done: begin(done, exclusive=exclusive))

        await self.on_a_channel(subscribe, keep=True)
        assert consumer is not None
        self._consumers.add(consumer)
        consumer.release()
        return consumer

    async def check(self, *, exchange: str | None = None, queue: str | None = None) -> None:
        """Make sure that these exist.

        :raises BrokerRefused: one does not, or is not yours to see
        :raises BrokerUnreachable: the connection is gone
        """

        async def declare(channel: Channel) -> None:
            if exchange is not None:
                await self.ask(channel, lambda done: channel.exchange_declare(exchange, passive=True, callback=done))
            if queue is not None:
                await self.ask(channel, lambda done: channel.queue_declare(queue, passive=True, callback=done))

        await self.on_a_channel(declare, keep=False)

    async def waiting(self, queue: str) -> int:
        """How many messages wait in a queue, not counting delivered ones.

        :raises BrokerRefused: no such queue, or it is not yours to see
        :raises BrokerUnreachable: the connection is gone
        """
        count = 0

        async def declare(channel: Channel) -> None:
            nonlocal count
            answer = await self.ask(channel, lambda done: channel.queue_declare(queue, passive=True, callback=done))
            count = answer.method.message_count

        await self.on_a_channel(declare, keep=False)
        return count

    async def close(self) -> None:
        """End it in good order; where the broker does not answer, end it anyway."""
        self._closing = True
        for consumer in self._consumers:
            consumer.deaf = True
        raw = self._raw
        if self.closed.done():
            return
        if not raw.is_closing and not raw.is_closed:
            raw.close()
        try:
            async with asyncio.timeout(self._farewell_s):
                await asyncio.shield(self.closed)
        except TimeoutError:
            raw._terminate_stream(exceptions.ConnectionClosedByClient(200, "no answer"))  # noqa: SLF001
            await self.closed

    # For whoever administers a broker (broker/rabbitmq/admin.py)

    async def on_a_channel(self, work: Callable[[Channel], Awaitable[None]], *, keep: bool) -> None:
        """Do something on a new channel, which is closed afterwards, at least when that failed.

        :raises BrokerError: what :meth:`ask` raises
        """
        self._usable()
        opening: asyncio.Future[Channel] = self._loop.create_future()

        def on_open(channel: Channel) -> None:
            if opening.done():
                channel.close()  # whoever wanted it was cancelled
            else:
                opening.set_result(channel)

        fresh = self._raw.channel(on_open_callback=on_open)
        fresh.add_on_close_callback(lambda _, error: _fail(opening, error))
        channel = await opening
        done = False
        try:
            await work(channel)
            done = True
        finally:
            if not (done and keep) and channel.is_open:
                channel.close()

    async def ask(self, channel: Channel, request: Callable[[Callable[[Any], None]], object]) -> Any:
        """Send a request on a channel and wait for its answer, or for what ends the channel instead.

        :param request: given what is to be called with the answer
        :return: the frame that answered
        :raises BrokerRefused: the broker closed the channel instead
        :raises BrokerUnreachable: the connection went
        """
        answer: asyncio.Future[Any] = self._loop.create_future()

        def on_answer(frame: Any) -> None:
            if not answer.done():
                answer.set_result(frame)

        channel.add_on_close_callback(lambda _, error: _fail(answer, error))
        try:
            request(on_answer)
        except exceptions.AMQPError as error:
            raise refusal(error) from error
        return await answer

    # Inside

    def _ended(self, _raw: object, error: BaseException) -> None:
        reason = "closed by its owner" if self._closing else _text(error)
        if not self._closing:
            logger.info("the connection to the broker at %s ended: %s", self._url, reason)
        self._publisher.lost(reason)
        for consumer in self._consumers:
            consumer.end(reason)
        self._consumers.clear()
        if not self.closed.done():
            self.closed.set_result(reason)

    def _usable(self) -> None:
        if self.closed.done() or self._closing:
            reason = self.closed.result() if self.closed.done() else "it is closing"
            raise NotSent(f"the connection to {self._url} is over: {reason}")
        if not self._raw.is_open:
            raise NotSent(f"the connection to {self._url} is closing")


def _fail(waiting: asyncio.Future[Any], error: BaseException) -> None:
    if not waiting.done():
        waiting.set_exception(refusal(error))
