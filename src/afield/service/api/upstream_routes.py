"""The routes by which people come from other providers."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from afield.service.api.ask import Ask
from afield.service.api.route import Route

__all__ = ["UPSTREAM_ROUTES"]


def _page(method: str, path: str, name: str) -> Route:
    # Pages for people; what they take is loaded when somebody first asks for one.
    async def late(ask: Ask, *parameters: str) -> object:
        return await getattr(import_module("afield.service.api.oauth_upstream"), name)(ask, *parameters)

    return Route(method, path, late, gives=dict[str, Any], is_open=True, is_listed=False)


UPSTREAM_ROUTES: Final[tuple[Route, ...]] = (
    _page("GET", "/login/{provider}", "begin"),
    _page("GET", "/login/{provider}/callback", "came_back"),
    _page("GET", "/v2/web/identities", "identities"),
    _page("POST", "/v2/web/identities/link", "link"),
    _page("POST", "/v2/web/identities/unlink", "unlink"),
)
