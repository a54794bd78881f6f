"""Clients: programs that may ask for tokens."""

from __future__ import annotations

from afield.service.api.ask import Ask
from afield.service.api.personal_tokens import token_of
from afield.wire.rest_logins import ClientList, ClientWish, NewClient

__all__ = ["delete", "listing", "make"]


async def listing(ask: Ask) -> ClientList:
    """The caller's."""
    return await ask.uses.clients.list(ask.caller)


async def make(ask: Ask, body: ClientWish) -> NewClient:
    """Make one; its secret is in this answer and nowhere else."""
    return await ask.uses.clients.make(ask.caller, await token_of(ask), body)


async def delete(ask: Ask, client_id: str) -> dict[str, int]:
    """Remove one, with all tokens that were given to it."""
    await ask.uses.clients.delete(ask.caller, client_id)
    return {"deleted": 1}
