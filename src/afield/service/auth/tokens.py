"""Bearer tokens that the service gave out itself. It keeps their SHA-256, so that what it keeps opens nothing.

A token is looked up by its digest: how long that takes says nothing about a token that is not known, for nobody can
choose digests.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import replace
from hashlib import sha256
from typing import Final

from afield.service.auth.oauth.clients import DEFAULT_CLIENT, find_client
from afield.service.clock import Clock
from afield.service.domain.caller import Caller
from afield.service.domain.people import Session, TokenKind, TokenRecord
from afield.service.store.base import Store
from afield.service.use.people.callers import caller_of, is_shut_out

__all__ = ["BearerTokens", "digest_of"]

#: How long, in seconds, a token is believed without another look, and so how long a revoked one may live on elsewhere.
_BELIEVED_S: Final = 5.0

#: How many are believed at once; when there are more, all are looked up again.
_MOST: Final = 10_000

_SCHEME: Final = "bearer "

_LETS_IN: Final = frozenset({TokenKind.ACCESS, TokenKind.PERSONAL, TokenKind.SERVICE})


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
        # How often something was revoked: a look that began before it is believed no longer than it took.
        self._revocations = 0

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
        before = self._revocations
        token = await self.known(digest)
        if token is None or token.kind not in _LETS_IN:
            return None
        caller = await self.holder(token)
        if caller is None:
            return None
        if before != self._revocations:
            return caller
        if len(self._believed) >= _MOST:
            self._believed.clear()
        until = now + _BELIEVED_S
        self._believed[digest] = (until if token.expires_at is None else min(until, token.expires_at), caller)
        return caller

    async def known(self, digest: bytes) -> TokenRecord | None:
        """What is kept of a token of any kind that has not expired; None: there is none."""
        token = await self._store.people.token(digest)
        if token is None or not hmac.compare_digest(token.digest, digest):
            return None
        if token.expires_at is not None and self._clock.now() >= token.expires_at:
            return None
        return token

    async def holder(self, token: TokenRecord) -> Caller | None:
        """Who holds it; None: nobody any more, for the account or the client is disabled."""
        people = self._store.people
        identity = await people.identity(token.identity_id)
        if identity is None or not await self._is_client_in_use(token):
            return None
        if await is_shut_out(people, identity):
            return None
        caller = await caller_of(people, identity)
        return replace(
            caller,
            scopes=None if token.scopes is None else frozenset(token.scopes),
            session=token.session,
            # Whoever runs the service holds a token that it made for them at its start. And nobody who lets another
            # program use endpoints is asked whether it may administrate the service.
            is_admin=token.kind is TokenKind.SERVICE
            or (caller.is_admin and token.client_id in {None, DEFAULT_CLIENT.id}),
            is_program=token.kind is TokenKind.PERSONAL,
        )

    async def _is_client_in_use(self, token: TokenRecord) -> bool:
        if token.client_id is None:
            return True
        return await find_client(self._store.people, token.client_id) is not None

    async def issue(
        self,
        identity_id: str,
        label: str,
        lifetime_s: float | None = None,
        *,
        kind: TokenKind,
        client_id: str | None = None,
        scopes: tuple[str, ...] | None = None,
        family: str | None = None,
        session: Session | None = None,
    ) -> str:
        """A new token for somebody. Only they get to see it.

        :param label: what it is for, for its owner
        :param lifetime_s: seconds; None: until it is revoked
        :param kind: what it is for
        :param client_id: the program for which it is
        :param scopes: what it is good for; None: everything that its holder may
        :param family: of the tokens that end together
        :param session: how its holder had logged in
        """
        token = secrets.token_urlsafe(32)
        now = self._clock.now()
        record = TokenRecord(
            digest_of(token),
            identity_id,
            label,
            now,
            None if lifetime_s is None else now + lifetime_s,
            kind,
            client_id,
            scopes,
            family,
            session,
        )
        await self._store.people.put_token(record)
        return token

    async def prolong(self, token: str, lifetime_s: float) -> bool:
        """Let a token that is known live for this many seconds from now; whether there is one."""
        return await self._store.people.prolong_token(digest_of(token), self._clock.now() + lifetime_s)

    async def revoke(self, token: str) -> None:
        """It lets nobody in any more; here at once, in other replicas within seconds."""
        digest = digest_of(token)
        await self._store.people.delete_token(digest)
        self._revocations += 1
        self._believed.pop(digest, None)

    async def revoke_all(
        self, *, family: str | None = None, identity_id: str | None = None, client_id: str | None = None
    ) -> int:
        """Nor does any that matches all that is given; how many that were."""
        count = await self._store.people.delete_tokens(family=family, identity_id=identity_id, client_id=client_id)
        self.doubt()
        return count

    def doubt(self) -> None:
        """Look at every token again: something about accounts, groups or clients has changed."""
        self._revocations += 1
        self._believed.clear()
