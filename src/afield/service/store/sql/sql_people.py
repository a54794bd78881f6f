"""People in a database: each method is one query function, handed to a runner.

Names that no database can keep are refused when they are stored, and never asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

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
from afield.service.store.sql import people_sharing as sharing
from afield.service.store.sql import people_tokens as tokens
from afield.service.store.sql import people_who as who
from afield.service.store.sql.runner import Runner
from afield.service.store.texts import check_people, is_text

__all__ = ["SqlPeople"]

P = ParamSpec("P")
T = TypeVar("T")

#: Tokens or tickets forgotten in one commit: a few milliseconds, for which all other calls wait.
_FORGET = 1000


class SqlPeople:
    """A :class:`~afield.service.store.people.People` in SQLite or PostgreSQL.

    :param runner: runs queries on the database
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    # -- who ---------------------------------------------------------------------------------------------------------

    async def put_identity(self, identity: IdentityRecord) -> None:
        """Add, or replace the one with this id."""
        check_people(identity)
        await self._write(who.put_identity, identity)

    async def identity(self, identity_id: str) -> IdentityRecord | None:
        """By id."""
        return await self._read(who.identity, identity_id)

    async def identities(self, identity_ids: Iterable[str]) -> dict[str, IdentityRecord]:
        """Those of the ids that exist."""
        return await self._read(who.identities, list(identity_ids))

    async def identities_named(self, usernames: Iterable[str]) -> list[IdentityRecord]:
        """Those with one of these usernames, in upper or lower case; the oldest first."""
        handles = {name.lower() for name in usernames if is_text(name)}
        return await self._read(who.identities_named, sorted(handles))

    async def identities_of(self, person_id: str) -> list[IdentityRecord]:
        """All of one person; the oldest first."""
        return await self._read(who.identities_of, person_id)

    async def put_account(self, account: AccountRecord, identity: IdentityRecord | None = None) -> None:
        """Add, or replace the one of this identity.

        :param identity: added or replaced in the same commit
        :raises AlreadyStored: another identity's account has this username
        """
        check_people(account)
        if identity is not None:
            check_people(identity)
        await self._write(who.put_account, account, identity)

    async def change_account(self, before: AccountRecord, after: AccountRecord) -> bool:
        """Replace the account of an identity, if it is still as ``before``; whether it was."""
        check_people(after)
        return await self._write(who.change_account, before, after)

    async def account(self, username: str) -> AccountRecord | None:
        """By username, in upper or lower case."""
        return await self._read(who.account, username.lower()) if is_text(username) else None

    async def account_of(self, identity_id: str) -> AccountRecord | None:
        """By identity."""
        return await self._read(who.account_of, identity_id)

    async def accounts(self) -> list[AccountRecord]:
        """All, by username."""
        return await self._read(who.accounts)

    async def put_link(self, link: LinkRecord) -> None:
        """Add it.

        :raises AlreadyStored: the provider's subject is linked
        """
        check_people(link)
        await self._write(who.put_link, link)

    async def link(self, issuer: str, subject: str) -> LinkRecord | None:
        """By who vouches, and for whom."""
        return await self._read(who.link, issuer, subject) if is_text(issuer + subject) else None

    async def links_of(self, identity_id: str) -> list[LinkRecord]:
        """The outside identities behind an identity."""
        return await self._read(who.links_of, identity_id)

    async def delete_link(self, issuer: str, subject: str) -> bool:
        """Forget it; whether there was one."""
        return is_text(issuer + subject) and await self._write(who.delete_link, issuer, subject)

    # -- how they come in --------------------------------------------------------------------------------------------

    async def put_client(self, client: ClientRecord) -> None:
        """Add, or replace the one with this id."""
        check_people(client)
        await self._write(tokens.put_client, client)

    async def change_client(self, client: ClientRecord) -> bool:
        """Put it in the place of the one with its id; whether there is one."""
        check_people(client)
        return await self._write(tokens.change_client, client)

    async def client(self, client_id: str) -> ClientRecord | None:
        """By id."""
        return await self._read(tokens.client, client_id)

    async def clients_of(self, owner_id: str) -> list[ClientRecord]:
        """Somebody's; the oldest first."""
        return await self._read(tokens.clients_of, owner_id)

    async def delete_client(self, client_id: str) -> bool:
        """Remove it, with its tokens and consents; whether there was one."""
        return await self._write(tokens.delete_client, client_id)

    async def put_token(self, token: TokenRecord) -> None:
        """Add, or replace the one with this digest."""
        check_people(token)
        await self._write(tokens.put_token, token)

    async def token(self, digest: bytes) -> TokenRecord | None:
        """By the SHA-256 of the token's text."""
        return await self._read(tokens.token, digest)

    async def tokens_of(self, identity_id: str) -> list[TokenRecord]:
        """Somebody's, of all kinds, expired ones too; the oldest first."""
        return await self._read(tokens.tokens_of, identity_id)

    async def prolong_token(self, digest: bytes, expires_at: float) -> bool:
        """Let it expire at this time, in one step; whether there was one."""
        return await self._write(tokens.prolong_token, digest, expires_at)

    async def delete_token(self, digest: bytes) -> bool:
        """Forget it: it lets nobody in any more. Whether there was one."""
        return await self._write(tokens.delete_token, digest)

    async def delete_tokens(
        self, *, family: str | None = None, identity_id: str | None = None, client_id: str | None = None
    ) -> int:
        """Forget all that match everything that is given; how many that were. Something must be given."""
        wanted = {"family": family, "identity_id": identity_id, "client_id": client_id}
        given = {name: value for name, value in wanted.items() if value is not None}
        if not given:
            raise ValueError("delete_tokens was told of none: name a family, an identity or a client")
        if not all(map(is_text, given.values())):
            return 0
        return await self._write(tokens.delete_tokens, given)

    async def put_ticket(self, ticket: TicketRecord) -> None:
        """Add, or replace the one with this digest."""
        check_people(ticket)
        await self._write(tokens.put_ticket, ticket)

    async def ticket(self, digest: bytes) -> TicketRecord | None:
        """Look at it, expired or not."""
        return await self._read(tokens.ticket, digest)

    async def take_ticket(self, digest: bytes) -> TicketRecord | None:
        """Have it and forget it, in one step: of many who try at once, in any replica, one gets it."""
        return await self._write(tokens.take_ticket, digest)

    async def put_consent(self, consent: ConsentRecord) -> None:
        """Add, or replace the one of this identity for this client."""
        check_people(consent)
        await self._write(tokens.put_consent, consent)

    async def consent(self, identity_id: str, client_id: str) -> ConsentRecord | None:
        """What somebody consented to."""
        return await self._read(tokens.consent, identity_id, client_id)

    async def consents_of(self, identity_id: str) -> list[ConsentRecord]:
        """All of somebody's; the oldest first."""
        return await self._read(tokens.consents_of, identity_id)

    async def delete_consent(self, identity_id: str, client_id: str) -> bool:
        """Take it back; whether there was one."""
        return await self._write(tokens.delete_consent, identity_id, client_id)

    async def put_key(self, key: KeyRecord) -> None:
        """Add, or replace the one with this id."""
        check_people(key)
        await self._write(tokens.put_key, key)

    async def keys(self) -> list[KeyRecord]:
        """All; the newest first."""
        return await self._read(tokens.keys)

    async def delete_key(self, key_id: str) -> bool:
        """Forget it; whether there was one."""
        return await self._write(tokens.delete_key, key_id)

    # -- with whom they share ----------------------------------------------------------------------------------------

    async def put_team(self, team: TeamRecord) -> None:
        """Add, or replace the one with this id."""
        check_people(team)
        await self._write(sharing.put_team, team)

    async def change_team(self, team: TeamRecord) -> bool:
        """Put it in the place of the one with its id; whether there is one."""
        check_people(team)
        return await self._write(sharing.change_team, team)

    async def team(self, team_id: str) -> TeamRecord | None:
        """By id."""
        return await self._read(sharing.team, team_id)

    async def teams(self, team_ids: Iterable[str]) -> dict[str, TeamRecord]:
        """Those of the ids that exist."""
        return await self._read(sharing.teams, list(team_ids))

    async def delete_team(self, team_id: str) -> bool:
        """Remove it with its memberships and what was granted to it; whether there was one."""
        return await self._write(sharing.delete_team, team_id)

    async def put_member(self, member: MemberRecord) -> bool:
        """Add, or replace the membership; whether there is such a group: nobody is in one that is not there."""
        check_people(member)
        return await self._write(sharing.put_member, member)

    async def delete_member(self, team_id: str, identity_id: str) -> bool:
        """End a membership; whether there was one."""
        return await self._write(sharing.delete_member, team_id, identity_id)

    async def members(self, team_id: str) -> list[MemberRecord]:
        """Of a group; the oldest first."""
        return await self._read(sharing.members, team_id)

    async def memberships(self, identity_ids: Sequence[str]) -> list[MemberRecord]:
        """Of these identities; the oldest first."""
        return await self._read(sharing.memberships, list(dict.fromkeys(identity_ids)))

    async def put_grant(self, grant: GrantRecord) -> None:
        """Add, or replace what its principal was granted on its object."""
        check_people(grant)
        await self._write(sharing.put_grant, grant)

    async def delete_grant(self, object_id: str, principal: Principal, principal_id: str) -> bool:
        """Take it back; whether there was one."""
        return await self._write(sharing.delete_grant, object_id, principal, principal_id)

    async def grants_on(self, object_id: str) -> list[GrantRecord]:
        """To whom something is shared; the oldest first."""
        return await self._read(sharing.grants_on, object_id)

    async def grants_to(self, principals: Sequence[tuple[Principal, str]]) -> list[GrantRecord]:
        """What is shared with any of these; the oldest first."""
        return await self._read(sharing.grants_to, list(dict.fromkeys(principals)))

    async def put_policy(self, policy: PolicyRecord) -> None:
        """Add, or replace the one with this id."""
        check_people(policy)
        await self._write(sharing.put_policy, policy)

    async def change_policy(self, policy: PolicyRecord) -> bool:
        """Put it in the place of the one with its id; whether there is one."""
        check_people(policy)
        return await self._write(sharing.change_policy, policy)

    async def policy(self, policy_id: str) -> PolicyRecord | None:
        """By id."""
        return await self._read(sharing.policy, policy_id)

    async def policies_of(self, owner_id: str) -> list[PolicyRecord]:
        """Somebody's; the oldest first."""
        return await self._read(sharing.policies_of, owner_id)

    async def delete_policy(self, policy_id: str) -> bool:
        """Remove it; whether there was one."""
        return await self._write(sharing.delete_policy, policy_id)

    # -- in the course of time ---------------------------------------------------------------------------------------

    async def forget_expired(self, now: float) -> int:
        """Forget tokens and tickets that expired before ``now``; how many that were.

        It goes in steps, so that other calls get their turn.
        """
        total = 0
        for forget in (tokens.forget_tokens, tokens.forget_tickets):
            while count := await self._write(forget, now, _FORGET):
                total += count
        return total

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _write(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._runner.run(lambda connection: query(connection, *args, **kwargs), writes=True)

    async def _read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._runner.run(lambda connection: query(connection, *args, **kwargs), writes=False)
