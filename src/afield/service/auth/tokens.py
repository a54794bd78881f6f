"""Bearer tokens that the service gave out itself. It keeps their SHA-256, so that what it keeps opens nothing.

A token is looked up by its digest: how long that takes says nothing about a token that is not known, for nobody can
choose digests.

Who a token's holder is, is believed for some seconds, so that a busy client costs one look for all its requests. What
is revoked, disabled or deleted ends that at once: here, when the request that asks for it is answered; in the other
replicas within the delivery of one NOTIFY, which was committed before that answer was given. A replica that cannot hear
the others believes nothing meanwhile. There remain as long as a belief lasts: a connection that broke without either
side's being told, and what somebody changes in the database past the services.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Final

import msgspec

from afield.service.auth.oauth.clients import DEFAULT_CLIENT, find_client
from afield.service.clock import Clock
from afield.service.domain.caller import Caller
from afield.service.domain.people import Session, TokenKind, TokenRecord, family_of_stand_ins, proof_of_family
from afield.service.store.base import Store
from afield.service.together.base import News, Together
from afield.service.together.single import Single
from afield.service.use.people.callers import admitted

__all__ = ["BearerTokens", "digest_of"]

#: What ends with tokens: see :attr:`BearerTokens.ended`.
Ended = Callable[[Collection[str]], Awaitable[None]]

#: How long, in seconds, a token is believed without another look, if nobody says that something was revoked.
_BELIEVED_S: Final = 5.0

#: How many are believed at once; when there are more, all are looked up again.
_MOST: Final = 10_000

_SCHEME: Final = "bearer "

#: What services tell each other: look again who the holder of the token with this digest is; of all tokens, if none.
_DOUBT: Final = "doubt"

_SINGLE: Final = Single()

_LETS_IN: Final = frozenset({TokenKind.ACCESS, TokenKind.PERSONAL, TokenKind.SERVICE})


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    return sha256(token.encode()).digest()


async def _nothing(_proofs: Collection[str]) -> None:
    """Until somebody wants to know."""


class BearerTokens:
    """An :class:`~afield.service.auth.base.Authenticator` by tokens in the store.

    :param together: the other services on this store
    """

    def __init__(self, store: Store, clock: Clock, together: Together = _SINGLE) -> None:
        self._store = store
        self._clock = clock
        self._together = together
        #: called with the proofs of tokens that were revoked, to end what was let in by them
        self.ended: Ended = _nothing
        together.listen(_DOUBT, self._others_doubt)
        together.on_missed(self._forget)
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
        if believed is not None and now < believed[0] and self._together.hears:
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
        if token.stands_for is not None and await self.known(token.stands_for) is None:
            return None
        caller = await admitted(people, identity)
        if caller is None:
            return None
        return replace(
            caller,
            scopes=None if token.scopes is None else frozenset(token.scopes),
            session=token.session,
            # Whoever runs the service holds a token that it made for them at its start. And nobody who lets another
            # program use endpoints is asked whether it may administrate the service.
            is_admin=token.kind is TokenKind.SERVICE
            or (caller.is_admin and token.client_id in {None, DEFAULT_CLIENT.id}),
            is_program=token.kind is TokenKind.PERSONAL,
            proof=token.proof,
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

    async def stand_in(self, personal: TokenRecord, scopes: tuple[str, ...], lifetime_s: float) -> tuple[str, float]:
        """A token that stands for a personal one: its holder's, and of its kind, so that it may make no others. It is
        not counted or listed beside that one, and lets nobody in without it.

        :param personal: stands for no other
        :param scopes: some of its own
        :param lifetime_s: seconds, if the personal one lasts as long
        :return: the token, and the seconds for which it is good
        """
        token = secrets.token_urlsafe(32)
        now = self._clock.now()
        until = now + lifetime_s if personal.expires_at is None else min(now + lifetime_s, personal.expires_at)
        record = msgspec.structs.replace(
            personal,
            digest=digest_of(token),
            created_at=now,
            expires_at=until,
            scopes=scopes,
            family=family_of_stand_ins(personal.digest),
        )
        await self._store.people.put_token(record)
        return token, until - now

    async def prolong(self, token: str, lifetime_s: float) -> bool:
        """Let a token that is known live for this many seconds from now; whether there is one."""
        return await self._store.people.prolong_token(digest_of(token), self._clock.now() + lifetime_s)

    async def revoke(self, token: str) -> None:
        """It lets nobody in any more."""
        await self.revoke_digest(digest_of(token))

    async def revoke_digest(self, digest: bytes) -> None:
        """The same, for whoever does not have the token. With a personal token all end that stand for it."""
        people = self._store.people
        token = await people.token(digest)
        await people.delete_token(digest)
        self._forget(digest)
        await self._tell(digest.hex())
        is_personal = token is not None and token.kind is TokenKind.PERSONAL and token.family is None
        if is_personal and await people.delete_tokens(family=family_of_stand_ins(digest)):
            # Who looks for one of those that stood for it is refused since it went, also for one that is given at this
            # moment; who had looked before may still believe it.
            await self.doubt()
        # Of those that belong together, others may go on.
        if token is not None and token.family is None:
            await self.ended({token.proof})

    async def revoke_all(
        self, *, family: str | None = None, identity_id: str | None = None, client_id: str | None = None
    ) -> int:
        """Nor does any that matches all that is given; how many that were."""
        people = self._store.people
        proofs = set() if family is None else {proof_of_family(family)}
        if identity_id is not None and family is None:
            theirs = await people.tokens_of(identity_id)
            proofs = {one.proof for one in theirs if client_id is None or one.client_id == client_id}
        count = await people.delete_tokens(family=family, identity_id=identity_id, client_id=client_id)
        await self.doubt()
        if count and proofs:
            await self.ended(proofs)
        return count

    async def doubt(self) -> None:
        """Look at every token again, in all replicas: something about accounts or clients has changed."""
        self._forget()
        await self._tell("")

    async def _tell(self, digest: str) -> None:
        self._together.tell(News(_DOUBT, digest))
        # Where nobody can be told, the others stop believing by themselves in that time.
        with suppress(TimeoutError):
            async with asyncio.timeout(_BELIEVED_S):
                await self._together.all_said()

    def _others_doubt(self, news: News) -> None:
        self._forget(bytes.fromhex(news.about) if news.about else None)

    def _forget(self, digest: bytes | None = None) -> None:
        self._revocations += 1
        if digest is None:
            self._believed.clear()
        else:
            self._believed.pop(digest, None)
