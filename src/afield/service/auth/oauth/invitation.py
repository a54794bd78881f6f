"""A link by which somebody sets the password of their account: an invitation, or a way back in.

The link is a ticket: it works once, for a while, until the password is set by other means, and is kept as a digest.
Making it is up to whoever may administrate accounts; whoever has the link is the account's owner.
"""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from afield.service.auth.passwords import Passwords, check_new_password, stamp_of
from afield.service.auth.tokens import digest_of
from afield.service.clock import Clock
from afield.service.domain.people import AccountRecord, TicketRecord
from afield.service.store.people import People

__all__ = ["INVITATION_PATH", "INVITATION_S", "Invitations"]

#: Where the link leads; the ticket's text goes behind ``?ticket=``.
INVITATION_PATH: Final = "/v2/web/invitation"
#: Seconds for which a link works, unless its maker says otherwise.
INVITATION_S: Final = 7 * 86_400.0

_KIND: Final = "password"


class Invitations:
    """Makes links, and takes them."""

    def __init__(self, people: People, passwords: Passwords, clock: Clock) -> None:
        self._people, self._passwords, self._clock = people, passwords, clock

    async def make(self, identity_id: str, lifetime_s: float = INVITATION_S) -> str:
        """The text of a ticket for the account of this identity.

        :param lifetime_s: seconds
        """
        ticket = secrets.token_urlsafe(32)
        content = {"identity_id": identity_id, "stamp": stamp_of(await self._people.account_of(identity_id))}
        until = self._clock.now() + lifetime_s
        await self._people.put_ticket(TicketRecord(_digest(ticket), _KIND, content, until))
        return ticket

    async def account(self, ticket: str) -> AccountRecord | None:
        """The account that a ticket is for; None: it works no more."""
        found = await self._people.ticket(_digest(ticket))
        return await self._account_of(found)

    async def set_password(self, ticket: str, password: str) -> AccountRecord | None:
        """Set the account's password, and use the ticket up; None: it works no more.

        :raises Refusal: nobody may have this password; the ticket still works
        """
        account = await self.account(ticket)
        if account is None:
            return None
        check_new_password(password, account.username)
        kept = await self._passwords.hash(password)
        taken = await self._people.take_ticket(_digest(ticket))
        while (before := await self._account_of(taken)) is not None:
            account = msgspec.structs.replace(before, password=kept)
            if await self._people.change_account(before, account):
                return account
        return None

    async def _account_of(self, ticket: TicketRecord | None) -> AccountRecord | None:
        if ticket is None or ticket.kind != _KIND or self._clock.now() >= ticket.expires_at:
            return None
        account = await self._people.account_of(ticket.content["identity_id"])
        if account is None or account.disabled_at is not None:
            return None
        # Whoever found an older link has nothing of it once there is another password.
        return account if ticket.content.get("stamp") == stamp_of(account) else None


def _digest(ticket: str) -> bytes:
    return digest_of(f"password:{ticket}")
