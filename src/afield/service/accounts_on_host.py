"""The accounts of a service, changed on its host without asking it: how the first one is made, and the way back in.

Whoever may write the data directory or the database may do everything there anyway, so nobody is asked who they are. A
data directory belongs to one process at a time, so its service must not run meanwhile; a database may be shared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from msgspec.structs import replace

from afield.errors import ConfigurationError
from afield.sdk.login.known import user_dir
from afield.service.api.answers import as_refusal
from afield.service.auth.oauth.invitation import INVITATION_PATH, Invitations
from afield.service.auth.passwords import Passwords
from afield.service.auth.tokens import BearerTokens
from afield.service.clock import Clock, SystemClock
from afield.service.configuration import load_settings
from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord
from afield.service.store.base import Store
from afield.service.store.factory import is_postgres, open_store
from afield.service.use.people.accounts import Accounts
from afield.wire.rest_accounts import Account, AccountChange, AccountList, AccountWish, NewPassword, PasswordWish

__all__ = ["AccountsOnHost"]

T = TypeVar("T")

#: Whoever sits at the host. Nothing that is kept names them.
_OPERATOR: Final = Caller(
    IdentityRecord("00000000-0000-0000-0000-000000000000", "operator", "The operator at the host", "", 0.0),
    is_admin=True,
)
#: Where links lead as long as nobody says where the service is.
_SOMEWHERE: Final = "https://your-service"


class _Doors:
    """What accounts need of the authorization server."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.tokens, self.passwords = BearerTokens(store, clock), Passwords()
        self.invitations = Invitations(store.people, self.passwords, clock)


class AccountsOnHost:
    """Each method opens the store, does one thing, and closes it.

    :param data: the service's data directory; None: that of `afield serve`, or none beside ``database``
    :param database: where the settings say that records are; None: SQLite in the data directory
    :param url: of the service, for links; None: as its configuration says, or the reader puts it in
    :param config: the service's configuration file, which says what is not said here
    :raises ConfigurationError: there is no such database, or the file cannot be read
    """

    def __init__(
        self, data: Path | None, database: str | None, url: str | None = None, config: Path | None = None
    ) -> None:
        self._data = None if data is None else data.expanduser().absolute()
        self._database = database
        if config is not None:
            url = url or self._configure(config)
        self._url = (url or _SOMEWHERE).rstrip("/")
        if self._database is None:
            self._data = self._data or user_dir() / "service"
            if not self._data.is_dir():
                # A mistyped name would otherwise make a second, empty service.
                raise ConfigurationError(
                    f"{self._data} is no directory: give the data directory of your service, or make it first (mkdir)"
                )

    def _configure(self, config: Path) -> str | None:
        """Take from a file what is not said; the service's address, if it says one."""
        settings = load_settings(config, {})
        self._database = self._database or settings.database
        # Beside PostgreSQL the directory holds nothing of accounts, and belongs to a service that may be running.
        if not is_postgres(self._database):
            self._data = self._data or settings.data_dir
        return settings.public_url

    def list(self, username: str | None) -> AccountList:
        """All, or the one of a name."""
        return self._do(lambda accounts: accounts.list(_OPERATOR, username))

    def describe(self, identity_id: str) -> Account:
        """One."""
        return self._do(lambda accounts: accounts.describe(_OPERATOR, identity_id))

    def make(self, wish: AccountWish) -> NewPassword:
        """A new one."""
        return self._with_address(self._do(lambda accounts: accounts.make(_OPERATOR, wish)))

    def change(self, identity_id: str, wish: AccountChange) -> Account:
        """Disable, enable, let administrate. A service that runs notices within seconds."""
        return self._do(lambda accounts: accounts.change(_OPERATOR, identity_id, wish))

    def reset_password(self, identity_id: str, wish: PasswordWish) -> NewPassword:
        """Forget a password."""
        return self._with_address(self._do(lambda accounts: accounts.reset_password(_OPERATOR, identity_id, wish)))

    def _do(self, work: Callable[[Accounts], Awaitable[T]]) -> T:
        return asyncio.run(self._work(work))

    async def _work(self, work: Callable[[Accounts], Awaitable[T]]) -> T:
        clock = SystemClock()
        store = open_store(self._database or self._data or Path(), data_dir=self._data)
        await store.open()
        try:
            return await work(Accounts(store, _Doors(store, clock), clock))
        except Exception as error:
            refusal = as_refusal(error)
            if refusal is None:
                raise
            raise ConfigurationError(refusal.message) from error
        finally:
            await store.close()

    def _with_address(self, made: NewPassword) -> NewPassword:
        return made if made.link is None else replace(made, link=f"{self._url}{INVITATION_PATH}?ticket={made.link}")
