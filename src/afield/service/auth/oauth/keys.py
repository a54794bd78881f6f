"""Keys that sign (RS256), and take turns (RFC 7515, 7517, 7518).

Theory. A key is made ahead of its time, so that whoever keeps a copy of the list has it when it signs first; it signs
for a while, and then verifies a while longer. The key that signs stands first in the list, because published clients
look at no other (reference: wire contract section 2.4). :func:`plan` decides all of that from the records and the time.
Of two replicas that start at once both may make a key; both keys are known to both then, and the older one signs.

The private part is kept encrypted (JWE, A256GCM) with a key that follows from the service's secret, so a copy of the
database signs nothing.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from afield.service.clock import Clock
from afield.service.domain.people import KeyRecord
from afield.service.store.people import People

if TYPE_CHECKING:
    from joserfc.jwk import OctKey, RSAKey

__all__ = ["AHEAD_S", "SIGNS_S", "VERIFIES_S", "KeyPlan", "SigningKeys", "plan"]

_DAY: Final = 86_400.0

#: Seconds for which a key signs.
SIGNS_S: Final = 90 * _DAY
#: Seconds for which it is in the list before it signs.
AHEAD_S: Final = 1 * _DAY
#: Seconds for which it is in the list after it signed last.
VERIFIES_S: Final = 7 * _DAY

_BITS: Final = 2048
_ALGORITHM: Final = "RS256"


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What is to be done about keys now.

    :param signs: which one does; None: there is none
    :param listed: those that others should know, that one first
    :param is_one_needed: a new one is to be made
    :param retired: those that sign no more, and are not marked so yet
    :param gone: those that are to be forgotten
    """

    signs: KeyRecord | None
    listed: tuple[KeyRecord, ...]
    is_one_needed: bool
    retired: tuple[KeyRecord, ...]
    gone: tuple[KeyRecord, ...]


def plan(keys: Iterable[KeyRecord], now: float) -> KeyPlan:
    """Whose turn it is. PURE."""
    every = sorted(keys, key=lambda key: (key.created_at, key.id))
    gone = tuple(key for key in every if key.retired_at is not None and key.retired_at + VERIFIES_S <= now)
    active = [key for key in every if key.retired_at is None]
    known = [key for key in active if key.created_at + AHEAD_S <= now]
    # Keys of the same hour were made by replicas that started together: the first of them signs.
    newest = max((key.created_at for key in known), default=0.0)
    signs = next((key for key in known if newest - key.created_at < AHEAD_S), None) or (active[0] if active else None)
    retired = tuple(key for key in active if signs is not None and key.created_at + AHEAD_S < signs.created_at)
    others = [key for key in reversed(every) if key is not signs and key not in gone]
    last = active[-1].created_at if active else None
    return KeyPlan(
        signs=signs,
        listed=tuple(others) if signs is None else (signs, *others),
        is_one_needed=last is None or now - last >= SIGNS_S,
        retired=retired,
        gone=gone,
    )


class SigningKeys:
    """The service's keys, in the store.

    :param secret: the service's
    """

    def __init__(self, people: People, clock: Clock, secret: bytes) -> None:
        self._people, self._clock, self._secret = people, clock, secret
        self._turn = asyncio.Lock()
        self._opened: dict[str, RSAKey] = {}

    async def listed(self) -> dict[str, Any]:
        """As a JWK set: what verifies."""
        return {"keys": [json.loads(key.public) for key in (await self._plan()).listed]}

    async def sign(self, claims: dict[str, Any]) -> str:
        """A JWT."""
        from joserfc import jwt  # here and below: it costs a start 30 ms, and few starts sign

        key = (await self._plan()).signs
        assert key is not None
        header = {"alg": _ALGORITHM, "kid": key.id, "typ": "JWT"}
        private = self._open(key)
        return await asyncio.to_thread(jwt.encode, header, claims, private, [_ALGORITHM])

    async def _plan(self) -> KeyPlan:
        async with self._turn:
            keys = [key for key in await self._people.keys() if self._is_readable(key)]
            now = self._clock.now()
            found = plan(keys, now)
            if found.is_one_needed:
                made = await asyncio.to_thread(self._make, now)
                await self._people.put_key(made)
                found = plan([*keys, made], now)
            for key in found.retired:
                await self._people.put_key(msgspec.structs.replace(key, retired_at=now))
            for key in found.gone:
                await self._people.delete_key(key.id)
            return found

    def _is_readable(self, key: KeyRecord) -> bool:
        # One of another secret, as after a restore without the secret's file, can be used by nobody.
        from joserfc.errors import JoseError

        try:
            self._open(key)
        except (JoseError, ValueError):
            return False
        return True

    def _make(self, now: float) -> KeyRecord:
        from joserfc import jwe
        from joserfc.jwk import RSAKey

        key_id = secrets.token_hex(8)
        key = RSAKey.generate_key(_BITS, {"use": "sig", "alg": _ALGORITHM, "kid": key_id})
        header = {"alg": "dir", "enc": "A256GCM"}
        private = jwe.encrypt_compact(header, json.dumps(key.as_dict(private=True)).encode(), self._wrapping)
        return KeyRecord(key_id, now, json.dumps(key.as_dict(private=False)), private.encode())

    def _open(self, key: KeyRecord) -> RSAKey:
        from joserfc import jwe
        from joserfc.jwk import RSAKey

        if key.id not in self._opened:
            opened = jwe.decrypt_compact(key.private.decode(), self._wrapping).plaintext
            assert opened is not None
            self._opened[key.id] = RSAKey.import_key(json.loads(opened))
        return self._opened[key.id]

    @property
    def _wrapping(self) -> OctKey:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        from joserfc.jwk import OctKey

        derived = HKDF(SHA256(), 32, salt=None, info=b"afield signing keys").derive(self._secret)
        return OctKey.import_key(derived)
