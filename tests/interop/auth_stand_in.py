"""The few routes of an auth server that the published endpoint cannot do without. Not a test: run beside one.

Reads one line of JSON, ``{"token": ..., "identity_id": ...}``, answers with a line that is its address, and serves
until its input ends.

Whoever comes with client credentials gets the token that it was made with, for whatever they ask, and is the identity
that it was made with. So the published endpoint, which has no other way in, reaches the service as its owner.
(Reference: wire contract sections 2.3 and 2.4.)
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

#: scope -> the resource server that it is of
_SERVERS = {
    "openid": "auth.globus.org",
    "urn:globus:auth:scope:auth.globus.org:manage_projects": "auth.globus.org",
    "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all": "funcx_service",
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, token: str, identity_id: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = token
        self.identity_id = identity_id


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers.get("content-length", 0))).decode())
        if self.path != "/v2/oauth2/token" or form.get("grant_type") != ["client_credentials"]:
            self._answer(404, {"error": "not here"})
            return
        asked: dict[str, list[str]] = {}
        for scope in dict.fromkeys(form["scope"][0].split()):
            asked.setdefault(_SERVERS[scope], []).append(scope)
        first, *others = (
            {
                "access_token": self.server.token,
                "scope": " ".join(scopes),
                "resource_server": name,
                "expires_in": 86_400,
                "token_type": "Bearer",
            }
            for name, scopes in asked.items()
        )
        self._answer(200, first | {"other_tokens": others})

    def do_GET(self) -> None:
        if self.path != "/v2/oauth2/userinfo":
            self._answer(404, {"error": "not here"})
            return
        who = self.server.identity_id
        self._answer(200, {"sub": who, "identity_set": [{"sub": who}]})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """Say nothing."""

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main() -> None:
    said = json.loads(sys.stdin.readline())
    with _Server(said["token"], said["identity_id"]) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        # Published clients put paths behind it without a look, so it ends with a slash.
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
