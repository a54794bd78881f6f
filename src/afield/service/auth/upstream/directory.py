"""Where a provider's parts are, and what it signs with (OpenID Connect Discovery 1.0, RFC 7517), kept for a while.

Keys change without notice, so a token that is signed with one that is not known here has the list fetched anew; not
oftener than now and then, for a provider that is wrong would be asked for each login.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from afield.service.auth.upstream.fetch import Fetch
from afield.service.auth.upstream.id_token import Key, UnknownKey, key_set, signed_claims
from afield.service.auth.upstream.problems import LoginFailed, lied, set_up_wrongly, unreachable
from afield.service.auth.upstream.providers import is_safe
from afield.service.settings import ProviderSettings

__all__ = ["KEPT_S", "RETRY_S", "Directory", "Places"]

T = TypeVar("T")

#: Seconds for which what was fetched is good.
KEPT_S: Final = 3600.0

#: Seconds between two looks for a key that is not known.
RETRY_S: Final = 30.0


class Places(msgspec.Struct, frozen=True):
    """Where a provider's parts are."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Directory:
    """What one provider says about itself.

    :param now: unix time
    """

    def __init__(self, settings: ProviderSettings, fetch: Fetch, now: Callable[[], float]) -> None:
        self._settings, self._fetch, self._now = settings, fetch, now
        self._title = settings.title
        self._places = _Kept(self._fetch_places, now)
        self._keys = _Kept(self._fetch_keys, now)
        self._looked_again_at = -math.inf

    async def places(self) -> Places:
        """Where its parts are.

        :raises LoginFailed: it does not say so
        """
        settings = self._settings
        if settings.kind == "oidc":
            return await self._places.get()
        # GitHub knows no other way to bring the secret, and the others take this one, too.
        methods = ("client_secret_post",)
        return Places(
            settings.issuer, settings.authorization_url, settings.token_url, "", settings.userinfo_url, methods
        )  # fmt: skip

    async def claims(self, token: str) -> dict[str, Any]:
        """What it has signed.

        :raises LoginFailed: it has not
        """
        try:
            return signed_claims(token, await self._keys.get(), self._settings, self._title)
        except UnknownKey:
            if self._now() >= self._looked_again_at + RETRY_S:
                self._looked_again_at = self._now()
                self._keys.forget()
        try:
            return signed_claims(token, await self._keys.get(), self._settings, self._title)
        except UnknownKey:
            raise lied(self._title, "is signed with a key that is not its own") from None

    async def _fetch_keys(self) -> tuple[Key, ...]:
        places = await self.places()
        status, body = await self._fetch.json(self._title, places.jwks_uri, self._settings.timeout_s)
        keys = key_set(body if status == 200 else None)
        if keys is None:
            raise unreachable(self._title, "does not say with which keys it signs")
        return keys

    async def _fetch_places(self) -> Places:
        issuer = self._settings.issuer
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        status, body = await self._fetch.json(self._title, url, self._settings.timeout_s)
        if status != 200:
            raise self._misplaced(f"has no document at {url}: it answered with status {status}")
        try:
            places = msgspec.convert(body, Places)
        except msgspec.ValidationError:
            raise self._misplaced(f"has something at {url} that is no OpenID provider's document") from None
        if places.issuer != issuer:
            raise self._misplaced(f"calls itself {places.issuer[:200]}, and is set up here as {issuer}")
        urls = (places.authorization_endpoint, places.token_endpoint, places.jwks_uri, places.userinfo_endpoint)
        if not all(each is None or is_safe(each) for each in urls):
            raise self._misplaced("names addresses without https, where anybody on the way could read along")
        return places

    def _misplaced(self, what: str) -> LoginFailed:
        return set_up_wrongly(self._title, what)


class _Kept(Generic[T]):
    """Something that is fetched by one of those who want it at once, for all of them: its failure, too.

    Else each of many would wait for a provider that does not answer, one after the other.
    """

    def __init__(self, fetch: Callable[[], Awaitable[T]], now: Callable[[], float]) -> None:
        self._fetch, self._now = fetch, now
        self._value: tuple[float, T] | None = None
        self._under_way: asyncio.Task[T] | None = None

    async def get(self) -> T:
        if self._value is not None and self._now() < self._value[0] + KEPT_S:
            return self._value[1]
        if self._under_way is None:
            self._under_way = asyncio.ensure_future(self._renewed())
            # Where everybody has hung up meanwhile, nobody else looks at how it failed.
            self._under_way.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Whoever hangs up takes it from nobody else.
        return await asyncio.shield(self._under_way)

    def forget(self) -> None:
        self._value = None

    async def _renewed(self) -> T:
        try:
            value = await self._fetch()
        finally:
            self._under_way = None
        self._value = (self._now(), value)
        return value
