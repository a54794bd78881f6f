"""The edge: finds out who asks and for what, has it answered, and says every error as the published body.

It is plain ASGI over one table. A framework would cost a request as much again as all else it costs, and the start of a
service half a second.
"""

from __future__ import annotations

import logging
import re
from time import perf_counter
from typing import Final

import msgspec

from afield.service.api.answers import as_refusal, body_of, internal_error
from afield.service.api.ask import Ask, Receive, Scope, Send
from afield.service.api.media import check_json
from afield.service.api.reply import Reply
from afield.service.api.route import Route
from afield.service.api.routes import find
from afield.service.auth.base import Authenticator
from afield.service.domain import refusals
from afield.service.domain.refusals import Refusal
from afield.service.operate.logs import new_request_id, request_id
from afield.service.operate.operate import Operate
from afield.service.use.assemble import Uses

__all__ = ["Edge"]

logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode

#: What a front may call a request: it is written into logs and answers.
_SAID_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

#: The name of all paths that lead nowhere, in numbers and logs.
_NO_ROUTE: Final = "(none)"


class Edge:
    """The ASGI application that a server is given.

    :param uses: what can be asked for
    :param authenticator: who is asking
    :param operate: what operators may ask; None: of a service that nobody watches
    """

    def __init__(self, uses: Uses, authenticator: Authenticator, operate: Operate | None = None) -> None:
        self._uses = uses
        self._authenticator = authenticator
        self._operate = operate or Operate()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return  # there are no websockets here, and a lifespan needs no answer
        begin = perf_counter()
        ask = Ask(scope, receive, self._uses, self._operate)
        said = ask.header(b"x-request-id")
        named = said if said is not None and _SAID_ID.fullmatch(said) else new_request_id()
        request_id.set(named)  # a request is a task of its own, and so is its context
        found = find(ask.method, ask.path)
        try:
            reply = await self._answer(ask, found)
        except Exception as error:  # noqa: BLE001 - one request must not take others with it; it is told and logged
            refusal = _refusal(ask, found, named, error)
            reply = Reply(body_of(refusal), refusal.status, headers=refusal.headers)
        body = reply if isinstance(reply, bytes) else reply.body
        status = 200 if isinstance(reply, bytes) else reply.status
        await send(_start_of(reply, len(body), named))
        if ask.unheard is not None:
            ask.unheard.answered(status)
        await send({"type": "http.response.body", "body": body, "more_body": False})
        self._answered(ask, found, status, perf_counter() - begin)

    def _answered(self, ask: Ask, found: tuple[Route, tuple[str, ...]] | Refusal, status: int, seconds: float) -> None:
        # The route and not the path: that may hold an invitation's code.
        route = _route_of(found)
        self._operate.meter.answered(ask.method, route, status, seconds)
        if logger.isEnabledFor(logging.INFO):
            who = ask.known_caller
            said = {"method": ask.method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
            logger.info("answered", extra=said if who is None else {**said, "identity_id": who.id})

    async def _answer(self, ask: Ask, found: tuple[Route, tuple[str, ...]] | Refusal) -> bytes | Reply:
        # Whoever is not known here does not learn which routes there are either.
        if isinstance(found, Refusal):
            await self._let_in(ask, None)
            raise found
        if not (found[0].is_open or (found[0].opens is not None and found[0].opens(ask))):
            await self._let_in(ask, found[0].scopes)
        route, parameters = found
        if route.decode is None:
            answer = await route.handler(ask, *parameters)
        else:
            check_json(ask.header(b"content-type"), ask.header(b"content-encoding"))
            body = await ask.body()
            if route.is_repeated and ask.header(b"idempotency-key") is None:
                await ask.expect_repetition(body)
            answer = await route.handler(ask, *parameters, route.decode(body))
        return answer if isinstance(answer, Reply) else _encode(answer)

    async def _let_in(self, ask: Ask, scopes: frozenset[str] | None) -> None:
        caller = await self._authenticator.authenticate(ask.header(b"authorization"))
        if caller is None:
            raise refusals.unauthenticated()
        if scopes is not None and caller.scopes is not None and caller.scopes.isdisjoint(scopes):
            raise refusals.scope_missing(sorted(scopes))
        ask.caller = caller
        await self._uses.keep.request(caller)


def _start_of(reply: bytes | Reply, length: int, named: str) -> dict[str, object]:
    if isinstance(reply, bytes):
        return {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % length),
                (b"x-request-id", named.encode()),
            ],
        }
    said = {"content-type": reply.content_type, "content-length": str(length), "x-request-id": named, **reply.headers}
    if reply.status in {413, 415}:
        said["connection"] = "close"  # what is left of the body is not read
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in said.items()]
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


def _route_of(found: tuple[Route, tuple[str, ...]] | Refusal) -> str:
    return _NO_ROUTE if isinstance(found, Refusal) else found[0].path


def _refusal(ask: Ask, found: tuple[Route, tuple[str, ...]] | Refusal, named: str, error: Exception) -> Refusal:
    refusal = as_refusal(error)
    if refusal is None:
        logger.error("request %s: %s %s failed", named, ask.method, _route_of(found), exc_info=error)
        refusal = internal_error(named)
    elif refusal.status == 503 and error is not refusal:
        logger.warning("request %s: %s %s has to wait: %s", named, ask.method, _route_of(found), error)
    return refusal
