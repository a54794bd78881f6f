"""Sockets on this machine's loopback, of both kinds of addresses, at one port."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import Final

from afield.errors import ConfigurationError
from afield.sdk.login import known
from afield.sdk.login.client_credentials import PUBLISHED_URL

__all__ = ["BACKLOG", "loopback"]

#: The kind of address is not there on this machine.
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
#: Connections that may wait until they are taken.
BACKLOG: Final = 1024


def loopback(port: int) -> list[socket.socket]:
    """Sockets that listen at 127.0.0.1 and, where there is such, ::1. Both or none: ``localhost`` may mean either, and
    what is meant for this program must not go to another one.

    :param port: 0: any that is free
    :raises ConfigurationError: it is taken, or nobody may have it
    """
    with ExitStack() as undo:
        try:
            found = [undo.enter_context(_listening(socket.AF_INET, "127.0.0.1", port))]
            port = found[0].getsockname()[1]
            try:
                found.append(undo.enter_context(_listening(socket.AF_INET6, "::1", port)))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
        except OSError as error:
            raise _refused(port, error) from error
        undo.pop_all()
        return found


def _listening(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    with ExitStack() as undo:
        found = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind((host, port))
        # Now, and not when it is served: until somebody listens, others may take the same address.
        found.listen(BACKLOG)
        undo.pop_all()
        return found


def _refused(port: int, error: OSError) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return _taken(port)
    if error.errno == errno.EACCES:
        return ConfigurationError(f"port {port} may not be used by this user: choose one from 1024 up")
    return ConfigurationError(
        f"nothing can listen at port {port} of this machine's loopback ({error.strerror}): is there an interface `lo`, "
        "and is it up?"
    )


def _taken(port: int) -> ConfigurationError:
    for one in known.live():
        if known.same_service(one.service_url, f"http://127.0.0.1:{port}"):
            return ConfigurationError(
                f"port {port} is that of the service which you run here (process {one.pid}): published packages reach "
                "that one already. Stop it, or say which service you mean with --service"
            )
    way = "end that, for published packages look for a service at no other port"
    if not known.same_service(PUBLISHED_URL, f"http://localhost:{port}"):
        way = "end that, or choose another port"
    return ConfigurationError(f"port {port} is in use by {_holder(port) or 'another program'}: {way}")


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
