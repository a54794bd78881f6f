"""One HTTP request as plain ASGI: what the edge needs of it, without a framework's cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from afield.service.domain import refusals
from afield.wire.v2 import WIRE_HEADER

__all__ = ["ASGI", "Message", "Receive", "Request", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
#: An application as a server calls it (https://asgi.readthedocs.io/en/latest/specs/www.html).
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

_WIRE = WIRE_HEADER.lower().encode()


class Request:
    """A request, and the answer to it.

    :param limit: bytes that its body may have
    """

    __slots__ = ("_limit", "_receive", "_send", "_size", "answered", "method", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._receive = receive
        self._send = send
        self._limit = limit
        self._size = 0
        #: whether an answer has begun to go out
        self.answered = False

    def header(self, name: bytes) -> str | None:
        """A header's value; ``name`` in lower case."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    @property
    def wire(self) -> int:
        """The highest version of the envelope that the client reads."""
        return 2 if self.header(_WIRE) not in {None, "1"} else 1

    async def receive(self) -> Message:
        """The next part, as ASGI has it.

        :raises Refusal: the body is larger than any may be
        """
        message = await self._receive()
        if message["type"] == "http.request":
            self._size += len(message["body"])
            if self._size > self._limit:
                raise refusals.body_too_large(self._limit)
        return message

    async def body(self) -> bytes:
        """All of the body.

        :raises Refusal: it is larger than any may be, or ends before its end
        """
        parts = []
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise refusals.malformed("The request ended before its body did.")
            parts.append(message["body"])
            if not message["more_body"]:
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def send(self, message: Message) -> None:
        """A part of the answer, as ASGI has it."""
        self.answered = True
        await self._send(message)

    async def answer(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        """All of the answer, as JSON."""
        fixed = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})
