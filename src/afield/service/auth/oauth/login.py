"""Logging in with a local account: the same words and the same time whether there is one or not.

Tries are counted before they are made, by username and by address. The counts are each process's own: with several
replicas that many times more tries are let through.
"""

from __future__ import annotations

import msgspec

from afield.service.auth.oauth.attempts import Attempts, network_of
from afield.service.auth.passwords import LONGEST, Passwords
from afield.service.clock import Clock
from afield.service.domain.accounts import account_name
from afield.service.domain.people import IdentityRecord
from afield.service.settings import SignIn
from afield.service.store.people import People

__all__ = ["PasswordLogin", "TooMany", "WrongLogin"]


class WrongLogin(Exception):  # noqa: N818 - it is an answer
    """No such account, another password, or not in use: which of them, nobody is told."""


class TooMany(Exception):  # noqa: N818 - likewise
    """Too many tries.

    :ivar wait_s: seconds until the next one
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class PasswordLogin:
    """Lets people with local accounts in."""

    def __init__(self, people: People, passwords: Passwords, clock: Clock, times: SignIn) -> None:
        self._people, self._passwords, self._clock = people, passwords, clock
        self._by_name = Attempts(times.tries_per_name, times.tries_s)
        self._by_address = Attempts(times.tries_per_address, times.tries_s)

    async def log_in(self, username: str, password: str, address: str) -> IdentityRecord:
        """Who that is.

        :param address: where the try comes from
        :raises TooMany: try later
        :raises WrongLogin: no
        """
        name = account_name(username) or ""
        self._may_try(name, network_of(address))
        account = await self._people.account(name)
        kept = None if account is None or account.disabled_at is not None else account.password
        is_right = await self._passwords.verify(kept, password)
        if account is None or kept is None or not is_right or len(password) > LONGEST:
            raise WrongLogin
        identity = await self._people.identity(account.identity_id)
        if identity is None:
            raise WrongLogin
        if self._passwords.needs_rehash(kept):
            stronger = await self._passwords.hash(password)
            # If somebody changed it meanwhile, theirs counts, and this is done the next time.
            await self._people.change_account(account, msgspec.structs.replace(account, password=stronger))
        self._by_name.forgive(name)
        return identity

    def _may_try(self, name: str, address: str) -> None:
        now = self._clock.now()
        wait_s = max(self._by_name.wait_s(name, now), self._by_address.wait_s(address, now))
        if wait_s > 0:
            raise TooMany(wait_s)
        self._by_name.count(name, now)
        self._by_address.count(address, now)
