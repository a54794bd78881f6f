"""Where a browser comes back with a code: an address on this machine that answers once (RFC 8252 section 7.3)."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from afield.errors import ServiceError

__all__ = ["LoopbackPage"]

_PATH: Final = "/afield-login"
#: Seconds in which whoever connects must have said what it wants; nobody keeps others out by saying nothing.
_SPEAK_S: Final = 5.0
_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport"
content="width=device-width"><title>Afield</title><style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;
margin:15vh auto;padding:0 1rem}}</style><h1>{title}</h1><p>{text}</p></html>
"""


class LoopbackPage:
    """Listens on a free port of 127.0.0.1 from now on, until it is closed.

    :param state: what must come back with the code, so that nobody else's is taken
    """

    def __init__(self, state: str) -> None:
        self._state = state
        self.said: dict[str, str] | None = None
        try:
            self._server = HTTPServer(("127.0.0.1", 0), self._handler())
        except OSError as error:
            raise ServiceError(
                f"no port of 127.0.0.1 can be listened on ({error.strerror}): log in with `afield login --device`"
            ) from error

    @property
    def url(self) -> str:
        """Where the browser is to be sent."""
        return f"http://127.0.0.1:{self._server.server_port}{_PATH}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def wait(self, seconds: float, now: Callable[[], float] = time.monotonic) -> dict[str, str] | None:
        """What the browser brought; None: it did not come in time."""
        end = now() + seconds
        while self.said is None:
            left = end - now()
            if left <= 0:
                return None
            self._server.timeout = left
            self._server.handle_request()
        return self.said

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _SPEAK_S

            def do_GET(self) -> None:
                status, title, text = page._taken(self.path)
                body = _PAGE.format(title=title, text=text).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("Referrer-Policy", "no-referrer")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing: the code would be in it."""

        return Handler

    def _taken(self, path: str) -> tuple[HTTPStatus, str, str]:
        parts = urlsplit(path)
        if parts.path != _PATH:
            return HTTPStatus.NOT_FOUND, "Nothing here", "This address only ends a login."
        said = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if not hmac.compare_digest(said.get("state", "").encode(), self._state.encode()):
            return HTTPStatus.BAD_REQUEST, "Not your login", "This comes from another login. Start again."
        self.said = said
        if "code" not in said:
            return HTTPStatus.OK, "Not logged in", "You may close this page. The terminal says why."
        return HTTPStatus.OK, "Done", "You may close this page, and go back to where you started the login."
