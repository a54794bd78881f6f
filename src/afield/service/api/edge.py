"""The edge: finds out who asks and for what, has it answered, and says every error as the published body.

It is plain ASGI over one table. A framework would cost a request as much again as all else it costs, and the start of a
service half a second.
"""

from __future__ import annotations

import logging

import msgspec

from afield.ids import new_id
from afield.service.api.answers import as_refusal, body_of, internal_error
from afield.service.api.ask import Ask, Receive, Scope, Send
from afield.service.api.reply import Reply
from afield.service.api.routes import find
from afield.service.auth.base import Authenticator
from afield.service.domain import refusals
from afield.service.domain.refusals import Refusal
from afield.service.use.assemble import Uses

__all__ = ["Edge"]

logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class Edge:
    """The ASGI application that a server is given.

    :param uses: what can be asked for
    :param authenticator: who is asking
    """

    def __init__(self, uses: Uses, authenticator: Authenticator) -> None:
        self._uses = uses
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return  # there are no websockets here, and a lifespan needs no answer
        ask = Ask(scope, receive, self._uses)
        try:
            reply = await self._answer(ask)
        except Exception as error:  # noqa: BLE001 - one request must not take others with it; it is told and logged
            refusal = _refusal(ask, error)
            reply = Reply(body_of(refusal), refusal.status, headers=refusal.headers)
        body = reply if isinstance(reply, bytes) else reply.body
        await send(_start_of(reply, len(body)))
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, ask: Ask) -> bytes | Reply:
        found = find(ask.method, ask.path)
        # Whoever is not known here does not learn which routes there are either.
        if isinstance(found, Refusal) or not found[0].is_open:
            await self._let_in(ask)
        if isinstance(found, Refusal):
            raise found
        route, parameters = found
        if route.decode is None:
            answer = await route.handler(ask, *parameters)
        else:
            answer = await route.handler(ask, *parameters, route.decode(await ask.body()))
        return answer if isinstance(answer, Reply) else _encode(answer)

    async def _let_in(self, ask: Ask) -> None:
        caller = await self._authenticator.authenticate(ask.header(b"authorization"))
        if caller is None:
            raise refusals.unauthenticated()
        ask.caller = caller


def _start_of(reply: bytes | Reply, length: int) -> dict[str, object]:
    if isinstance(reply, bytes):
        return {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)],
        }
    said = {"content-type": reply.content_type, "content-length": str(length), **reply.headers}
    if reply.status == 413:
        said["connection"] = "close"  # what is left of the body is not read
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in said.items()]
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


def _refusal(ask: Ask, error: Exception) -> Refusal:
    refusal = as_refusal(error)
    if refusal is None:
        request_id = new_id()
        logger.error("request %s: %s %s failed", request_id, ask.method, ask.path, exc_info=error)
        refusal = internal_error(request_id)
    return refusal
