"""An HTTP server within somebody else's event loop: no signal handlers, no ticking clock, a socket bound before."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, Final, cast

from uvicorn import Config
from uvicorn.server import ServerState

from afield.service.api.ask import ASGI
from afield.service.api.connection import BoundedHttp
from afield.service.settings import Limits

__all__ = ["HttpServer"]

logger = logging.getLogger(__name__)

#: Seconds for which a connection may be idle. Longer than clients keep theirs, so that none is used as it is closed.
_KEEP_ALIVE_S: Final = 75

#: Seconds that clients have to read what was answered when the service stops, and how often it is looked.
_LAST_WORDS_S: Final = 1.0
_LOOK_S: Final = 0.01


class HttpServer:
    """Serves an application on a bound socket. It speaks uvicorn's HTTP; its server is not used, for that wants to own
    the process.

    :param limits: how much and how slowly clients may send, and how long requests under way may take when it stops
    """

    def __init__(self, app: ASGI, bound: socket.socket, limits: Limits) -> None:
        self._bound = bound
        self._limits = limits
        self._config = Config(
            cast("Any", app),
            http="httptools",
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        self._config.load()
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Let clients in."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connected, sock=self._bound, backlog=self._config.backlog)

    async def stop(self) -> None:
        """Let nobody in any more, finish what is under way, end all connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()  # those that are idle at once, the others after their answer
        if self._state.tasks:
            _, late = await asyncio.wait(self._state.tasks, timeout=self._limits.goodbye_s)
            for task in late:
                task.cancel()
            if late:
                logger.warning("%d requests did not end in time, and are cut off", len(late))
                await asyncio.wait(late)
        await self._until_read()
        for connection in list(self._state.connections):
            connection.transport.abort()

    async def _until_read(self) -> None:
        # A connection is gone when its client has read all of it; nobody tells when, so this looks.
        for _ in range(round(_LAST_WORDS_S / _LOOK_S)):
            await asyncio.sleep(0)
            if not self._state.connections:
                return
            await asyncio.sleep(_LOOK_S)

    def _connected(self) -> asyncio.Protocol:
        return BoundedHttp(self._config, self._state, self._limits)
