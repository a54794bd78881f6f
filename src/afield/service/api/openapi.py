"""The routes as an OpenAPI document, from the same table that answers, and the records that travel.

What is published, and what is ours beside it, are told apart: ours has a path below ``/afield/v1`` and the mark
``x-afield-extension``. Additional fields of published bodies are described where they are declared
(:mod:`afield.wire.rest`); clients that do not know them leave them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from afield.service.api.route import Route
from afield.service.api.samples import sample
from afield.wire.rest import ErrorBody

__all__ = ["EXTENSION_PREFIX", "document"]

#: Below this are the routes that are ours; the number rises when one of them changes in a way that breaks clients.
EXTENSION_PREFIX: Final = "/afield/v1/"

#: What operators ask, which is ours too, and stands where their programs look for it.
_FOR_OPERATORS: Final = frozenset({"/health", "/healthz", "/ready", "/metrics", "/openapi.json"})

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"

_ABOUT: Final = (
    "Afield's REST API. Paths below `/v2` and `/v3` are the published contract of Globus Compute, which its clients "
    "speak; paths below `/afield/v1` are an extension of it, marked `x-afield-extension`: a client of the published "
    "contract never needs them, and they do not change what the others do. Every answer from 400 up is an `ErrorBody`, "
    "and every answer has the header `X-Request-ID`, under which the service's log says more."
)

#: The refusals that a route may give, beside those of any: what was asked is wrong, and nobody is known.
_REFUSALS: Final = {
    400: "The request is malformed, or an id is none",
    401: "No token, or one that lets nobody in",
    403: "Not yours, or not by this login",
    404: "Not here",
    409: "Somebody else has it at this moment",
    413: "Too large",
    415: "The body is no JSON",
    422: "Understood, and it cannot be",
    423: "Locked for a while",
    429: "Too many requests, or too many tasks waiting; Retry-After says when to come again",
}
_FOR_ALL: Final = (400, 401, 403, 404, 422, 429)
_FOR_BODIES: Final = (409, 413, 415)
_FOR_OPEN: Final = (400, 404, 429)


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0)."""
    types = [one for route in routes for one in (route.takes, route.gives) if one is not None]
    schemas, components = msgspec.json.schema_components(
        [*types, ErrorBody], ref_template="#/components/schemas/{name}"
    )
    schema_of = dict(zip(map(repr, [*types, ErrorBody]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Afield", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, schema_of: dict[str, Any]) -> dict[str, Any]:
    parameters = [_parameter(name, "path") for name in route.parameters]
    parameters += [_parameter(name, "query") for name in route.query]
    topic = route.handler.__module__.rpartition(".")[2]
    operation: dict[str, Any] = {
        "operationId": f"{topic}.{route.handler.__name__} {route.method} {route.path}",
        "summary": (route.handler.__doc__ or "").strip(),
        "tags": [topic],
        "security": [] if route.is_open else [{"token": []}],
        "responses": _responses(route, schema_of),
    }
    if route.path.startswith(EXTENSION_PREFIX) or route.path in _FOR_OPERATORS:
        operation["x-afield-extension"] = True
    if parameters:
        operation["parameters"] = parameters
    if route.takes is not None:
        operation["requestBody"] = {"required": True, "content": _json(route.takes, schema_of)}
    return operation


def _responses(route: Route, schema_of: dict[str, Any]) -> dict[str, Any]:
    given = {_TEXT: {"schema": {"type": "string"}}} if route.gives is str else _json(route.gives, schema_of)
    responses: dict[str, Any] = {"200": {"description": "The answer", "content": given}}
    statuses = [*(_FOR_OPEN if route.is_open else _FOR_ALL)]
    if route.takes is not None or route.method in {"PUT", "POST", "DELETE"}:
        statuses += [*_FOR_BODIES, 423]
    for status in sorted(statuses):
        responses[str(status)] = _refusal(_REFUSALS[status], schema_of)
    if route.path == "/ready":
        responses["503"] = _refusal("Not ready; Retry-After says when to look again", schema_of)
    return responses


def _refusal(description: str, schema_of: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": _json(ErrorBody, schema_of)}


def _json(kind: Any, schema_of: dict[str, Any]) -> dict[str, Any]:
    return {_JSON: {"schema": schema_of[repr(kind)], "example": sample(kind)}}


def _parameter(name: str, where: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if where == "path" and name.endswith("_id"):
        schema["format"] = "uuid"
    elif name == "limit":
        schema = {"type": "integer", "minimum": 1, "maximum": 1000}
    return {"name": name, "in": where, "required": where == "path", "schema": schema}
