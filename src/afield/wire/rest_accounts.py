"""The bodies of the REST API about local accounts, for those who administrate a service. All of it is ours, below
``/afield/v1``; the published API has no word for it.

Times are unix seconds.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = [
    "Account",
    "AccountChange",
    "AccountList",
    "AccountWish",
    "NewPassword",
    "OutsideIdentity",
    "PasswordWish",
]

_Username = Annotated[str, Meta(min_length=1, max_length=200)]
_Name = Annotated[str, Meta(max_length=200)]
_Email = Annotated[str, Meta(max_length=320)]
_Address = Annotated[str, Meta(min_length=1, max_length=800)]
_Subject = Annotated[str, Meta(min_length=1, max_length=255)]
#: How long a password may be is said where it is set: one that is refused here would be in the message.
_Password = str


class OutsideIdentity(msgspec.Struct):
    """Somebody, as another provider knows them."""

    #: the provider's URL, as its tokens say it
    issuer: _Address
    #: what the provider calls them; not their name, which may change hands
    subject: _Subject


class Account(msgspec.Struct):
    """A local account."""

    #: of its identity
    id: str
    username: str
    name: str
    email: str
    created_at: float
    #: may administrate the service
    is_admin: bool
    #: since when nobody comes in by it; None: it is in use
    disabled_at: float | None
    #: whether one can log in with a password; if not, it waits for one to be set, or is used from outside only
    has_password: bool
    #: with which one logs in as this account's person, too
    outside: list[OutsideIdentity]


class AccountList(msgspec.Struct):
    """GET /afield/v1/accounts: all, by username; ``?username=`` for one."""

    accounts: list[Account]


class AccountWish(msgspec.Struct, omit_defaults=True):
    """POST /afield/v1/accounts: make one."""

    username: _Username
    #: for people; without one, the username
    name: _Name = ""
    email: _Email = ""
    organization: _Name | None = None
    #: without one, the answer has a link by which its owner sets it
    password: _Password | None = None
    is_admin: bool = False


class AccountChange(msgspec.Struct, omit_defaults=True):
    """PUT /afield/v1/accounts/{id}: what is not said stays."""

    disabled: bool | None = None
    is_admin: bool | None = None
    name: _Name | None = None
    email: _Email | None = None


class PasswordWish(msgspec.Struct, omit_defaults=True):
    """POST /afield/v1/accounts/{id}/password: the password that there was is forgotten."""

    #: without one, the answer has a link by which the account's owner sets it
    password: _Password | None = None
    #: whether all programs that the account has let in are logged out, too; browsers are in any case
    log_out: bool = False


class NewPassword(msgspec.Struct):
    """An account that was made, or whose password was forgotten."""

    account: Account
    #: where its owner sets the password, once; None: it was given. It is in this answer and nowhere else
    link: str | None
    #: until when the link works
    link_expires_at: float | None
