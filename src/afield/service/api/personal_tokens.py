"""Who asks, and the tokens by which they and their programs come in."""

from __future__ import annotations

from afield.service.api.ask import Ask
from afield.service.domain.people import TokenRecord
from afield.wire.rest_logins import NewToken, TokenList, TokenWish, WhoAmI

__all__ = ["listing", "make", "revoke", "token_of", "whoami"]


async def token_of(ask: Ask) -> TokenRecord | None:
    """The token that came with a request; None: it was revoked a moment ago."""
    return await ask.uses.tokens.behind(ask.header(b"authorization"))


async def whoami(ask: Ask) -> WhoAmI:
    """Who the caller is, their linked identities and groups, and until when their token lets them in."""
    return await ask.uses.tokens.who(ask.caller, await token_of(ask))


async def listing(ask: Ask) -> TokenList:
    """The caller's personal access tokens, and the programs that they let in."""
    return await ask.uses.tokens.list(ask.caller)


async def make(ask: Ask, body: TokenWish) -> NewToken:
    """Make a personal access token; its text is in this answer and nowhere else."""
    return await ask.uses.tokens.make(ask.caller, await token_of(ask), body)


async def revoke(ask: Ask, token_id: str) -> dict[str, int]:
    """Revoke a personal access token, or log a program out; it lets nobody in any more."""
    await ask.uses.tokens.revoke(ask.caller, token_id)
    return {"deleted": 1}
