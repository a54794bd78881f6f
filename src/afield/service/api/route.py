"""One way to ask: a method, a path, and who answers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from afield.service.auth.oauth.scopes import COMPUTE

__all__ = ["Route"]

_COMPUTE: Final = frozenset({COMPUTE})


class Route:
    """One line of :mod:`afield.service.api.routes`.

    :param path: with the names of its parameters in braces
    :param handler: given an :class:`~afield.service.api.ask.Ask`, the parameters of the path, and the body if it takes
        one; what it returns is sent as JSON
    :param takes: the type of the body; None: there is none
    :param gives: the type of the answer
    :param query: the names of parameters behind the question mark
    :param is_open: no token is needed
    :param opens: says of a request whether it needs no token, though others do
    :param scopes: a token that is good for some things only must be good for one of these
    :param is_listed: it takes and gives JSON; others are described by :mod:`afield.service.api.openapi_forms`
    :param is_repeated: asked twice it is done twice, and clients repeat it without saying so
    """

    def __init__(
        self,
        method: str,
        path: str,
        handler: Callable[..., Awaitable[object]],
        *,
        takes: Any = None,
        gives: Any,
        query: tuple[str, ...] = (),
        is_open: bool = False,
        opens: Callable[[Any], bool] | None = None,
        scopes: frozenset[str] = _COMPUTE,
        is_listed: bool = True,
        is_repeated: bool = False,
    ) -> None:
        self.method, self.path, self.handler = method, path, handler
        self.takes, self.gives, self.query, self.is_open = takes, gives, query, is_open
        self.opens, self.scopes, self.is_listed, self.is_repeated = opens, scopes, is_listed, is_repeated
        self.decode = None if takes is None else msgspec.json.Decoder(takes).decode
        self.parameters: list[str] = re.findall(r"{(\w+)}", path)
        #: of a path: a match whose groups are the parameters, or None
        self.match = re.compile(re.sub(r"{\w+}", "([^/]+)", path)).fullmatch
