"""Sockets on this machine's loopback, of both kinds of addresses, at one port."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import Final

from afield.errors import ConfigurationError
from afield.sdk.login import known

__all__ = ["loopback"]

#: The kind of address is not there on this machine.
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


def loopback(port: int) -> list[socket.socket]:
    """Sockets for 127.0.0.1 and, where there is such, ::1. Both or none: ``localhost`` may mean either, and what is
    meant for this program must not go to another one.

    :param port: 0: any that is free
    :raises ConfigurationError: it is taken, or not ours to take
    """
    with ExitStack() as undo:
        first = undo.enter_context(_bound(socket.AF_INET, "127.0.0.1", port))
        found = [first]
        try:
            found.append(undo.enter_context(_bound(socket.AF_INET6, "::1", first.getsockname()[1])))
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
        undo.pop_all()
        return found


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise _taken(port) from error
        if error.errno == errno.EACCES:
            raise ConfigurationError(f"port {port} may not be used by this user: choose one from 1024 up") from error
        raise
    return bound


def _taken(port: int) -> ConfigurationError:
    for one in known.live():
        if known.same_service(one.service_url, f"http://127.0.0.1:{port}"):
            return ConfigurationError(
                f"port {port} is that of the service which you run here (process {one.pid}): published packages reach "
                "that one already. Stop it, or say which service you mean with --service"
            )
    return ConfigurationError(
        f"port {port} is in use by {_holder(port) or 'another program'}: end that, for published packages look for a "
        "service at no other port"
    )


def _holder(port: int) -> str | None:
    """The program that listens there, as far as this machine tells."""
    try:
        import psutil
    except ModuleNotFoundError:
        return None  # it comes with endpoints
    try:
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr[1:] == (port,) and one.pid is not None:
                return f"{psutil.Process(one.pid).name()} (process {one.pid})"
    except (psutil.Error, OSError):
        return None  # not ours to see
    return None
