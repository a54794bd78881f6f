"""Bearer tokens that the service gave out itself. It keeps their SHA-256, so that what it keeps opens nothing.

A token is looked up by its digest: how long that takes says nothing about a token that is not known, for nobody can
choose digests.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import Final

from afield.service.clock import Clock
from afield.service.domain.caller import Caller
from afield.service.domain.people import TokenRecord
from afield.service.store.base import Store

__all__ = ["BearerTokens", "digest_of"]

#: How long, in seconds, a token is believed without another look, and so how long a revoked one may live on elsewhere.
_BELIEVED_S: Final = 5.0

#: How many are believed at once; when there are more, all are looked up again.
_MOST: Final = 10_000

_SCHEME: Final = "bearer "


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    return sha256(token.encode()).digest()


class BearerTokens:
    """An :class:`~afield.service.auth.base.Authenticator` by tokens in the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # digest -> (believed until, who)
        self._believed: dict[bytes, tuple[float, Caller]] = {}

    async def authenticate(self, authorization: str | None) -> Caller | None:
        """Who holds this token; None: nobody who is known here."""
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        digest = digest_of(authorization[len(_SCHEME) :].strip())
        now = self._clock.now()
        believed = self._believed.get(digest)
        if believed is not None and now < believed[0]:
            return believed[1]
        return await self._look_up(digest, now)

    async def _look_up(self, digest: bytes, now: float) -> Caller | None:
        self._believed.pop(digest, None)
        token = await self._store.people.token(digest)
        if token is None or not hmac.compare_digest(token.digest, digest):
            return None
        if token.expires_at is not None and now >= token.expires_at:
            return None
        identity = await self._store.people.identity(token.identity_id)
        if identity is None:
            return None
        if len(self._believed) >= _MOST:
            self._believed.clear()
        until = now + _BELIEVED_S
        self._believed[digest] = (until if token.expires_at is None else min(until, token.expires_at), Caller(identity))
        return Caller(identity)

    async def issue(self, identity_id: str, label: str, lifetime_s: float | None = None) -> str:
        """A new token for somebody. Only they get to see it.

        :param label: what it is for, for its owner
        :param lifetime_s: seconds; None: until it is revoked
        """
        token = secrets.token_urlsafe(32)
        now = self._clock.now()
        expires_at = None if lifetime_s is None else now + lifetime_s
        await self._store.people.put_token(TokenRecord(digest_of(token), identity_id, label, now, expires_at))
        return token

    async def prolong(self, token: str, lifetime_s: float) -> None:
        """Let a token that is known live for this many seconds from now."""
        record = await self._store.people.token(digest_of(token))
        if record is not None:
            until = self._clock.now() + lifetime_s
            await self._store.people.put_token(
                TokenRecord(record.digest, record.identity_id, record.label, record.created_at, until)
            )

    async def revoke(self, token: str) -> None:
        """It lets nobody in any more; here at once, in other replicas within seconds."""
        digest = digest_of(token)
        self._believed.pop(digest, None)
        await self._store.people.delete_token(digest)
