"""A proxy before the service that answers some submits with a 5xx."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.interop.port import PATIENCE_S, PORT

__all__ = ["FaultyProxy", "faulty_proxy"]

#: What does not go beyond one hop.
_HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class FaultyProxy(ThreadingHTTPServer):
    """Forwards everything to the service, but the first submits.

    The first is refused with 503 and goes nowhere. The second goes to the service; its answer is not waited for, and
    502 is what the client hears. All others go both ways.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        #: how many submits came
        self.submits = 0

    @property
    def url(self) -> str:
        """Where it listens; by the name that published programs give to port 5000, so that cookies and such agree."""
        return f"http://localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def _any(self) -> None:
        # A client that takes this for a proxy names the whole address.
        path = urlsplit(self.path)._replace(scheme="", netloc="").geturl()
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if path.endswith("/submit"):
            self.server.submits += 1
            if self.server.submits == 1:
                self._answer(503, [("Retry-After", "0")], b"{}")
                return
            if self.server.submits == 2:
                self._forward_and_leave(path, body)
                self._answer(502, [], b"{}")
                return
        with closing(HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE_S)) as service:
            service.request(self.command, path, body, self._headers())
            answer = service.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
            self._answer(answer.status, kept, answer.read())

    do_GET = do_POST = do_PUT = do_DELETE = _any

    def _forward_and_leave(self, path: str, body: bytes) -> None:
        service = HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE_S)
        service.request(self.command, path, body, self._headers())
        assert service.sock is not None
        # Closed with a reset at once, so the service cannot take its answer for delivered.
        service.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        service.close()

    def _headers(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower() not in _HOP}

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """Say nothing."""


@contextmanager
def faulty_proxy() -> Iterator[FaultyProxy]:
    """One that runs."""
    with FaultyProxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
