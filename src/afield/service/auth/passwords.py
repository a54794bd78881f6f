"""Passwords: kept as argon2id (RFC 9106), compared in the same time whether there is one or not.

Hashing is meant to be slow and to need memory, so it happens in a thread, and only a few at once: the event loop goes
on, and many who log in at once fill no memory.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from afield.service.domain import refusals
from afield.service.domain.guessable import LEAST_WORTH, worth_of
from afield.service.domain.people import AccountRecord

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["LONGEST", "SHORTEST", "Passwords", "check_new_password", "stamp_of"]

#: Characters that a password must have; which ones is its owner's business (NIST SP 800-63B section 5.1.1).
SHORTEST: Final = 10
#: Characters that one may have: enough for any sentence, and little to hash.
LONGEST: Final = 1000

_AT_ONCE: Final = 2


def check_new_password(password: str, username: str) -> None:
    """Whether somebody may have this password.

    :raises Refusal: no, and why
    """
    if len(password) < SHORTEST:
        raise refusals.invalid(f"This password is too short: take at least {SHORTEST} characters, such as four words.")
    if len(password) > LONGEST:
        raise refusals.invalid(f"This password is too long: at most {LONGEST} characters.")
    if worth_of(password, (username,)) < LEAST_WORTH:
        raise refusals.invalid(
            "This password is too easily guessed: it is made of widely used words, rows of keys, repetitions or the "
            "username. Take another one, such as four words that have nothing to do with each other."
        )


def stamp_of(account: AccountRecord | None) -> str:
    """What changes when a password does, and says nothing about it."""
    kept = None if account is None else account.password
    return "" if kept is None else sha256(kept.encode()).hexdigest()[:16]


class Passwords:
    """Makes and compares what is kept of passwords.

    :param memory_kib: KiB of memory that one takes
    :param rounds: how many times that is gone over (RFC 9106 section 4 recommends 64 MiB and 3)
    """

    def __init__(self, *, memory_kib: int = 65_536, rounds: int = 3) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._memory_kib, self._rounds = memory_kib, rounds

    @cached_property
    def _hasher(self) -> PasswordHasher:
        from argon2 import PasswordHasher  # only where somebody logs in with a password

        return PasswordHasher(time_cost=self._rounds, memory_cost=self._memory_kib)

    @cached_property
    def _nobodys(self) -> str:
        # As expensive to compare with as anybody's.
        return self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """What is kept of it."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether it is the password of which this is kept.

        :param kept: None: there is none; it takes as long, and is no
        """
        async with self._turn:
            return await asyncio.to_thread(self._compare, kept, password[: LONGEST + 1])

    def needs_rehash(self, kept: str) -> bool:
        """Whether it was made by weaker rules than those of today."""
        return self._hasher.check_needs_rehash(kept)

    def _compare(self, kept: str | None, password: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        try:
            self._hasher.verify(kept or self._nobodys, password)
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None
