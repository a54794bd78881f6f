"""Functions: register, read, list, delete."""

from __future__ import annotations

from afield.service.api.ask import Ask
from afield.wire.rest import FunctionDocument, FunctionList, FunctionRegistered, FunctionRegistration

__all__ = ["delete", "listing", "read", "register"]


async def register(ask: Ask, body: FunctionRegistration) -> FunctionRegistered:
    """Register a function, packed by a serializer or as plain source."""
    return await ask.uses.functions.register(ask.caller, body)


async def read(ask: Ask, function_id: str) -> FunctionDocument:
    """A function with its code."""
    return await ask.uses.functions.read(ask.caller, function_id)


async def listing(ask: Ask) -> FunctionList:
    """The caller's functions, the newest first, without their code."""
    return await ask.uses.lists.functions(
        ask.caller, search=ask.query("search") or None, before=ask.query("before") or None, limit=ask.limit()
    )


async def delete(ask: Ask, function_id: str) -> dict[str, int]:
    """Let nobody use a function from now on."""
    await ask.uses.functions.delete(ask.caller, function_id)
    return {"result": 302}  # the published answer
