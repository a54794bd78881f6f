"""Local accounts, for those who administrate the service."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from afield.service.api.ask import Ask
from afield.service.api.oauth import here
from afield.service.auth.oauth.invitation import INVITATION_PATH
from afield.wire.rest_accounts import (
    Account,
    AccountChange,
    AccountList,
    AccountWish,
    NewPassword,
    OutsideIdentity,
    PasswordWish,
)

__all__ = ["change", "describe", "link", "listing", "make", "reset_password", "unlink"]


async def listing(ask: Ask) -> AccountList:
    """All accounts, or the one of a username."""
    return await ask.uses.accounts.list(ask.caller, ask.query("username"))


async def describe(ask: Ask, identity_id: str) -> Account:
    """One account, for its owner, too."""
    return await ask.uses.accounts.describe(ask.caller, identity_id)


async def make(ask: Ask, body: AccountWish) -> NewPassword:
    """Make one."""
    page = here(ask) + INVITATION_PATH
    return _with_address(page, await ask.uses.accounts.make(ask.caller, body))


async def change(ask: Ask, identity_id: str, body: AccountChange) -> Account:
    """Disable or enable one, let its owner administrate the service or no longer, rename them."""
    return await ask.uses.accounts.change(ask.caller, identity_id, body)


async def reset_password(ask: Ask, identity_id: str, body: PasswordWish) -> NewPassword:
    """Forget a password: another is given, or set by a link."""
    page = here(ask) + INVITATION_PATH
    return _with_address(page, await ask.uses.accounts.reset_password(ask.caller, identity_id, body))


async def link(ask: Ask, identity_id: str, body: OutsideIdentity) -> Account:
    """Link somebody elsewhere with an account."""
    return await ask.uses.accounts.link(ask.caller, identity_id, body)


async def unlink(ask: Ask, identity_id: str, body: OutsideIdentity) -> Account:
    """Undo a link."""
    return await ask.uses.accounts.unlink(ask.caller, identity_id, body)


def _with_address(page: str, made: NewPassword) -> NewPassword:
    """The answer with the address of the page in place of the ticket alone."""
    if made.link is None:
        return made
    return msgspec.structs.replace(made, link=f"{page}?{urlencode({'ticket': made.link})}")
