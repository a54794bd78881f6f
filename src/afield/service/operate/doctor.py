"""Everything that a service needs, tried one after the other, before it starts or while it runs. Nothing is changed.

Each finding says what was looked at, how it is, and what to do. A *failure* is what stops a service or its people; a
*warning* is what will, or what lets others read along.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import shutil
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from afield.errors import ComputeError
from afield.service.operate.database import is_postgres, look
from afield.service.operate.logs import without_secrets
from afield.service.ports import is_everywhere
from afield.service.settings import Settings
from afield.service.store.sql.schema import HEAD, KNOWN

__all__ = ["Finding", "examine"]

State = Literal["ok", "warning", "failure"]

#: Bytes free below which a disk is a warning, and a failure.
_LITTLE, _TOO_LITTLE = 2_000_000_000, 200_000_000
#: Seconds that clocks may be apart: logins of queues and tokens are good for minutes at least.
_SKEW_S: Final = 5.0
#: Days before its end at which a certificate is a warning.
_RENEW_DAYS: Final = 14
#: The oldest PostgreSQL that is tested.
_OLDEST_POSTGRES: Final = 13
_PATIENCE_S: Final = 10.0


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    about: str
    state: State
    said: str


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Look at everything, and say what was found as it is found."""
    for check in _CHECKS:
        try:
            async with asyncio.timeout(3 * _PATIENCE_S):
                for finding in await check(settings):
                    yield finding
        except TimeoutError:
            yield Finding(_name(check), "failure", "no answer")
        except (ComputeError, OSError) as error:
            yield Finding(_name(check), "failure", without_secrets(str(error)))


def _name(check: Callable[..., object]) -> str:
    return check.__name__.strip("_").replace("_", " ")


# -- this machine ----------------------------------------------------------------------------------------------------


async def _data_directory(settings: Settings) -> list[Finding]:
    path, about = settings.data_dir, "data directory"
    if not path.exists():
        parent = next(each for each in path.parents if each.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            return [Finding(about, "failure", f"{path} is not there, and this user cannot make it in {parent}")]
        return [Finding(about, "ok", f"{path} will be made")]
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return [Finding(about, "failure", f"{path} cannot be written by this user")]
    mode = path.stat().st_mode & 0o077
    if mode:
        return [Finding(about, "warning", f"{path} is open to others: chmod 700 {path}")]
    return [Finding(about, "ok", str(path))]


async def _disk(settings: Settings) -> list[Finding]:
    path = next(each for each in (settings.data_dir, *settings.data_dir.parents) if each.exists())
    usage = shutil.disk_usage(path)
    said = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} for {settings.data_dir}"
    if usage.free < _TOO_LITTLE:
        return [Finding("disk", "failure", f"{said}: nothing can be accepted when it is full")]
    return [Finding("disk", "warning" if usage.free < _LITTLE else "ok", said)]


async def _open_files(settings: Settings) -> list[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.limits.connections + 1000
    said = f"{soft:,} at once"
    if soft != resource.RLIM_INFINITY and soft < needed:
        return [Finding("open files", "warning", f"{said}; limits.connections needs {needed:,}: raise it (ulimit -n)")]
    return [Finding("open files", "ok", said)]


async def _addresses(settings: Settings) -> list[Finding]:
    found = []
    for name, port in (("port for HTTP", settings.port), ("port for queues", settings.amqp_port)):
        found.append(await _port(settings, name, port))
    if settings.public_host:
        try:
            await asyncio.get_running_loop().getaddrinfo(settings.public_host, None)
            found.append(Finding("public host", "ok", settings.public_host))
        except OSError as error:
            found.append(Finding("public host", "failure", f"{settings.public_host} is not known here: {error}"))
    return found


async def _port(settings: Settings, name: str, port: int) -> Finding:
    where = f"{settings.host}, port {port}"
    if port == 0:
        return Finding(name, "warning", "a free one, another at each start: endpoints keep the address they were given")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind, protocol)) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except socket.gaierror:
        return Finding(name, "failure", f"{settings.host!r} is not an address of this machine")
    except OSError as error:
        if _lives(settings.data_dir):
            return Finding(name, "ok", f"{where} is in use, by the service that is running")
        if port == settings.amqp_port and error.errno == errno.EADDRINUSE:
            return Finding(name, "warning", f"{where} is another program's: the next free one will be taken instead")
        return Finding(name, "failure", f"{where} cannot be had: {error.strerror}")
    return Finding(name, "ok", f"{where} is free")


