"""With whom endpoints are shared."""

from __future__ import annotations

from afield.service.api.ask import Ask
from afield.wire.rest_people import Grant, GrantList, GrantWish

__all__ = ["grants", "share", "unshare"]


async def grants(ask: Ask, endpoint_id: str) -> GrantList:
    """With whom an endpoint is shared."""
    return await ask.uses.sharing.grants(ask.caller, endpoint_id)


async def share(ask: Ask, endpoint_id: str, body: GrantWish) -> Grant:
    """Share an endpoint with a person or a group, or change what they may."""
    return await ask.uses.sharing.share(ask.caller, endpoint_id, body)


async def unshare(ask: Ask, endpoint_id: str, principal: str, principal_id: str) -> dict[str, int]:
    """Take back what was granted to a person (principal: identity) or a group; what they run there ends."""
    await ask.uses.sharing.unshare(ask.caller, endpoint_id, principal, principal_id)
    return {"deleted": 1}
