"""Functions: register, read, delete."""

from __future__ import annotations

from typing import Any

from afield.service.domain.caller import Caller
from afield.service.use.assemble import Uses
from afield.wire.rest import FunctionDocument, FunctionRegistered, FunctionRegistration

__all__ = ["delete_function", "read_function", "register_function"]


async def register_function(data: FunctionRegistration, caller: Caller, uses: Uses) -> FunctionRegistered:
    """Register a function, packed by a serializer or as plain source."""
    return await uses.functions.register(caller, data)


async def read_function(function_id: str, caller: Caller, uses: Uses) -> FunctionDocument:
    """A function with its code."""
    return await uses.functions.read(caller, function_id)


async def delete_function(function_id: str, caller: Caller, uses: Uses) -> dict[str, Any]:
    """Let nobody use a function from now on."""
    await uses.functions.delete(caller, function_id)
    return {"result": 302}  # the published answer
