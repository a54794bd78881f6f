"""The routes as an OpenAPI document, from the same table that answers, and the records that travel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from afield.service.api.route import Route
from afield.wire.rest import ErrorBody

__all__ = ["document"]

_JSON = "application/json"


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
        "info": {"title": "Afield", "version": version},
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
        "responses": {
            "200": _content("The answer", schema_of[repr(route.gives)]),
            "default": _content("A refusal", schema_of[repr(ErrorBody)]),
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if route.takes is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema_of[repr(route.takes)]}}}
    return operation


def _content(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def _parameter(name: str, where: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}}
