"""Who somebody is who does not ask just now: all that the service knows about an identity."""

from __future__ import annotations

from afield.service.auth.oauth.clients import find_client
from afield.service.domain.caller import Caller
from afield.service.domain.people import AccountRecord, IdentityRecord
from afield.service.store.people import People

__all__ = ["admitted", "all_shut_out", "caller_of", "is_proof_good", "is_shut_out", "may_come_in", "teams_of"]

#: Identities with their accounts, where they have one.
_Person = list[tuple[IdentityRecord, AccountRecord | None]]


async def admitted(people: People, identity: IdentityRecord) -> Caller | None:
    """As :func:`caller_of`; None: nobody may come in as this identity (:func:`is_shut_out`)."""
    person = await _person(people, identity)
    return None if _has_disabled(person) else await _caller(people, person)


async def caller_of(people: People, identity: IdentityRecord) -> Caller:
    """Somebody with their other identities and their groups, as if they asked without having logged in."""
    return await _caller(people, await _person(people, identity))


async def is_shut_out(people: People, identity: IdentityRecord) -> bool:
    """Whether nobody may come in as this identity: an account of its person is disabled, whichever of them has it."""
    return _has_disabled(await _person(people, identity))


async def may_come_in(people: People, identity_id: str) -> bool:
    """Whether somebody may come in as this identity: it is not shut out, and if it is a client, that is in use.

    One that is not known was never shut out, for no identity is ever forgotten.
    """
    identity = await people.identity(identity_id)
    if identity is None:
        return True
    if identity.provider == "client" and await find_client(people, identity_id) is None:
        return False
    return not await is_shut_out(people, identity)


async def all_shut_out(people: People) -> frozenset[str]:
    """The ids of all identities as which nobody may come in, for an account is disabled: its owner's, and clients'."""
    found: set[str] = set()
    for account in await people.accounts():
        if account.disabled_at is None:
            continue
        identity = await people.identity(account.identity_id)
        person = [] if identity is None else await _person(people, identity)
        found |= {account.identity_id, *(one.id for one, _ in person)}
        found |= {one.id for one in await people.clients_of(account.identity_id) if one.disabled_at is not None}
    return frozenset(found)


async def is_proof_good(people: People, identity_id: str, proof: str, now: float) -> bool:
    """Whether somebody who has this identity holds a token of this proof that has not expired.

    What stands for a personal token has its proof, and is good only as long as that one is.
    """
    identity = await people.identity(identity_id)
    everybody = [] if identity is None else [one.id for one, _ in await _person(people, identity)]
    tokens = [token for one in everybody for token in await people.tokens_of(one)]
    good = [one for one in tokens if one.stands_for is None and (one.expires_at is None or now < one.expires_at)]
    return any(one.proof == proof for one in good)


async def _person(people: People, identity: IdentityRecord) -> _Person:
    """The identity itself first, then the others of whoever has it."""
    everybody = [identity]
    if identity.person_id is not None:
        everybody += [one for one in await people.identities_of(identity.person_id) if one.id != identity.id]
    return [(one, await people.account_of(one.id)) for one in everybody]


def _has_disabled(person: _Person) -> bool:
    return any(account is not None and account.disabled_at is not None for _, account in person)


async def _caller(people: People, person: _Person) -> Caller:
    everybody, accounts = [one for one, _ in person], [account for _, account in person]
    identity = everybody[0]
    in_use = [account is None or account.disabled_at is None for account in accounts]
    linked = tuple(one for one, good in zip(everybody[1:], in_use[1:], strict=True) if good)
    is_admin = any(good and one is not None and one.is_admin for one, good in zip(accounts, in_use, strict=True))
    caller = Caller(identity, linked)
    return Caller(identity, linked, await teams_of(people, caller), is_admin=is_admin)


async def teams_of(people: People, caller: Caller) -> frozenset[str]:
    """The ids of the groups that one of somebody's identities is in."""
    return frozenset(member.team_id for member in await people.memberships(caller.ids))
