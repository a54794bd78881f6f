"""One request, as handlers see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from afield.service.api.unheard import Unheard, digest_of
from afield.service.domain import refusals
from afield.service.domain.caller import Caller
from afield.service.domain.proxies import NOBODY, Proxies
from afield.service.operate.operate import Operate
from afield.service.use.assemble import Uses
from afield.service.use.lists import DEFAULT_LIMIT, MOST
from afield.wire.v2 import WIRE_HEADER

__all__ = ["ASGI", "Ask", "Message", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
#: An application as a server calls it (https://asgi.readthedocs.io/en/latest/specs/www.html).
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

_WIRE = WIRE_HEADER.lower().encode()


class Ask:
    """What is asked, by whom, and of whom.

    :param uses: what can be asked for
    :param operate: what operators may ask
    """

    __slots__ = ("_caller", "_receive", "_scope", "method", "operate", "path", "unheard", "uses")

    def __init__(self, scope: Scope, receive: Receive, uses: Uses, operate: Operate | None = None) -> None:
        self._scope = scope
        self._receive = receive
        self._caller: Caller | None = None
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.uses = uses
        self.operate = operate or Operate()
        #: set for what came without a key, and may be repeated
        self.unheard: Unheard | None = None

    @property
    def caller(self) -> Caller:
        """Who asks. The edge has found that out, except on routes that are open to everybody."""
        assert self._caller is not None
        return self._caller

    @caller.setter
    def caller(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def known_caller(self) -> Caller | None:
        """Who asks; None: nobody was let in."""
        return self._caller

    @property
    def wire(self) -> int:
        """The highest version of the envelope that the client reads."""
        return 2 if self.header(_WIRE) not in {None, "1"} else 1

    async def expect_repetition(self, body: bytes) -> None:
        """Whoever asks may ask once more without saying so: find out whether this is such a one, or will get one."""
        digest = await digest_of(self.caller.id, self.path, self.wire, body)
        self.unheard = Unheard(self.uses.repeats.begin(digest), self._receive)

    def header(self, name: bytes) -> str | None:
        """A header's value; ``name`` in lower case."""
        for key, value in self._scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    def query(self, name: str) -> str | None:
        """A parameter behind the question mark; the last one, if there are several."""
        found = parse_qs(str(self._scope["query_string"], "latin-1"), keep_blank_values=True).get(name)
        return found[-1] if found else None

    @property
    def query_string(self) -> str:
        """All that is behind the question mark."""
        return str(self._scope["query_string"], "latin-1")

    def address(self, proxies: Proxies = NOBODY) -> str:
        """Where the request came from.

        :param proxies: whose word is taken for where they have it from
        """
        client = self._scope.get("client")
        peer = "" if client is None else str(client[0])
        said = (str(text, "latin-1") for name, text in self._scope["headers"] if name == b"x-forwarded-for")
        return proxies.origin(peer, said)

    def cookie(self, name: str) -> str | None:
        """A cookie's value."""
        said = self.header(b"cookie")
        if said is None:
            return None
        pairs = (part.strip().partition("=") for part in said.split(";"))
        return next((value for key, _, value in pairs if key == name), None)

    async def form(self) -> dict[str, str]:
        """The body as the fields of a form; of one that is there several times, the last.

        :raises Refusal: it is no form
        """
        kind = (self.header(b"content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise refusals.malformed("This route takes a form: application/x-www-form-urlencoded.")
        try:
            fields = parse_qs(
                (await self.body()).decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
            )
        except ValueError as error:
            raise refusals.malformed(f"The request's body is no form: {error}") from error
        return {name: values[-1] for name, values in fields.items()}

    def limit(self) -> int:
        """The parameter ``limit`` of a list.

        :raises Refusal: it is no number of entries that an answer may have
        """
        said = self.query("limit")
        if not said:
            return DEFAULT_LIMIT
        if not said.isascii() or not said.isdigit() or len(said) > 9 or not 1 <= int(said) <= MOST:
            raise refusals.malformed(f"limit={said!r} is not a number from 1 to {MOST:,}: write one, or leave it out.")
        return int(said)

    async def body(self, limit: int | None = None) -> bytes:
        """All of the body.

        :param limit: bytes; None: those of any request
        :raises Refusal: it is larger than any may be, or ends before its end
        """
        limit = limit or self.uses.limits.request_bytes
        length = self.header(b"content-length")
        if length is not None and length.isdigit() and int(length) > limit:
            raise refusals.body_too_large(limit)
        parts, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise refusals.malformed("The request ended before its body did.")
            part: bytes = message["body"]
            size += len(part)
            if size > limit:
                raise refusals.body_too_large(limit)
            parts.append(part)
            if not message["more_body"]:
                return parts[0] if len(parts) == 1 else b"".join(parts)
