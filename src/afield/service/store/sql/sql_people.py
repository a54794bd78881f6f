"""People in a database."""

from __future__ import annotations

from afield.service.domain.people import IdentityRecord, TokenRecord
from afield.service.store.sql import people
from afield.service.store.sql.runner import Runner
from afield.service.store.texts import check_people

__all__ = ["SqlPeople"]


class SqlPeople:
    """A :class:`~afield.service.store.people.People` in SQLite or PostgreSQL."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def put_identity(self, identity: IdentityRecord) -> None:
        """Add, or replace the one with this id."""
        check_people(identity)
        await self._runner.run(lambda connection: people.put_identity(connection, identity), writes=True)

    async def identity(self, identity_id: str) -> IdentityRecord | None:
        """By id."""
        return await self._runner.run(lambda connection: people.identity(connection, identity_id), writes=False)

    async def put_token(self, token: TokenRecord) -> None:
        """Add, or replace the one with this digest."""
        check_people(token)
        await self._runner.run(lambda connection: people.put_token(connection, token), writes=True)

    async def token(self, digest: bytes) -> TokenRecord | None:
        """By the SHA-256 of the token's text."""
        return await self._runner.run(lambda connection: people.token(connection, digest), writes=False)

    async def delete_token(self, digest: bytes) -> bool:
        """Forget it; it no longer lets anybody in."""
        await self._runner.run(lambda connection: people.delete_token(connection, digest), writes=True)
        return True
