"""SEAM, a part of the store: people, how they come in, and with whom they share.

What the store promises (:mod:`afield.service.store.base`) is promised here, too: writes are durable when they return,
each method happens whole or not at all (``forget_expired`` goes in steps), and text that no database can keep, or look
up because it is too long, is refused with :class:`~afield.service.store.base.NotText`; nothing is found by such. What
is unique says so, and raises :class:`~afield.service.store.base.AlreadyStored` for a second one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

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

__all__ = ["People"]


class People(Protocol):
    """All that the service keeps about people."""

    # -- who ---------------------------------------------------------------------------------------------------------

    async def put_identity(self, identity: IdentityRecord) -> None:
        """Add, or replace the one with this id."""

    async def identity(self, identity_id: str) -> IdentityRecord | None:
        """By id."""

    async def identities(self, identity_ids: Iterable[str]) -> dict[str, IdentityRecord]:
        """Those of the ids that exist."""

    async def identities_named(self, usernames: Iterable[str]) -> list[IdentityRecord]:
        """Those with one of these usernames, in upper or lower case; the oldest first."""

    async def identities_of(self, person_id: str) -> list[IdentityRecord]:
        """All of one person; the oldest first."""

    async def put_account(self, account: AccountRecord, identity: IdentityRecord | None = None) -> None:
        """Add, or replace the one of this identity.

        :param identity: added or replaced in the same commit
        :raises AlreadyStored: another identity's account has this username
        """

    async def change_account(self, before: AccountRecord, after: AccountRecord) -> bool:
        """Replace the account of an identity, if it is still as ``before``; whether it was.

        So nobody undoes what somebody else did since they looked, such as disabling it.

        :param after: of the same identity, with the same username
        """

    async def account(self, username: str) -> AccountRecord | None:
        """By username, in upper or lower case."""

    async def account_of(self, identity_id: str) -> AccountRecord | None:
        """By identity."""

    async def accounts(self) -> list[AccountRecord]:
        """All, by username."""

    async def put_link(self, link: LinkRecord) -> None:
        """Add it.

        :raises AlreadyStored: the provider's subject is linked
        """

    async def link(self, issuer: str, subject: str) -> LinkRecord | None:
        """By who vouches, and for whom."""

    async def links_of(self, identity_id: str) -> list[LinkRecord]:
        """The outside identities behind an identity; the oldest first."""

    async def delete_link(self, issuer: str, subject: str) -> bool:
        """Forget it; whether there was one."""

    # -- how they come in --------------------------------------------------------------------------------------------

    async def put_client(self, client: ClientRecord) -> None:
        """Add, or replace the one with this id."""

    async def change_client(self, client: ClientRecord) -> bool:
        """Put it in the place of the one with this id; whether there is one."""

    async def client(self, client_id: str) -> ClientRecord | None:
        """By id."""

    async def clients_of(self, owner_id: str) -> list[ClientRecord]:
        """Somebody's; the oldest first."""

    async def delete_client(self, client_id: str) -> bool:
        """Remove it, with consents to it and all tokens that were given to it or are its own; whether there was one."""

    async def put_token(self, token: TokenRecord) -> None:
        """Add, or replace the one with this digest."""

    async def token(self, digest: bytes) -> TokenRecord | None:
        """By the SHA-256 of the token's text."""

    async def tokens_of(self, identity_id: str) -> list[TokenRecord]:
        """Somebody's, of all kinds, expired ones too; the oldest first."""

    async def prolong_token(self, digest: bytes, expires_at: float) -> bool:
        """Let it expire at this time, in one step; whether there was one. So none comes back that was just revoked."""

    async def delete_token(self, digest: bytes) -> bool:
        """Forget it: it lets nobody in any more. Whether there was one."""

    async def delete_tokens(
        self, *, family: str | None = None, identity_id: str | None = None, client_id: str | None = None
    ) -> int:
        """Forget all that match everything that is given; how many that were. Something must be given."""

    async def put_ticket(self, ticket: TicketRecord) -> None:
        """Add, or replace the one with this digest. Its content comes back as JSON keeps it: lists for tuples."""

    async def ticket(self, digest: bytes) -> TicketRecord | None:
        """Look at it, expired or not."""

    async def take_ticket(self, digest: bytes) -> TicketRecord | None:
        """Have it and forget it, in one step: of many who try at once, in any replica, one gets it."""

    async def put_consent(self, consent: ConsentRecord) -> None:
        """Add, or replace the one of this identity for this client."""

    async def consent(self, identity_id: str, client_id: str) -> ConsentRecord | None:
        """What somebody consented to."""

    async def consents_of(self, identity_id: str) -> list[ConsentRecord]:
        """All of somebody's; the oldest first."""

    async def delete_consent(self, identity_id: str, client_id: str) -> bool:
        """Take it back; whether there was one."""

    async def put_key(self, key: KeyRecord) -> None:
        """Add, or replace the one with this id."""

    async def keys(self) -> list[KeyRecord]:
        """All; the newest first."""

    async def delete_key(self, key_id: str) -> bool:
        """Forget it; whether there was one."""

    # -- with whom they share ----------------------------------------------------------------------------------------

    async def put_team(self, team: TeamRecord) -> None:
        """Add, or replace the one with this id."""

    async def change_team(self, team: TeamRecord) -> bool:
        """Put it in the place of the one with this id; whether there is one."""

    async def team(self, team_id: str) -> TeamRecord | None:
        """By id."""

    async def teams(self, team_ids: Iterable[str]) -> dict[str, TeamRecord]:
        """Those of the ids that exist."""

    async def delete_team(self, team_id: str) -> bool:
        """Remove it with its memberships and what was granted to it; whether there was one."""

    async def put_member(self, member: MemberRecord) -> bool:
        """Add, or replace the membership; whether there is such a group: nobody is in one that is not there."""

    async def delete_member(self, team_id: str, identity_id: str) -> bool:
        """End a membership; whether there was one."""

    async def members(self, team_id: str) -> list[MemberRecord]:
        """Of a group; the oldest first."""

    async def memberships(self, identity_ids: Sequence[str]) -> list[MemberRecord]:
        """Of these identities; the oldest first."""

    async def put_grant(self, grant: GrantRecord) -> None:
        """Add, or replace what its principal was granted on its object."""

    async def delete_grant(self, object_id: str, principal: Principal, principal_id: str) -> bool:
        """Take it back; whether there was one."""

    async def grants_on(self, object_id: str) -> list[GrantRecord]:
        """To whom something is shared; the oldest first."""

    async def grants_to(self, principals: Sequence[tuple[Principal, str]]) -> list[GrantRecord]:
        """What is shared with any of these; the oldest first."""

    async def put_policy(self, policy: PolicyRecord) -> None:
        """Add, or replace the one with this id."""

    async def change_policy(self, policy: PolicyRecord) -> bool:
        """Put it in the place of the one with this id; whether there is one."""

    async def policy(self, policy_id: str) -> PolicyRecord | None:
        """By id."""

    async def policies_of(self, owner_id: str) -> list[PolicyRecord]:
        """Somebody's; the oldest first."""

    async def delete_policy(self, policy_id: str) -> bool:
        """Remove it; whether there was one."""

    # -- in the course of time ---------------------------------------------------------------------------------------

    async def forget_expired(self, now: float) -> int:
        """Forget tokens and tickets that expired before ``now``; how many that were."""
