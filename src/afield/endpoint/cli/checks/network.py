"""What can be seen of the way to the service and to its queues: names, ports, TLS, proxies, logins, clocks."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from afield import __version__
from afield.broker.amqp_tunnel import PROXY
from afield.broker.tls import CA_FILE, own_context
from afield.endpoint.cli.checks.finding import Finding, failed, ok, warning
from afield.endpoint.cli.words import clean
from afield.errors import BrokerError, ComputeAPIError, ConfigurationError, ServiceError

if TYPE_CHECKING:
    from afield.endpoint.settings import ManagerSettings
    from afield.sdk.transport.base import Transport

__all__ = ["network_findings", "reach"]

#: Seconds for one connection: a firewall that drops what it does not like says nothing.
_PATIENCE_S: Final = 5.0
#: Days before the end of a certificate at which it is told.
_DAYS: Final = 14
#: Where brokers usually listen.
_PORTS: Final = (443, 5671, 5672)


async def network_findings(settings: ManagerSettings, registered_at: str | None = None) -> AsyncIterator[Finding]:
    """What is seen on the way, nearest first.

    :param registered_at: the service that knows this endpoint, if one does
    """
    from afield.endpoint.host.registration import find_service, open_transport
    from afield.sdk.proxies import proxy_for

    try:
        service = find_service(settings)
        own_context()
    except ConfigurationError as error:
        where = f" (this endpoint is registered at {registered_at}: does that service run?)" if registered_at else ""
        yield failed("service", str(error), f"set what is missing, and run this again{where}")
        return
    proxy = proxy_for(service.url)
    if proxy is not None:
        yield ok("proxy", f"{_shown(proxy)} stands before {service.url}")
    else:
        parts = urlsplit(service.url)
        tls = parts.scheme == "https"
        yield await reach("service", parts.hostname or "", parts.port or (443 if tls else 80), tls=tls)
    yield await _clock(service.url)
    async with open_transport(service) as transport:
        try:
            yield await _version(transport)
            url = (await transport.result_queue()).connection_url
        except ComputeAPIError as error:
            yield failed("login", f"the service refuses: {error.reason}", f"run `afield login --service {service.url}`")
            return
        except (ServiceError, _try_again()) as error:
            yield failed("service", _words(error), "is the address right, and the service running?")
            return
    yield ok("login", f"the service at {service.url} takes the login")
    async for finding in _broker(settings, url):
        yield finding


def _try_again() -> type[Exception]:
    from afield.sdk.retry import TryAgain

    return TryAgain


def _words(error: Exception) -> str:
    return str(getattr(error, "error", error)).strip()


async def _clock(url: str) -> Finding:
    from afield.endpoint.host.clock import FATAL_S, ahead, told, weighs

    try:
        seconds = await ahead(url)
    except ServiceError as error:
        return failed("clock", f"cannot be compared: {error}", "see what is said of the service")
    if seconds is None:
        return warning("clock", "the service does not say its time", "compare the clocks by hand")
    if not weighs(seconds):
        return ok("clock", f"the service's clock and this machine's differ by {abs(seconds):.1f} s")
    make = failed if abs(seconds) >= FATAL_S else warning
    return make("clock", told(seconds), "have the time set by NTP: timedatectl set-ntp true")


async def _version(transport: Transport) -> Finding:
    theirs = (await transport.version()).afield
    if theirs is None:
        return ok("version", "the service is not an Afield service; it speaks the published protocol")
    if theirs != __version__:
        return warning(
            "version",
            f"the service runs afield {theirs}, and this machine {__version__}",
            f"they work together; for the newest of both: pip install 'afield[endpoint]=={theirs}'",
        )
    return ok("version", f"the service runs the same version, {theirs}")


async def _broker(settings: ManagerSettings, url: str) -> AsyncIterator[Finding]:
    """The queues, as an endpoint would reach them, with a login of one's own."""
    from afield.endpoint.assemble import connector
    from afield.endpoint.host.credentials import with_port

    url = with_port(url, settings.amqp_port)
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "amqps"
    port = parts.port or (5671 if tls else 5672)
    tunnel = os.environ.get(PROXY)
    if tunnel:
        yield ok("proxy", f"{_shown(tunnel)} stands before the queues ({PROXY})")
    else:
        yield await reach("queues", host, port, tls=tls)
    began = time.monotonic()
    try:
        async with asyncio.timeout(3 * _PATIENCE_S):
            connection = await connector().connect(url)
            await connection.close()
    except (BrokerError, ConfigurationError, TimeoutError) as error:
        yield failed("queues", str(error) or "no answer", "see below which ports are open")
        for other in [one for one in _PORTS if one != port]:
            yield await _alternative(host, other)
    else:
        yield ok("queues", f"logged in at {host}:{port} in {(time.monotonic() - began) * 1000:.0f} ms")


async def _alternative(host: str, port: int) -> Finding:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except (OSError, TimeoutError):
        return warning("port", f"{host}:{port} is closed from here", "ask for it, or use another")
    todo = f"if the service offers its queues there, set amqp_port: {port} in config.yaml"
    return warning("port", f"{host}:{port} is open from here", todo)


async def reach(about: str, host: str, port: int, *, tls: bool) -> Finding:
    """Connect, and speak TLS where that is spoken.

    :param about: whose port it is
    """
    context = (own_context() or ssl.create_default_context()) if tls else None
    began = time.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        return failed(
            about,
            f"{host}:{port} shows a certificate that this machine does not believe: {error.verify_message}",
            f"if your institution signs its own, name the file with its root: {CA_FILE}=/path/to/ca.pem",
        )
    except ssl.SSLError as error:
        return failed(about, f"{host}:{port} speaks no TLS ({error.reason})", "is the address right (http, https)?")
    except TimeoutError:
        todo = f"ask for outgoing connections to it; is there a proxy (HTTPS_PROXY, {PROXY})?"
        return failed(about, f"{host}:{port} does not answer within {_PATIENCE_S:.0f} s: a firewall drops it", todo)
    except OSError as error:
        why = error.strerror or str(error)
        return failed(about, f"{host}:{port} cannot be reached: {why}", "is the address right, and something there?")
    ms = (time.monotonic() - began) * 1000
    certificate = writer.get_extra_info("peercert") or {}
    writer.close()
    end = certificate.get("notAfter")
    days = (ssl.cert_time_to_seconds(end) - time.time()) / 86_400 if end else None
    text = f"{host}:{port} answers in {ms:.0f} ms{' with TLS' if tls else ', without TLS'}"
    if days is not None and days < _DAYS:
        return warning(about, f"{text}; its certificate ends in {days:.0f} days", "tell whoever runs the service")
    return ok(about, text)


def _shown(proxy: str) -> str:
    """A proxy without its login."""
    return clean(f"{urlsplit(proxy).scheme}://{proxy.rpartition('@')[2].rpartition('//')[2]}")
