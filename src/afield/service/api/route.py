"""One way to ask: a method, a path, and who answers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

__all__ = ["Route"]


class Route:
    """One line of :mod:`afield.service.api.routes`.

    :param path: with the names of its parameters in braces
    :param handler: given an :class:`~afield.service.api.ask.Ask`, the parameters of the path, and the body if it takes
        one; what it returns is sent as JSON
    :param takes: the type of the body; None: there is none
    :param gives: the type of the answer
    :param query: the names of parameters behind the question mark
    :param is_open: no token is needed
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
    ) -> None:
        self.method, self.path, self.handler = method, path, handler
        self.takes, self.gives, self.query, self.is_open = takes, gives, query, is_open
        self.decode = None if takes is None else msgspec.json.Decoder(takes).decode
        self.parameters: list[str] = re.findall(r"{(\w+)}", path)
        #: of a path: a match whose groups are the parameters, or None
        self.match = re.compile(re.sub(r"{\w+}", "([^/]+)", path)).fullmatch
