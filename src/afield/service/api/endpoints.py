"""Endpoints: register, look at, stop, delete."""

from __future__ import annotations

from afield.service.api.ask import Ask
from afield.wire.rest import (
    AllowedFunctions,
    EndpointDocument,
    EndpointRegistered,
    EndpointRegistration,
    EndpointStatus,
    EndpointSummary,
    LockResponse,
)

__all__ = ["allowed_functions", "delete", "describe", "listing", "lock", "register", "register_again", "status"]


async def register(ask: Ask, body: EndpointRegistration) -> EndpointRegistered:
    """Register an endpoint that has no id yet."""
    return await ask.uses.register_endpoint.new(ask.caller, body)


async def register_again(ask: Ask, endpoint_id: str, body: EndpointRegistration) -> EndpointRegistered:
    """Register an endpoint again, under its id."""
    return await ask.uses.register_endpoint.again(ask.caller, endpoint_id, body)


async def listing(ask: Ask) -> list[EndpointSummary]:
    """Endpoints that the caller owns, or with role=any all that they may see; search: part of a name or a machine's."""
    return await ask.uses.endpoints.list(ask.caller, ask.query("role") or "owner", ask.query("search"))


async def describe(ask: Ask, endpoint_id: str) -> EndpointDocument:
    """What an endpoint said of itself."""
    return await ask.uses.endpoints.describe(ask.caller, endpoint_id)


async def status(ask: Ask, endpoint_id: str) -> EndpointStatus:
    """Whether an endpoint is online, and how busy."""
    return await ask.uses.endpoints.status(ask.caller, endpoint_id)


async def allowed_functions(ask: Ask, endpoint_id: str) -> AllowedFunctions:
    """Which functions may run on an endpoint."""
    return await ask.uses.endpoints.allowed_functions(ask.caller, endpoint_id)


async def lock(ask: Ask, endpoint_id: str) -> LockResponse:
    """Stop an endpoint from afar, and keep it out for a while."""
    return await ask.uses.endpoints.lock(ask.caller, endpoint_id)


async def unlock(ask: Ask, endpoint_id: str) -> LockResponse:
    """Let an endpoint that was stopped from afar start again at once."""
    return await ask.uses.endpoints.unlock(ask.caller, endpoint_id)


async def delete(ask: Ask, endpoint_id: str) -> dict[str, int]:
    """Forget an endpoint; tasks that wait for it fail."""
    await ask.uses.endpoints.delete(ask.caller, endpoint_id)
    return {"result": 302}  # the published answer
