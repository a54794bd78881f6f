"""An HTTP server within somebody else's event loop: no signal handlers, no ticking clock, a socket bound before."""

from __future__ import annotations

import socket
from typing import Any, cast

import uvicorn

from afield.service.api.plain import ASGI

__all__ = ["HttpServer"]

#: Seconds for which a connection may be idle. Longer than clients keep theirs, so that none is used as it is closed.
_KEEP_ALIVE_S = 75


class HttpServer:
    """Serves an application on a bound socket.

    :param goodbye_s: seconds that requests under way may take when it stops
    """

    def __init__(self, app: ASGI, bound: socket.socket, goodbye_s: float) -> None:
        self._bound = bound
        config = uvicorn.Config(
            cast("Any", app),
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(goodbye_s)),
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)

    async def start(self) -> None:
        """Let clients in."""
        await self._server.on_tick(0)
        await self._server.startup(sockets=[self._bound])

    async def stop(self) -> None:
        """Let nobody in any more, finish what is under way, end all connections."""
        await self._server.shutdown(sockets=[self._bound])