def _lives(data_dir: Path) -> bool:
    """Whether a service has this directory; its process id is in the lock."""
    try:
        pid = int((data_dir / "lock").read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return False
    return True


# -- others ----------------------------------------------------------------------------------------------------------


async def _database(settings: Settings) -> list[Finding]:
    if settings.database == "memory:":
        return [Finding("database", "warning", "in memory: nothing is kept when the service stops")]
    seen = await look(settings)
    found = [Finding("database", "ok", seen.software)]
    if is_postgres(settings) and int(seen.software.split()[1].split(".")[0]) < _OLDEST_POSTGRES:
        found = [Finding("database", "failure", f"{seen.software} is older than {_OLDEST_POSTGRES}")]
    if seen.version is None:
        found.append(Finding("tables", "ok", f"will be made, in version {HEAD}"))
    elif seen.version == HEAD:
        found.append(Finding("tables", "ok", f"version {HEAD}"))
    elif seen.version in KNOWN:
        said = f"version {seen.version}: the next start brings them to {HEAD}. Make a backup first"
        found.append(Finding("tables", "warning", said))
    else:
        said = f"version {seen.version} is of a newer Afield, and this one knows them up to {HEAD}: install the newer"
        found.append(Finding("tables", "failure", said))
    if seen.skew_s is not None:
        found.append(_skew("the database", seen.skew_s))
    return found


def _skew(whose: str, seconds: float) -> Finding:
    said = f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    state: State = "ok" if abs(seconds) <= _SKEW_S else "failure"
    more = "" if state == "ok" else ": tokens and logins are refused too early or too late; run NTP on both"
    return Finding(f"clock of {whose}", state, said + more)


async def _broker(settings: Settings) -> list[Finding]:
    broker: str = settings.broker
    if broker == "embedded":
        return [Finding("broker", "ok", "within the service")]
    from afield.broker.amqp import AmqpConnector

    connection = await AmqpConnector().connect(broker)
    await connection.close()
    return [Finding("broker", "ok", f"answers at {urlsplit(broker).hostname}")]


async def _public_url(settings: Settings) -> list[Finding]:
    url = settings.public_url
    if url is None:
        if is_everywhere(settings.host) or not settings.host.startswith("127."):
            said = "none, and it listens for other machines: tokens travel in the clear. Put TLS in front (deploy/)"
            return [Finding("TLS", "warning", said)]
        return []
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return [Finding("public URL", "failure", f"{url!r} is no address: write https://host.example.org")]
    found = (
        [_certificate_seen(parts.hostname, await _certificate(parts.hostname, parts.port or 443))]
        if (parts.scheme == "https")
        else [Finding("TLS", "warning", f"{url} has none: tokens travel in the clear")]
    )
    if found[0].state != "failure":
        found += await asyncio.to_thread(_asked, url)
    return found


async def _certificate(host: str, port: int) -> float | str:
    """When it ends, unix time; or why it is none."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(
                host, port, ssl=ssl.create_default_context(), server_hostname=host
            )
    except socket.gaierror:
        return "this machine finds no such host: look at public_url, and at the name service"
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is refused here ({error.verify_message}): put one in front that clients trust"
    except TimeoutError:
        return f"no answer on port {port} within {_PATIENCE_S} s: is the front running, and is the port open?"
    except OSError as error:
        return f"no TLS on port {port} ({error.strerror or error}): is the front running?"
    found = writer.get_extra_info("peercert")
    writer.close()
    return float(ssl.cert_time_to_seconds(found["notAfter"]))


def _certificate_seen(host: str, end: float | str) -> Finding:
    if isinstance(end, str):
        return Finding("TLS", "failure", f"{host}: {end}")
    days = (end - time.time()) / 86_400
    said = f"the certificate of {host} is good for {days:.0f} days"
    return Finding("TLS", "warning" if days < _RENEW_DAYS else "ok", said)


def _asked(url: str) -> list[Finding]:
    """Whether the service answers there, and by which clock."""
    import http.client

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_PATIENCE_S)
    try:
        with closing(connection):
            connection.request("GET", "/ready")
            answer = connection.getresponse()
            body = answer.read(10_000)
    except (OSError, http.client.HTTPException) as error:
        return [Finding("public URL", "warning", f"{url} does not answer ({error}): is the service running?")]
    found = []
    if answer.status == 200:
        found.append(Finding("public URL", "ok", f"{url} is ready"))
    else:
        found.append(Finding("public URL", "failure", f"{url}/ready answers {answer.status}: {body[:200]!r}"))
    if said := answer.getheader("date"):
        found.append(_skew(parts.hostname or url, parsedate_to_datetime(said).timestamp() - time.time()))
    return found


_CHECKS: Final[tuple[Callable[[Settings], Awaitable[list[Finding]]], ...]] = (
    _data_directory,
    _disk,
    _open_files,
    _addresses,
    _database,
    _broker,
    _public_url,
)
