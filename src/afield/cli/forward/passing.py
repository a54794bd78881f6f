"""Passes requests on to a service, and its answers back, in pieces as they come.

Nothing is kept: whoever reads slowly is sent to slowly, in both directions, and a body may be of any size. No
credentials are added, and cookies belong to whoever asked.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from afield.broker.tls import CA_FILE, own_context
from afield.cli.forward.listening import BACKLOG
from afield.cli.forward.rules import Way
from afield.cli.options import plain
from afield.sdk.proxies import proxy_for
from afield.wire.rest import ErrorBody

__all__ = ["Count", "passing"]

#: Seconds. A submit may be held for just under 60 (reference: wire contract section 8.5); silence for longer is none.
_TIMES: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)
#: Shorter than servers keep idle connections, in seconds, so that none is used that is just being closed.
_IDLE_S: Final = 3.0
#: Bytes of one header. Tokens of providers elsewhere are long.
_HEADER: Final = 65_536
_PIECE: Final = 1 << 16
#: What the client would add by itself, and must not.
_ADDED: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(slots=True)
class Count:
    """What has passed. ``changed`` is called after each change."""

    changed: Callable[[], None]
    requests: int = 0
    under_way: int = 0
    #: why the last request did not reach the service, in a sentence; None: it did
    trouble: str | None = None

    def begins(self) -> None:
        """One more request."""
        self.requests += 1
        self.under_way += 1
        self.changed()

    def ends(self) -> None:
        """One of them was answered, or will not be."""
        self.under_way -= 1
        self.changed()

    def unreadable(self, kind: str) -> None:
        """Something came that is no request. Nothing of it is told: it may hold a token.

        :param kind: of what is wrong
        """
        self.trouble = (
            f"A program of this machine sent what is no HTTP request ({kind}), and was told so with 400. Which program "
            "asks at this address?"
        )
        self.changed()


class _Complaints(logging.LoggerAdapter[logging.Logger]):
    """What the server below says when it cannot go on: a request that cannot be read is no fault of this program."""

    def __init__(self, count: Count) -> None:
        super().__init__(logging.getLogger(__name__))
        self._count = count

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        """Something is wrong; with a traceback only where that helps."""
        if isinstance(exc_info, HttpProcessingError):
            self._count.unreadable(type(exc_info).__name__)
        else:
            super().exception(msg, *args, exc_info=exc_info, **more)


@asynccontextmanager
async def passing(service: str, listening: list[socket.socket], count: Count) -> AsyncIterator[None]:
    """Pass on what comes to these sockets, for the length of an ``async with`` block.

    :param service: its URL
    :param listening: all of one port; closed at the end
    :raises ConfigurationError: the roots that the environment names cannot be read
    """
    connector = aiohttp.TCPConnector(ssl=own_context() or True, limit=0, keepalive_timeout=_IDLE_S)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=_TIMES,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_ADDED,
        max_field_size=_HEADER,
        trust_env=False,
    ) as session:
        way = Way(listening[0].getsockname()[1], service)
        passer = _Passer(session, way, count)
        server = web.Server(
            passer.answer,
            logger=_Complaints(count),
            access_log=None,
            auto_decompress=False,
            max_line_size=_HEADER,
            max_field_size=_HEADER,
        )
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        try:
            for one in listening:
                await web.SockSite(runner, one, backlog=BACKLOG).start()
            yield
        finally:
            await runner.cleanup()


class _Passer:
    def __init__(self, session: aiohttp.ClientSession, way: Way, count: Count) -> None:
        self._session, self._way, self._count = session, way, count
        self._proxy = proxy_for(way.service)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        refusal = self._way.refusal(request.headers.get("Host", ""), request.headers.get("Origin"))
        if refusal is not None:
            return _no(403, "NOT_PASSED_ON", refusal)
        self._count.begins()
        try:
            return await self._pass(request)
        finally:
            self._count.ends()

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        # Whoever asks as of a proxy names the host here, too; it is the path that counts.
        target = request.raw_path if request.raw_path.startswith("/") else request.rel_url.raw_path_qs
        # What would be read as another host, behind the service's, or asks for a tunnel.
        if not target.startswith("/") or request.method == "CONNECT":
            return _no(
                400,
                "NOT_PASSED_ON",
                "This request asks for no path of the service. Ask for one that begins with a slash, and not by "
                "CONNECT.",
            )
        if request.headers.get("Expect", "").lower() == "100-continue":
            # The service is asked with the body, so whoever waits with it must not.
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        asked = self._session.request(
            request.method,
            URL(self._way.service + target, encoded=True),
            headers=CIMultiDict(self._way.onwards(request.headers.items())),
            data=request.content if request.can_read_body else None,
            proxy=self._proxy,
            allow_redirects=False,
        )
        answer: web.StreamResponse | None = None
        try:
            async with asked as found:
                self._count.trouble = None
                answer = await self._begin(request, found)
                async for piece in found.content.iter_chunked(_PIECE):
                    await answer.write(piece)
                await answer.write_eof()
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            gone = request.transport is None or request.transport.is_closing()
            if not gone:
                self._count.trouble = _why(self._way.service, error)
            if answer is None or not answer.prepared:
                return _no(502, "SERVICE_UNREACHABLE", _why(self._way.service, error))
            # Half of it has gone: that it is half shows only by the connection's end.
            if request.transport is not None:
                request.transport.abort()
            return answer

    async def _begin(self, request: web.BaseRequest, found: aiohttp.ClientResponse) -> web.StreamResponse:
        if found.status == HTTPStatus.SWITCHING_PROTOCOLS:
            raise aiohttp.ClientPayloadError("it switches to another protocol, for which nobody asked")
        if found.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            # Of the proxy on the way there; whoever asks knows of none.
            raise aiohttp.ClientHttpProxyError(found.request_info, (), status=found.status)
        headers = CIMultiDict(self._way.back(found.headers.items(), request.headers["Host"]))
        answer = web.StreamResponse(status=found.status, reason=found.reason, headers=headers)
        try:
            await answer.prepare(request)
        except ValueError as error:  # nothing was sent yet
            raise aiohttp.ClientPayloadError("the head of its answer holds what no head may") from error
        return answer


def _why(service: str, error: Exception) -> str:
    if isinstance(error, aiohttp.ClientSSLError):
        return (
            f"{service} is not who it says, or speaks no TLS ({error}). If your institution signs its own "
            f"certificates, start `afield forward` with the file that holds its root: {CA_FILE}=/path/to/ca.pem"
        )
    return (
        f"`afield forward` cannot reach the service at {service} ({_said(error)}). Is it running, and is this machine "
        "online?"
    )


def _said(error: Exception) -> str:
    """What is wrong, without what these would tell whoever asks or looks: the proxy's password, what was asked for with
    its parameters, or a part of the answer.
    """
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy on the way there refuses it with {error.status}"
    if isinstance(error, aiohttp.InvalidURL):
        return "what http_proxy or https_proxy names as the proxy on the way there is no address"
    if isinstance(error, aiohttp.ClientResponseError):
        return "its answer is no HTTP"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it hung up before its answer had begun"
    return plain(" ".join(str(error).split())) or type(error).__name__


def _no(status: int, code: str, message: str) -> web.Response:
    body = msgspec.json.encode(ErrorBody(code, status, message, message))
    return web.Response(status=status, body=body, content_type="application/json")
