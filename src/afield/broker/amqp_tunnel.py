"""The way to a broker through an HTTP proxy, by CONNECT (RFC 9110, section 9.3.6).

It is taken only where ``AFIELD_AMQP_PROXY`` names a proxy: many sites have one for HTTPS that forwards to no other
port, and let AMQP out directly, so the usual variables say nothing about it.

pika makes its sockets through an object that it calls I/O services; ours looks up and connects to the proxy in the
broker's place, and lets pika go on when the proxy has said that the way is open. TLS is then spoken with the broker.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pika.adapters.asyncio_connection import _AsyncioIOServicesAdapter
from pika.adapters.utils.nbio_interface import AbstractIOReference

from afield.errors import ConfigurationError

__all__ = ["PROXY", "Proxy", "Tunnelled", "proxy_from_environment"]

#: The environment variable with the proxy's URL.
PROXY: Final = "AFIELD_AMQP_PROXY"
#: An answer to CONNECT is not longer, in bytes.
_MOST: Final = 16 * 1024


class Proxy:
    """A proxy.

    :param url: ``http://[user:password@]host:port``
    :raises ConfigurationError: that is none
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 3128
        except ValueError:
            host, port, parts = None, 0, urlsplit("")
        if parts.scheme != "http" or not host:
            raise ConfigurationError(f"{PROXY} should be like http://proxy.example.org:3128")
        self.host, self.port = host, port
        self._login = (
            f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username is not None else None
        )

    def request(self, host: str, port: int) -> bytes:
        """What asks it for a way to a host."""
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if self._login is not None:
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(self._login.encode()).decode()}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def refusal(self, answer: bytes, host: str, port: int) -> str | None:
        """Why it opens no way; None: it does."""
        words = answer.partition(b"\r\n")[0].decode("latin-1").split(" ", 2)
        if len(words) >= 2 and words[0].startswith("HTTP/") and words[1].startswith("2"):
            return None
        said = " ".join(words[1:]) if words[0].startswith("HTTP/") else "it speaks no HTTP"
        return (
            f"the proxy {self.host}:{self.port} opens no way to {host}:{port} ({said}). Proxies often allow only port "
            f"443: if the service offers its queues there, set amqp_port: 443 in config.yaml; else unset {PROXY}"
        )


def proxy_from_environment() -> Proxy | None:
    """The proxy that the environment names; None: none.

    :raises ConfigurationError: what it names is no proxy
    """
    url = os.environ.get(PROXY)
    return Proxy(url) if url else None


class Tunnelled(_AsyncioIOServicesAdapter):
    """pika's sockets, through a proxy.

    :param loop: runs it
    :param proxy: the proxy
    :param host: the broker's
    :param port: the broker's
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: Proxy, host: str, port: int) -> None:
        super().__init__(loop)
        self._proxy, self._host, self._port = proxy, host, port

    def getaddrinfo(  # noqa: PLR0917 - pika's signature
        self,
        host: str,  # noqa: ARG002 - the proxy is looked up, whoever is asked for
        port: int,  # noqa: ARG002 - likewise
        on_done: Callable[..., None],
        family: int = 0,
        socktype: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> AbstractIOReference:
        """Look up the proxy."""
        return super().getaddrinfo(self._proxy.host, self._proxy.port, on_done, family, socktype, proto, flags)

    def connect_socket(
        self, sock: socket.socket, resolved_addr: tuple[Any, ...], on_done: Callable[[BaseException | None], None]
    ) -> AbstractIOReference:
        """Connect to the proxy and have it open the way."""
        task = self._loop.create_task(self._open(sock, resolved_addr), name="amqp-proxy")

        def opened(done: asyncio.Task[None]) -> None:
            if not done.cancelled():
                on_done(done.exception())

        task.add_done_callback(opened)
        return _Cancellable(task)

    async def _open(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        await self._loop.sock_connect(sock, address)
        await self._loop.sock_sendall(sock, self._proxy.request(self._host, self._port))
        answer = b""
        # One byte at a time: what follows the empty line is the broker's, and pika's to read.
        while not answer.endswith(b"\r\n\r\n"):
            piece = await self._loop.sock_recv(sock, 1)
            if not piece or len(answer) > _MOST:
                break
            answer += piece
        refusal = self._proxy.refusal(answer, self._host, self._port)
        if refusal is not None:
            raise ConnectionError(refusal)


class _Cancellable(AbstractIOReference):
    """pika's handle of something under way."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def cancel(self) -> bool:
        """Stop it; whether that was still possible."""
        return self._task.cancel()
