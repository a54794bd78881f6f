"""The authorization server's part of the API's description: forms, pages and redirects (RFC 6749 and its relatives)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from afield.service.api.late import summary_of
from afield.service.api.reply import HTML, JSON
from afield.service.api.route import Route

__all__ = ["described"]

_FORM: Final = "application/x-www-form-urlencoded"
_TOKEN: Final = {
    "access_token": "…",
    "refresh_token": "…",
    "expires_in": 172800,
    "token_type": "Bearer",
    "scope": "openid",
    "resource_server": "auth.globus.org",
    "other_tokens": [],
}

#: For programs: what such a form holds, and what comes back. All others are for browsers.
_FOR_PROGRAMS: Final[Mapping[str, tuple[dict[str, str], dict[str, Any]]]] = {
    "/v2/oauth2/token": (
        {"grant_type": "refresh_token", "refresh_token": "…", "client_id": "4cf29807-cf21-49ec-9443-ff9a3fb9f81c"},
        _TOKEN,
    ),
    "/v2/oauth2/token/revoke": ({"token": "…", "client_id": "4cf29807-cf21-49ec-9443-ff9a3fb9f81c"}, {"active": False}),
    "/v2/oauth2/token/introspect": ({"token": "…"}, {"active": True, "sub": "…", "scope": "openid"}),
    "/v2/oauth2/device_authorization": (
        {"client_id": "4cf29807-cf21-49ec-9443-ff9a3fb9f81c", "scope": "openid"},
        {"device_code": "…", "user_code": "BDFH-JKLM", "verification_uri": "https://…/device", "expires_in": 900},
    ),
}


def described(routes: Iterable[Route]) -> dict[str, dict[str, Any]]:
    """The ``paths`` of routes that :func:`afield.service.api.late.page` made."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return paths


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"sign-in {route.method} {route.path}",
        "summary": summary_of(route),
        "tags": ["sign-in"],
        "security": [],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.parameters
        ],
    }
    if route.path in _FOR_PROGRAMS:
        fields, answer = _FOR_PROGRAMS[route.path]
        operation["requestBody"] = _form(fields)
        problem = {"error": "invalid_request", "error_description": "…"}
        operation["responses"] = {
            "200": _content("The answer", JSON, answer),
            "400": _content("A refusal, in the words of RFC 6749 section 5.2", JSON, problem),
            "401": _content("The client is not known, or did not prove itself", JSON, problem),
        }
        return operation
    if route.method == "POST":
        operation["requestBody"] = _form({})
    operation["responses"] = {
        "200": {"description": "A page", "content": {HTML: {"schema": {"type": "string"}}}},
        "303": {"description": "Go on elsewhere"},
        "400": {"description": "A page that says what is wrong", "content": {HTML: {"schema": {"type": "string"}}}},
    }
    return operation


def _form(fields: dict[str, str]) -> dict[str, Any]:
    said: dict[str, Any] = {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}
    if fields:
        said["example"] = fields
    return {"required": True, "content": {_FORM: said}}


def _content(description: str, kind: str, example: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": {"type": "object"}, "example": example}}}
