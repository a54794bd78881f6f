"""People in memory: the verified fake of :mod:`afield.service.store.people`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from afield.service.domain.people import (
    AccountRecord,
    ClientRecord,
    ConsentRecord,
    GrantRecord,
    IdentityRecord,
    KeyRecord,
    LinkRecord,
    MemberRecord,
    PolicyRecord,
    Principal,
    TeamRecord,
    TicketRecord,
    TokenRecord,
)
from afield.service.store.base import AlreadyStored
from afield.service.store.texts import check_people

__all__ = ["MemoryPeople"]


class MemoryPeople:
    """A :class:`~afield.service.store.people.People` that is gone with its process."""

    def __init__(self) -> None:
        self._identities: dict[str, IdentityRecord] = {}
        self._accounts: dict[str, AccountRecord] = {}
        self._links: dict[tuple[str, str], LinkRecord] = {}
        self._clients: dict[str, ClientRecord] = {}
        self._tokens: dict[bytes, TokenRecord] = {}
        self._tickets: dict[bytes, TicketRecord] = {}
        self._consents: dict[tuple[str, str], ConsentRecord] = {}
        self._keys: dict[str, KeyRecord] = {}
        self._teams: dict[str, TeamRecord] = {}
        self._members: dict[tuple[str, str], MemberRecord] = {}
        self._grants: dict[tuple[str, Principal, str], GrantRecord] = {}
        self._policies: dict[str, PolicyRecord] = {}

    # -- who ---------------------------------------------------------------------------------------------------------

    async def put_identity(self, identity: IdentityRecord) -> None:
        """Add or replace."""
        check_people(identity)
        self._identities[identity.id] = identity

    async def identity(self, identity_id: str) -> IdentityRecord | None:
        """By id."""
        return self._identities.get(identity_id)

    async def identities(self, identity_ids: Iterable[str]) -> dict[str, IdentityRecord]:
        """Those that exist."""
        return {each: self._identities[each] for each in identity_ids if each in self._identities}

    async def identities_named(self, usernames: Iterable[str]) -> list[IdentityRecord]:
        """By username."""
        wanted = {name.lower() for name in usernames}
        return _oldest_first(one for one in self._identities.values() if one.username.lower() in wanted)

    async def identities_of(self, person_id: str) -> list[IdentityRecord]:
        """All of one person."""
        return _oldest_first(one for one in self._identities.values() if one.person_id == person_id)

    async def put_account(self, account: AccountRecord, identity: IdentityRecord | None = None) -> None:
        """Add or replace."""
        check_people(account)
        if identity is not None:
            check_people(identity)
        other = await self.account(account.username)
        if other is not None and other.identity_id != account.identity_id:
            raise AlreadyStored("account")
        self._accounts[account.identity_id] = account
        if identity is not None:
            self._identities[identity.id] = identity

    async def change_account(self, before: AccountRecord, after: AccountRecord) -> bool:
        """Replace, if it is as it was."""
        check_people(after)
        is_as_before = self._accounts.get(before.identity_id) == before
        if is_as_before:
            self._accounts[before.identity_id] = after
        return is_as_before

    async def account(self, username: str) -> AccountRecord | None:
        """By username."""
        handle = username.lower()
        return next((one for one in self._accounts.values() if one.username.lower() == handle), None)

    async def account_of(self, identity_id: str) -> AccountRecord | None:
        """By identity."""
        return self._accounts.get(identity_id)

    async def accounts(self) -> list[AccountRecord]:
        """All."""
        return sorted(self._accounts.values(), key=lambda one: one.username.lower())

    async def put_link(self, link: LinkRecord) -> None:
        """Add."""
        check_people(link)
        if (link.issuer, link.subject) in self._links:
            raise AlreadyStored("link")
        self._links[link.issuer, link.subject] = link

    async def link(self, issuer: str, subject: str) -> LinkRecord | None:
        """By issuer and subject."""
        return self._links.get((issuer, subject))

    async def links_of(self, identity_id: str) -> list[LinkRecord]:
        """Of an identity."""
        return _oldest_first(one for one in self._links.values() if one.identity_id == identity_id)

    async def delete_link(self, issuer: str, subject: str) -> bool:
        """Forget it."""
        return self._links.pop((issuer, subject), None) is not None

    # -- how they come in --------------------------------------------------------------------------------------------

    async def put_client(self, client: ClientRecord) -> None:
        """Add or replace."""
        check_people(client)
        self._clients[client.id] = client

    async def change_client(self, client: ClientRecord) -> bool:
        """Replace."""
        return _change(self._clients, client)

    async def client(self, client_id: str) -> ClientRecord | None:
        """By id."""
        return self._clients.get(client_id)

    async def clients_of(self, owner_id: str) -> list[ClientRecord]:
        """Somebody's."""
        return _oldest_first(one for one in self._clients.values() if one.owner_id == owner_id)

    async def delete_client(self, client_id: str) -> bool:
        """Remove it."""
        found = self._clients.pop(client_id, None)
        if found is not None:
            _drop(self._tokens, lambda token: client_id in {token.client_id, token.identity_id})
            _drop(self._consents, lambda consent: consent.client_id == client_id)
        return found is not None

    async def put_token(self, token: TokenRecord) -> None:
        """Add or replace."""
        check_people(token)
        self._tokens[token.digest] = token

    async def token(self, digest: bytes) -> TokenRecord | None:
        """By digest."""
        return self._tokens.get(digest)

    async def tokens_of(self, identity_id: str) -> list[TokenRecord]:
        """Somebody's."""
        return _oldest_first(one for one in self._tokens.values() if one.identity_id == identity_id)

    async def prolong_token(self, digest: bytes, expires_at: float) -> bool:
        """Let it expire then."""
        token = self._tokens.get(digest)
        if token is not None:
            self._tokens[digest] = msgspec.structs.replace(token, expires_at=expires_at)
        return token is not None

    async def delete_token(self, digest: bytes) -> bool:
        """Forget it."""
        return self._tokens.pop(digest, None) is not None

    async def delete_tokens(
        self, *, family: str | None = None, identity_id: str | None = None, client_id: str | None = None
    ) -> int:
        """Forget all that match."""
        wanted = {"family": family, "identity_id": identity_id, "client_id": client_id}
        given = {name: value for name, value in wanted.items() if value is not None}
        if not given:
            raise ValueError("delete_tokens was told of none: name a family, an identity or a client")
        return _drop(self._tokens, lambda token: all(getattr(token, name) == value for name, value in given.items()))

    async def put_ticket(self, ticket: TicketRecord) -> None:
        """Add or replace."""
        check_people(ticket)
        content = msgspec.json.decode(msgspec.json.encode(ticket.content))
        self._tickets[ticket.digest] = msgspec.structs.replace(ticket, content=content)

    async def ticket(self, digest: bytes) -> TicketRecord | None:
        """Look at it."""
        return self._tickets.get(digest)

    async def take_ticket(self, digest: bytes) -> TicketRecord | None:
        """Have it and forget it."""
        return self._tickets.pop(digest, None)

    async def put_consent(self, consent: ConsentRecord) -> None:
        """Add or replace."""
        check_people(consent)
        self._consents[consent.identity_id, consent.client_id] = consent

    async def consent(self, identity_id: str, client_id: str) -> ConsentRecord | None:
        """Of one for one."""
        return self._consents.get((identity_id, client_id))

    async def consents_of(self, identity_id: str) -> list[ConsentRecord]:
        """Somebody's."""
        return _oldest_first(one for one in self._consents.values() if one.identity_id == identity_id)

    async def delete_consent(self, identity_id: str, client_id: str) -> bool:
        """Take it back."""
        return self._consents.pop((identity_id, client_id), None) is not None

    async def put_key(self, key: KeyRecord) -> None:
        """Add or replace."""
        check_people(key)
        self._keys[key.id] = key

    async def keys(self) -> list[KeyRecord]:
        """All."""
        return _oldest_first(self._keys.values())[::-1]

    async def delete_key(self, key_id: str) -> bool:
        """Forget it."""
        return self._keys.pop(key_id, None) is not None

    # -- with whom they share ----------------------------------------------------------------------------------------

    async def put_team(self, team: TeamRecord) -> None:
        """Add or replace."""
        check_people(team)
        self._teams[team.id] = team

    async def change_team(self, team: TeamRecord) -> bool:
        """Replace."""
        return _change(self._teams, team)

    async def team(self, team_id: str) -> TeamRecord | None:
        """By id."""
        return self._teams.get(team_id)

    async def teams(self, team_ids: Iterable[str]) -> dict[str, TeamRecord]:
        """Those that exist."""
        return {each: self._teams[each] for each in team_ids if each in self._teams}

    async def delete_team(self, team_id: str) -> bool:
        """Remove it."""
        found = self._teams.pop(team_id, None)
        _drop(self._members, lambda member: member.team_id == team_id)
        _drop(self._grants, lambda grant: (grant.principal, grant.principal_id) == (Principal.TEAM, team_id))
        return found is not None

    async def put_member(self, member: MemberRecord) -> bool:
        """Add or replace, in a group that is there."""
        check_people(member)
        if member.team_id not in self._teams:
            return False
        self._members[member.team_id, member.identity_id] = member
        return True

    async def delete_member(self, team_id: str, identity_id: str) -> bool:
        """End it."""
        return self._members.pop((team_id, identity_id), None) is not None

    async def members(self, team_id: str) -> list[MemberRecord]:
        """Of a group."""
        return _oldest_first(one for one in self._members.values() if one.team_id == team_id)

    async def memberships(self, identity_ids: Sequence[str]) -> list[MemberRecord]:
        """Of identities."""
        return _oldest_first(one for one in self._members.values() if one.identity_id in identity_ids)

    async def put_grant(self, grant: GrantRecord) -> None:
        """Add or replace."""
        check_people(grant)
        self._grants[grant.object_id, grant.principal, grant.principal_id] = grant

    async def delete_grant(self, object_id: str, principal: Principal, principal_id: str) -> bool:
        """Take it back."""
        return self._grants.pop((object_id, principal, principal_id), None) is not None

    async def grants_on(self, object_id: str) -> list[GrantRecord]:
        """On an object."""
        return _oldest_first(one for one in self._grants.values() if one.object_id == object_id)

    async def grants_to(self, principals: Sequence[tuple[Principal, str]]) -> list[GrantRecord]:
        """To any of these."""
        wanted = set(principals)
        return _oldest_first(one for one in self._grants.values() if (one.principal, one.principal_id) in wanted)

    async def put_policy(self, policy: PolicyRecord) -> None:
        """Add or replace."""
        check_people(policy)
        self._policies[policy.id] = policy

    async def change_policy(self, policy: PolicyRecord) -> bool:
        """Replace."""
        return _change(self._policies, policy)

    async def policy(self, policy_id: str) -> PolicyRecord | None:
        """By id."""
        return self._policies.get(policy_id)

    async def policies_of(self, owner_id: str) -> list[PolicyRecord]:
        """Somebody's."""
        return _oldest_first(one for one in self._policies.values() if one.owner_id == owner_id)

    async def delete_policy(self, policy_id: str) -> bool:
        """Remove it."""
        return self._policies.pop(policy_id, None) is not None

    async def forget_expired(self, now: float) -> int:
        """What expired before now."""
        gone = _drop(self._tokens, lambda token: token.expires_at is not None and token.expires_at < now)
        return gone + _drop(self._tickets, lambda ticket: ticket.expires_at < now)


def _oldest_first(records: Iterable[Any]) -> list[Any]:
    return sorted(records, key=lambda record: record.created_at)


def _drop(records: dict[Any, Any], is_gone: Any) -> int:
    gone = [key for key, record in records.items() if is_gone(record)]
    for key in gone:
        del records[key]
    return len(gone)


def _change(records: dict[str, Any], record: Any) -> bool:
    check_people(record)
    if record.id not in records:
        return False
    records[record.id] = record
    return True
