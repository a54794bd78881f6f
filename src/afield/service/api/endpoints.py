"""Endpoints: register, look at, stop, delete."""

from __future__ import annotations

from typing import Any

from afield.service.domain.caller import Caller
from afield.service.use.assemble import Uses
from afield.wire.rest import (
    AllowedFunctions,
    EndpointDocument,
    EndpointRegistered,
    EndpointRegistration,
    EndpointStatus,
    EndpointSummary,
    LockResponse,
)

__all__ = [
    "allowed_functions",
    "delete_endpoint",
    "describe_endpoint",
    "endpoint_status",
    "list_endpoints",
    "lock_endpoint",
    "register_endpoint",
    "register_endpoint_again",
]


async def register_endpoint(data: EndpointRegistration, caller: Caller, uses: Uses) -> EndpointRegistered:
    """Register an endpoint that has no id yet."""
    return await uses.register_endpoint.new(caller, data)


async def register_endpoint_again(
    endpoint_id: str, data: EndpointRegistration, caller: Caller, uses: Uses
) -> EndpointRegistered:
    """Register an endpoint again, under its id."""
    return await uses.register_endpoint.again(caller, endpoint_id, data)


async def list_endpoints(caller: Caller, uses: Uses, role: str = "owner") -> list[EndpointSummary]:
    """Endpoints that the caller owns, or with role=any all that they may see."""
    return await uses.endpoints.list(caller, role)


async def describe_endpoint(endpoint_id: str, caller: Caller, uses: Uses) -> EndpointDocument:
    """What an endpoint said of itself."""
    return await uses.endpoints.describe(caller, endpoint_id)


async def endpoint_status(endpoint_id: str, caller: Caller, uses: Uses) -> EndpointStatus:
    """Whether an endpoint is online, and how busy."""
    return await uses.endpoints.status(caller, endpoint_id)


async def allowed_functions(endpoint_id: str, caller: Caller, uses: Uses) -> AllowedFunctions:
    """Which functions may run on an endpoint."""
    return await uses.endpoints.allowed_functions(caller, endpoint_id)


async def lock_endpoint(endpoint_id: str, caller: Caller, uses: Uses) -> LockResponse:
    """Stop an endpoint from afar, and keep it out for a while."""
    return await uses.endpoints.lock(caller, endpoint_id)


async def delete_endpoint(endpoint_id: str, caller: Caller, uses: Uses) -> dict[str, Any]:
    """Forget an endpoint."""
    await uses.endpoints.delete(caller, endpoint_id)
    return {"result": 302}  # the published answer
