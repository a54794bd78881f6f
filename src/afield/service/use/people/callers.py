"""Who somebody is who does not ask just now: all that the service knows about an identity."""

from __future__ import annotations

from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord
from afield.service.store.people import People

__all__ = ["caller_of", "is_shut_out", "teams_of"]


async def caller_of(people: People, identity: IdentityRecord) -> Caller:
    """Somebody with their other identities and their groups, as if they asked without having logged in."""
    everybody = [identity]
    if identity.person_id is not None:
        everybody += [one for one in await people.identities_of(identity.person_id) if one.id != identity.id]
    accounts = [await people.account_of(one.id) for one in everybody]
    in_use = [account is None or account.disabled_at is None for account in accounts]
    linked = tuple(one for one, good in zip(everybody[1:], in_use[1:], strict=True) if good)
    is_admin = any(good and one is not None and one.is_admin for one, good in zip(accounts, in_use, strict=True))
    caller = Caller(identity, linked)
    return Caller(identity, linked, await teams_of(people, caller), is_admin=is_admin)


async def is_shut_out(people: People, identity: IdentityRecord) -> bool:
    """Whether nobody may come in as this identity: an account of its person is disabled, whichever of them has it."""
    everybody = [identity]
    if identity.person_id is not None:
        everybody += await people.identities_of(identity.person_id)
    accounts = [await people.account_of(one.id) for one in everybody]
    return any(account is not None and account.disabled_at is not None for account in accounts)


async def teams_of(people: People, caller: Caller) -> frozenset[str]:
    """The ids of the groups that one of somebody's identities is in."""
    return frozenset(member.team_id for member in await people.memberships(caller.ids))
