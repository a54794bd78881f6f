"""Authentication policies: how one must have logged in to use what they protect."""

from __future__ import annotations

from afield.service.api.ask import Ask
from afield.wire.rest_people import Policy, PolicyList, PolicyWish

__all__ = ["delete", "describe", "listing", "make", "replace"]


async def listing(ask: Ask) -> PolicyList:
    """The caller's policies."""
    return await ask.uses.policies.list(ask.caller)


async def make(ask: Ask, body: PolicyWish) -> Policy:
    """Make a policy. An endpoint names it as its authentication_policy."""
    return await ask.uses.policies.make(ask.caller, body)


async def describe(ask: Ask, policy_id: str) -> Policy:
    """What a policy asks for."""
    return await ask.uses.policies.describe(ask.caller, policy_id)


async def replace(ask: Ask, policy_id: str, body: PolicyWish) -> Policy:
    """Let a policy ask for something else, on all that it protects."""
    return await ask.uses.policies.replace(ask.caller, policy_id, body)


async def delete(ask: Ask, policy_id: str) -> dict[str, int]:
    """Remove a policy that protects nothing."""
    await ask.uses.policies.delete(ask.caller, policy_id)
    return {"deleted": 1}
