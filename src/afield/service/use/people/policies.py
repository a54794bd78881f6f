"""Authentication policies: make, read, change, delete."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afield.ids import new_id, parse_id
from afield.service.clock import Clock
from afield.service.domain import people_refusals, refusals
from afield.service.domain.access import Action
from afield.service.domain.caller import Caller
from afield.service.domain.people import PolicyRecord
from afield.service.domain.policies import is_domain
from afield.service.store.base import Store
from afield.service.use.people.permit import Permit
from afield.wire.rest_people import Policy, PolicyList, PolicyWish

__all__ = ["Policies"]


class Policies:
    """What can be done with policies."""

    def __init__(self, store: Store, *, permit: Permit, clock: Clock) -> None:
        self._store = store
        self._people = store.people
        self._permit = permit
        self._clock = clock

    async def list(self, caller: Caller) -> PolicyList:
        """The caller's; the oldest first."""
        return PolicyList([_shown(one) for each in caller.ids for one in await self._people.policies_of(each)])

    async def make(self, caller: Caller, wish: PolicyWish) -> Policy:
        """A new one.

        :raises Refusal: it has no name, a domain is none, or it would let nobody in
        """
        blank = PolicyRecord(new_id(), caller.id, "", self._clock.now())
        policy = _as_wished(blank, wish)
        await self._people.put_policy(policy)
        return _shown(policy)

    async def describe(self, caller: Caller, policy_id: str) -> Policy:
        """What it asks for. Whoever is refused by it may know.

        :raises Refusal: unknown
        """
        return _shown(await self._find(Action.SEE_POLICY, caller, policy_id))

    async def replace(self, caller: Caller, policy_id: str, wish: PolicyWish) -> Policy:
        """Let it ask for something else, at once, on all that it protects.

        :raises Refusal: unknown, somebody else's, still needed as it is, or as for :meth:`make`
        """
        found = await self._find(Action.CHANGE_POLICY, caller, policy_id)
        policy = _as_wished(found, wish)
        if found.high_assurance and not policy.high_assurance:
            used = [one.id for one in await self._store.endpoints() if one.authentication_policy == found.id]
            if used:
                raise _in_use(found, used, "cannot stop being one of high assurance")
        if not await self._people.change_policy(policy):
            raise people_refusals.policy_not_found(policy.id)  # it was deleted a moment ago
        return _shown(policy)

    async def delete(self, caller: Caller, policy_id: str) -> None:
        """Remove it; nothing may be protected by it.

        :raises Refusal: unknown, somebody else's, or in use
        """
        found = await self._find(Action.CHANGE_POLICY, caller, policy_id)
        used = [one.id for one in await self._store.endpoints() if one.authentication_policy == found.id]
        if used:
            raise _in_use(found, used, "cannot be deleted")
        await self._people.delete_policy(found.id)

    async def _find(self, action: Action, caller: Caller, policy_id: str) -> PolicyRecord:
        policy_id = parse_id(policy_id, "policy")
        found = await self._people.policy(policy_id)
        if found is None:
            raise people_refusals.policy_not_found(policy_id)
        await self._permit.check(action, caller, found)
        return found


def _as_wished(found: PolicyRecord, wish: PolicyWish) -> PolicyRecord:
    if not wish.name.strip():
        raise refusals.invalid("The name of a policy is empty: whoever it refuses knows it by that.")
    for domain in (*(wish.include_domains or ()), *wish.exclude_domains):
        if not is_domain(domain):
            raise refusals.invalid(f"{domain!r} is no domain: write one such as example.org or *.example.org.")
    if wish.include_domains is not None and not set(map(str.lower, wish.include_domains)) - set(
        map(str.lower, wish.exclude_domains)
    ):
        raise refusals.invalid("include_domains names no domain that exclude_domains leaves: nobody would be let in.")
    return msgspec.structs.replace(
        found,
        name=wish.name.strip(),
        description=wish.description,
        high_assurance=wish.high_assurance,
        session_s=wish.session_s,
        mfa_required=wish.mfa_required,
        include_domains=None if wish.include_domains is None else tuple(wish.include_domains),
        exclude_domains=tuple(wish.exclude_domains),
    )


def _in_use(policy: PolicyRecord, used: Sequence[str], what: str) -> refusals.Refusal:
    more = f" and {len(used) - 3} more" if len(used) > 3 else ""
    return refusals.conflict(
        f"Policy {policy.name!r} {what}: it protects endpoint {', '.join(used[:3])}{more}. Register it with another "
        "policy first."
    )


def _shown(policy: PolicyRecord) -> Policy:
    return Policy(
        id=policy.id,
        owner=policy.owner_id,
        name=policy.name,
        description=policy.description,
        created_at=policy.created_at,
        high_assurance=policy.high_assurance,
        session_s=policy.session_s,
        mfa_required=policy.mfa_required,
        include_domains=None if policy.include_domains is None else [*policy.include_domains],
        exclude_domains=[*policy.exclude_domains],
    )
