"""Routes of the authorization server that take forms and give pages, redirects or OAuth's own documents.

What they take to answer (templates, keys, password hashing) is loaded when somebody first asks for one.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from afield.service.api.ask import Ask
from afield.service.api.route import Route

__all__ = ["page", "summary_of"]


def page(method: str, path: str, module: str, name: str) -> Route:
    """A route that is answered by ``name`` of ``afield.service.api.<module>``."""
    handler = partial(_late, module, name)
    return Route(method, path, handler, gives=dict[str, Any], is_open=True, is_listed=False)


def summary_of(route: Route) -> str:
    """What a route that :func:`page` made does, in a line."""
    assert isinstance(route.handler, partial)
    module, name = route.handler.args
    said = getattr(import_module(f"afield.service.api.{module}"), name).__doc__
    return " ".join((said or "").split("\n\n")[0].split())


async def _late(module: str, name: str, ask: Ask, *parameters: str) -> object:
    return await getattr(import_module(f"afield.service.api.{module}"), name)(ask, *parameters)
