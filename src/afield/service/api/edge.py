"""The outermost layer: who is it, how large is it, and every error as the published body.

Three routes carry nearly all traffic (submit, one task, many tasks). They are answered here, before the framework,
which would cost them as much again as all else they cost.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from afield.ids import new_id
from afield.service.api.answers import as_refusal, body_of, internal_error
from afield.service.api.plain import ASGI, Receive, Request, Scope, Send
from afield.service.auth.base import Authenticator
from afield.service.domain import refusals
from afield.service.domain.caller import Caller
from afield.service.use.assemble import Uses

__all__ = ["OPEN", "Edge", "Hot"]

logger = logging.getLogger(__name__)

#: What is answered without a token: what clients ask before they have one, and whether the service lives.
OPEN: Final = frozenset({"/v2/version", "/healthz"})

#: (method, path with groups for its parameters, handler)
Hot = tuple[str, re.Pattern[str], Callable[..., Awaitable[bytes]]]


class Edge:
    """The ASGI application that a server is given.

    :param app: answers what is not hot
    :param hot: answered here
    """

    def __init__(self, app: ASGI, authenticator: Authenticator, uses: Uses, hot: Sequence[Hot]) -> None:
        self._app = app
        self._authenticator = authenticator
        self._uses = uses
        self._hot = hot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return  # no websockets here; a server that asks for a lifespan is content with silence
        request = Request(scope, receive, send, self._uses.limits.request_bytes)
        try:
            await self._answer(request)
        except Exception as error:  # noqa: BLE001 - one request must not take others with it; it is logged below
            await self._refuse(request, error)

    async def _answer(self, request: Request) -> None:
        if request.path in OPEN:
            await self._app(request.scope, request.receive, request.send)
            return
        caller = await self._authenticator.authenticate(request.header(b"authorization"))
        if caller is None:
            raise refusals.unauthenticated()
        length = request.header(b"content-length")
        if length is not None and length.isdigit() and int(length) > self._uses.limits.request_bytes:
            raise refusals.body_too_large(self._uses.limits.request_bytes)
        if not await self._answer_hot(request, caller):
            request.scope.setdefault("state", {}).update(caller=caller, uses=self._uses, wire=request.wire)
            await self._app(request.scope, request.receive, request.send)

    async def _answer_hot(self, request: Request, caller: Caller) -> bool:
        for method, path, handler in self._hot:
            if method == request.method:
                match = path.fullmatch(request.path)
                if match is not None:
                    await request.answer(200, await handler(self._uses, caller, request, *match.groups()))
                    return True
        return False

    async def _refuse(self, request: Request, error: Exception) -> None:
        refusal = as_refusal(error)
        if refusal is None:
            request_id = new_id()
            logger.error("request %s: %s %s failed", request_id, request.method, request.path, exc_info=error)
            refusal = internal_error(request_id)
        if request.answered:
            return
        # What is left of a body that is too large is not read.
        headers = [(b"connection", b"close")] if refusal.status == 413 else []
        await request.answer(refusal.status, body_of(refusal), *headers)
