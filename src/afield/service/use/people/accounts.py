"""Local accounts, for those who administrate the service.

An account is an identity that logs in here with a password. Its owner sets that by a link that works once, or whoever
makes the account gives one. Disabling it ends what lets its owner in, and their clients; when it is enabled, both come
back, tokens do not. What was submitted before goes on. Connections to the queues end, and so do the owner's endpoints:
:mod:`afield.service.use.people.cut_off` says what that means for their tasks.

Identities elsewhere are linked by who vouches for them and their subject there, never by a name or an e-mail address.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

import msgspec

from afield.ids import new_id, parse_id
from afield.service.auth.oauth.invitation import INVITATION_S, Invitations
from afield.service.auth.passwords import Passwords, check_new_password
from afield.service.auth.tokens import BearerTokens
from afield.service.clock import Clock
from afield.service.domain import people_refusals, refusals
from afield.service.domain.access import Action, decide
from afield.service.domain.accounts import account_name
from afield.service.domain.caller import Caller
from afield.service.domain.people import AccountRecord, IdentityRecord, LinkRecord
from afield.service.store.base import AlreadyStored, Store
from afield.wire.rest_accounts import (
    Account,
    AccountChange,
    AccountList,
    AccountWish,
    NewPassword,
    OutsideIdentity,
    PasswordWish,
)

__all__ = ["Accounts", "Doors"]


class Doors(Protocol):
    """What of the authorization server accounts need."""

    @property
    def tokens(self) -> BearerTokens:
        """By which people come in."""

    @property
    def passwords(self) -> Passwords:
        """What is kept of them."""

    @property
    def invitations(self) -> Invitations:
        """Links by which they are set."""


async def _nothing(_identity_ids: Collection[str]) -> None:
    """Where no queues are at hand, the service that has them finds out."""


class Accounts:
    """What can be done with accounts.

    :param cut_off: ends what identities that were shut out have open
    """

    def __init__(
        self,
        store: Store,
        doors: Doors,
        clock: Clock,
        cut_off: Callable[[Collection[str]], Awaitable[None]] = _nothing,
    ) -> None:
        self._cut_off = cut_off
        self._people = store.people
        self._tokens, self._passwords, self._invitations = doors.tokens, doors.passwords, doors.invitations
        self._clock = clock

    # -- look --------------------------------------------------------------------------------------------------------

    async def list(self, caller: Caller, username: str | None = None) -> AccountList:
        """All, or the one of this name, if there is one.

        :raises Refusal: the caller does not administrate the service
        """
        _operators_only(caller)
        if username is None:
            found = await self._people.accounts()
        else:
            one = await self._people.account(account_name(username) or username)
            found = [] if one is None else [one]
        known = await self._people.identities(each.identity_id for each in found)
        return AccountList([await self._shown(each, known.get(each.identity_id)) for each in found])

    async def describe(self, caller: Caller, identity_id: str) -> Account:
        """One, for its owner, too.

        :raises Refusal: unknown, or somebody else's
        """
        return await self._show(await self._find(Action.USE_ACCOUNT, caller, identity_id))

    # -- make and change ---------------------------------------------------------------------------------------------

    async def make(self, caller: Caller, wish: AccountWish) -> NewPassword:
        """A new one, with its identity.

        :raises Refusal: the caller may not, the name is none or taken, or the password is no good one
        """
        _operators_only(caller)
        _people_only(caller)
        name = account_name(wish.username)
        if name is None:
            raise refusals.invalid(
                f"{wish.username!r} cannot be a username: it begins with a letter or a digit, and consists of these "
                "and . _ - + @"
            )
        kept = await self._hash(wish.password, name)
        now = self._clock.now()
        identity = IdentityRecord(
            new_id(), name, wish.name.strip() or name, wish.email.strip(), now, organization=wish.organization
        )
        account = AccountRecord(identity.id, name, now, kept, is_admin=wish.is_admin)
        try:
            await self._people.put_account(account, identity)
        except AlreadyStored:
            raise refusals.conflict(f"There is an account {name} already. Take another username.") from None
        return await self._with_link(account)

    async def change(self, caller: Caller, identity_id: str, wish: AccountChange) -> Account:
        """Disable or enable it, let its owner administrate the service or no longer, rename them.

        :raises Refusal: unknown, the caller may not, or would lock themselves out
        """
        account = await self._find(Action.MANAGE_ACCOUNT, caller, identity_id)
        if caller.is_one_of(account.identity_id) and (wish.disabled or wish.is_admin is False):
            raise refusals.conflict(
                f"{account.username} is your own account, and you would lock yourself out. Ask somebody else who "
                "administrates this service."
            )
        await self._rename(account.identity_id, wish)
        before, after = await self._change(account, lambda one: _changed(one, wish, self._clock.now()))
        if before.disabled_at is None and after.disabled_at is not None:
            await self._shut_out(after)
        elif before.disabled_at is not None and after.disabled_at is None:
            await self._let_clients_back(after.identity_id, before.disabled_at)
        await self._tokens.doubt()
        return await self._show(after)

    async def reset_password(self, caller: Caller, identity_id: str, wish: PasswordWish) -> NewPassword:
        """Forget its password: another one is given, or its owner sets one by a link.

        :raises Refusal: unknown, the caller may not, the account is disabled, or the password is no good one
        """
        account = await self._find(Action.MANAGE_ACCOUNT, caller, identity_id)
        if account.disabled_at is not None:
            raise refusals.conflict(f"Account {account.username} is disabled. Enable it first.")
        kept = await self._hash(wish.password, account.username)
        _, account = await self._change(account, lambda one: msgspec.structs.replace(one, password=kept))
        if wish.log_out:
            await self._tokens.revoke_all(identity_id=account.identity_id)
        return await self._with_link(account)

    # -- identities elsewhere ----------------------------------------------------------------------------------------

    async def link(self, caller: Caller, identity_id: str, outside: OutsideIdentity) -> Account:
        """Somebody elsewhere is this account's owner, too. If they came in by themselves before, both are one person.

        :raises Refusal: unknown, the caller may not, or the other identity is an account's or another person's
        """
        account = await self._find(Action.MANAGE_ACCOUNT, caller, identity_id)
        record = LinkRecord(outside.issuer, outside.subject, account.identity_id, self._clock.now())
        try:
            await self._people.put_link(record)
        except AlreadyStored:
            there = await self._people.link(outside.issuer, outside.subject)
            if there is not None and there.identity_id != account.identity_id:
                await self._join(account, there.identity_id)
        await self._tokens.doubt()
        return await self._show(account)

    async def unlink(self, caller: Caller, identity_id: str, outside: OutsideIdentity) -> Account:
        """They are not any more, and what they came in by lets nobody in.

        :raises Refusal: unknown, the caller may not, or they were not linked
        """
        account = await self._find(Action.MANAGE_ACCOUNT, caller, identity_id)
        there = await self._people.link(outside.issuer, outside.subject)
        other = None if there is None else there.identity_id
        if other is None or other not in {one.id for one in await self._person(account.identity_id)}:
            raise refusals.Refusal(
                404, "LINK_NOT_FOUND", f"{outside.subject} of {outside.issuer} is not linked with {account.username}."
            )
        if other == account.identity_id:
            await self._people.delete_link(outside.issuer, outside.subject)
        else:
            identity = await self._people.identity(other)
            if identity is not None:
                await self._people.put_identity(msgspec.structs.replace(identity, person_id=None))
        # Whoever came in from there may hold tokens of either.
        for each in {other, account.identity_id}:
            await self._tokens.revoke_all(identity_id=each)
        return await self._show(account)

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _find(self, action: Action, caller: Caller, identity_id: str) -> AccountRecord:
        account = await self._people.account_of(parse_id(identity_id, "account"))
        # Whoever may not see it does not learn that it is there.
        if account is None or decide(Action.USE_ACCOUNT, caller, account) is not None:
            raise people_refusals.account_not_found(identity_id)
        refusal = decide(action, caller, account)
        if refusal is not None:
            raise refusal
        if action is Action.MANAGE_ACCOUNT:
            _people_only(caller)
        return account

    async def _hash(self, password: str | None, username: str) -> str | None:
        if password is None:
            return None
        check_new_password(password, username)
        return await self._passwords.hash(password)

    async def _change(
        self, account: AccountRecord, change: Callable[[AccountRecord], AccountRecord]
    ) -> tuple[AccountRecord, AccountRecord]:
        """As it was, and as it is. Somebody else may change it at the same time: both changes stay."""
        before: AccountRecord | None = account
        while before is not None:
            after = change(before)
            if after == before or await self._people.change_account(before, after):
                return before, after
            before = await self._people.account_of(account.identity_id)
        raise people_refusals.account_not_found(account.identity_id)

    async def _rename(self, identity_id: str, wish: AccountChange) -> None:
        if wish.name is None and wish.email is None:
            return
        identity = await self._people.identity(identity_id)
        if identity is not None:
            name = identity.name if wish.name is None else wish.name.strip() or identity.username
            email = identity.email if wish.email is None else wish.email.strip()
            await self._people.put_identity(msgspec.structs.replace(identity, name=name, email=email))

    async def _shut_out(self, account: AccountRecord) -> None:
        """End what lets its owner in. May be repeated."""
        ids = {account.identity_id}
        for identity in await self._person(account.identity_id):
            ids.add(identity.id)
            await self._tokens.revoke_all(identity_id=identity.id)
        for client in await self._people.clients_of(account.identity_id):
            if client.disabled_at is None:
                await self._people.change_client(msgspec.structs.replace(client, disabled_at=account.disabled_at))
            await self._tokens.revoke_all(client_id=client.id)
            await self._tokens.revoke_all(identity_id=client.id)
            ids.add(client.id)
        await self._cut_off(ids)

    async def _let_clients_back(self, identity_id: str, disabled_at: float) -> None:
        """Those that were disabled with the account, not those that were before."""
        for client in await self._people.clients_of(identity_id):
            if client.disabled_at == disabled_at:
                await self._people.change_client(msgspec.structs.replace(client, disabled_at=None))

    async def _join(self, account: AccountRecord, other_id: str) -> None:
        mine, others = await self._person(account.identity_id), await self._person(other_id)
        if {one.id for one in mine} & {one.id for one in others}:
            return
        for one in others:
            if one.person_id is not None or await self._people.account_of(one.id) is not None:
                raise refusals.conflict(
                    f"That is {one.username}, who has an account or other identities here. Unlink these first."
                )
        # The same person whoever asks, so that two who ask at once make one.
        person_id = mine[0].person_id or account.identity_id
        for one in (*mine, *others):
            await self._people.put_identity(msgspec.structs.replace(one, person_id=person_id))

    async def _person(self, identity_id: str) -> Sequence[IdentityRecord]:
        """All identities of whoever has this one."""
        identity = await self._people.identity(identity_id)
        if identity is None or identity.person_id is None:
            return [] if identity is None else [identity]
        return await self._people.identities_of(identity.person_id)

    async def _with_link(self, account: AccountRecord) -> NewPassword:
        if account.password is not None:
            return NewPassword(await self._show(account), None, None)
        ticket = await self._invitations.make(account.identity_id)
        return NewPassword(await self._show(account), ticket, self._clock.now() + INVITATION_S)

    async def _show(self, account: AccountRecord) -> Account:
        return await self._shown(account, await self._people.identity(account.identity_id))

    async def _shown(self, account: AccountRecord, identity: IdentityRecord | None) -> Account:
        ids = [account.identity_id]
        if identity is not None and identity.person_id is not None:
            ids = [one.id for one in await self._people.identities_of(identity.person_id)]
        links = [link for one in ids for link in await self._people.links_of(one)]
        return Account(
            account.identity_id,
            account.username,
            "" if identity is None else identity.name,
            "" if identity is None else identity.email,
            account.created_at,
            account.is_admin,
            account.disabled_at,
            account.password is not None,
            [OutsideIdentity(link.issuer, link.subject) for link in links],
        )


def _operators_only(caller: Caller) -> None:
    if not caller.is_admin:
        raise people_refusals.operators_only()


def _people_only(caller: Caller) -> None:
    # What a program's token made would go on when that token ends: an account of its own.
    if caller.is_program:
        raise refusals.Refusal(
            403,
            "LOGIN_REQUIRED",
            "Accounts are not changed with a personal access token, which programs hold. Run `afield login`, and "
            "repeat.",
        )


def _changed(account: AccountRecord, wish: AccountChange, now: float) -> AccountRecord:
    disabled_at = account.disabled_at
    if wish.disabled is not None:
        disabled_at = (disabled_at or now) if wish.disabled else None
    is_admin = account.is_admin if wish.is_admin is None else wish.is_admin
    return msgspec.structs.replace(account, disabled_at=disabled_at, is_admin=is_admin)
