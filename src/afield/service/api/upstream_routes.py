"""The routes by which people come from other providers."""

from __future__ import annotations

from typing import Final

from afield.service.api.late import page
from afield.service.api.route import Route

__all__ = ["UPSTREAM_ROUTES"]


UPSTREAM_ROUTES: Final[tuple[Route, ...]] = (
    page("GET", "/login/{provider}", "oauth_upstream", "begin"),
    page("GET", "/login/{provider}/callback", "oauth_upstream", "came_back"),
    page("GET", "/v2/web/identities", "oauth_upstream", "identities"),
    page("POST", "/v2/web/identities/link", "oauth_upstream", "link"),
    page("POST", "/v2/web/identities/unlink", "oauth_upstream", "unlink"),
)
