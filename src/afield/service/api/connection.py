"""One connection for HTTP: uvicorn's, with the bounds that keep a slow or garbled client from holding anything.

uvicorn waits for a request's headers and for its body as long as the client likes, takes headers of any length, and
answers what is no HTTP in plain text. Here a client has so many seconds for its head; then so many bytes in each span
of its body; and is refused with the body that all errors have.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from afield.service.operate.logs import new_request_id
from afield.service.settings import Limits
from afield.wire.rest import ErrorBody

__all__ = ["BoundedHttp"]

#: Bytes per second that a client must manage while it sends a body: a hundredth of what a telephone line did.
_SLOWEST: Final = 64

_PHRASES: Final = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


class BoundedHttp(HttpToolsProtocol):
    """See the module.

    :param limits: how much, how long
    """

    def __init__(self, config: Config, server_state: ServerState, limits: Limits) -> None:
        super().__init__(config=config, server_state=server_state, app_state={})
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        # Between requests, and until the headers of one are complete.
        self._in_head = True
        self._head_bytes = 0
        self._body_bytes = 0
        self._looked_at = 0

    # -- the connection ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has connected, and is to say what they want."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(503, "TOO_MANY_CONNECTIONS", "Too many connections are open. Try again in some seconds.")
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._in_head:
            if self._timer is None:
                self._expect_head()  # the first byte after a pause between two requests
            self._head_bytes += len(data)
        else:
            self._body_bytes += len(data)
        super().data_received(data)
        # What came may have held the end of the head, and a body; then this is not the head's length.
        if self._in_head and self._head_bytes > self._limits.head_bytes and not self.transport.is_closing():
            self._too_long()

    def on_headers_complete(self) -> None:
        """A head was read; a body may follow."""
        if len(self.url) + sum(len(key) + len(text) + 4 for key, text in self.headers) > self._limits.head_bytes:
            self._too_long()
        if self.transport.is_closing():
            return
        self._in_head, self._head_bytes = False, 0
        self._stop_timer()
        super().on_headers_complete()
        self._body_bytes = self._looked_at = 0
        self._timer = self.loop.call_later(self._limits.body_s, self._look_at_body)

    def on_message_complete(self) -> None:
        """A request was read whole."""
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0
        self._stop_timer()

    # -- the bounds --------------------------------------------------------------------------------------------------

    def _expect_head(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self._limits.head_s, self._no_head)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _no_head(self) -> None:
        self._timer = None
        if not self._in_head or self.transport.is_closing():
            return
        if self._answering():
            # It pipelined the beginning of a request and stopped. What it asked for before is answered first.
            self.cycle.keep_alive = False
        elif self._head_bytes == 0:
            self.transport.close()  # it never said a word: there is nothing to answer
        else:
            self._refuse(
                408, "REQUEST_TIMEOUT", f"The head of the request did not come within {self._limits.head_s:g} s."
            )

    def _look_at_body(self) -> None:
        came, self._looked_at = self._body_bytes - self._looked_at, self._body_bytes
        # While nobody reads, the client is not at fault.
        if self.flow.read_paused or came >= _SLOWEST * self._limits.body_s:
            self._timer = self.loop.call_later(self._limits.body_s, self._look_at_body)
            return
        self._timer = None
        self._refuse(
            408,
            "REQUEST_TIMEOUT",
            f"The body of the request came too slowly: {came} bytes within {self._limits.body_s:g} s.",
        )

    def _too_long(self) -> None:
        self._refuse(
            431,
            "REQUEST_HEAD_TOO_LARGE",
            f"A request's first line and headers may have at most {self._limits.head_bytes:,} bytes.",
        )

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP. uvicorn's name for it, and its text; both are replaced."""
        if self._answering() and not self.cycle.more_body:
            # Garbage behind a request that was whole: that one is answered, and then it is over.
            self.flow.pause_reading()
            self.cycle.keep_alive = False
            return
        if not self.transport.is_closing():
            self._refuse(400, "REQUEST_MALFORMED", f"What came is no HTTP/1.1 request. ({msg})")

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer, unless an answer has begun; then end the connection. Whoever still reads the request learns of it."""
        self._stop_timer()
        begun = self._answering() and self.cycle.response_started
        if self._answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not begun and not self.pipeline:
            self.transport.write(_answer(status, code, message))
        self.transport.close()


def _answer(status: int, code: str, message: str) -> bytes:
    body = msgspec.json.encode(ErrorBody(code, status, message, message))
    later = b"retry-after: 5\r\n" if status == 503 else b""
    named = new_request_id().encode()
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n%s"
        b"x-request-id: %s\r\n\r\n%s" % (status, _PHRASES[status], len(body), later, named, body)
    )
