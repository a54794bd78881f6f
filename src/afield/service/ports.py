"""The ports that a service listens on: the one for HTTP must be as asked, the one for queues may step aside."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from afield.broker.embedded.server import EmbeddedBroker
from afield.errors import ConfigurationError

__all__ = ["bind", "cannot_listen", "is_everywhere", "listen_for_queues", "public_host"]

#: How many ports above a taken one are tried.
_STEPS: Final = 100

#: Below the data directory: which port was asked for last time, and which it became.
_FILE: Final = "amqp_port.json"


def bind(host: str, port: int) -> socket.socket:
    """A socket for HTTP, on which nobody is let in yet.

    :param port: 0: any free one
    :raises ConfigurationError: it is taken, not ours to take, or no such address
    """
    _check(port, "--port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise cannot_listen(host, port, "--port", error) from error
    bound = socket.socket(family, kind, protocol)
    try:
        # A port whose last service has just ended is free at once.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise cannot_listen(host, port, "--port", error) from error
    bound.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return bound


async def listen_for_queues(broker: EmbeddedBroker, host: str, wanted: int, data_dir: Path) -> int:
    """Let peers of the queues in; the port.

    The port of the last life is tried first, for endpoints keep the address that they were given: they find a service
    that was away only where it was.

    :param wanted: 0: any free one. One that is taken is stepped over
    :raises ConfigurationError: none can be had
    """
    _check(wanted, "--amqp-port")
    refused: OSError | None = None
    for port in _candidates(wanted, data_dir):
        try:
            got = await broker.listen(host, port)
        except OSError as error:
            refused = error
            if error.errno == errno.EADDRINUSE:
                continue
            break
        (data_dir / _FILE).write_bytes(msgspec.json.encode({"wanted": wanted, "got": got}))
        return got
    assert refused is not None
    raise cannot_listen(host, wanted, "--amqp-port", refused) from refused


def is_everywhere(host: str) -> bool:
    """Whether listening on this host means on all addresses of the machine."""
    return host in {"", "0.0.0.0", "::"}  # noqa: S104 - recognised, not bound


def public_host(said: str | None, host: str) -> str:
    """The host by which others reach what listens on ``host``; ``said``: what somebody chose."""
    if said:
        return said
    return socket.gethostname() if is_everywhere(host) else host


def _candidates(wanted: int, data_dir: Path) -> Iterator[int]:
    try:
        last = msgspec.json.decode((data_dir / _FILE).read_bytes(), type=dict[str, int])
    except (OSError, msgspec.MsgspecError):
        last = {}
    if last.get("wanted") == wanted and "got" in last:
        yield last["got"]
    if wanted == 0:
        yield 0
    else:
        yield from range(wanted, min(wanted + _STEPS, 65_536))


def _check(port: int, option: str) -> None:
    if not 0 <= port <= 65_535:
        raise ConfigurationError(f"{port} is not a port: choose one from 0 to 65535 with {option}")


def cannot_listen(host: str, port: int, option: str, error: OSError) -> ConfigurationError:
    """What to tell a person whose service cannot listen there; ``option`` is what chooses another port."""
    number = error.errno
    if isinstance(error, socket.gaierror) or number == errno.EADDRNOTAVAIL:
        return ConfigurationError(f"{host!r} is not an address of this machine: name one with --host")
    if number == errno.EADDRINUSE:
        return ConfigurationError(
            f"port {port} on {host} is in use by another program: choose another one with {option}, or {option} 0 for "
            "any free one"
        )
    if number == errno.EACCES:
        return ConfigurationError(f"port {port} may not be used by this user: choose one from 1024 up with {option}")
    return ConfigurationError(f"cannot listen on {host}, port {port} ({error}): choose others with --host and {option}")
