"""Where a provider's parts are, and what it signs with (OpenID Connect Discovery 1.0, RFC 7517), kept for a while.

Keys change without notice, so a token that is signed with one that is not known here has the list fetched anew; not
oftener than now and then, for a provider that is wrong would be asked for each login.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final

import msgspec

from afield.service.auth.upstream.fetch import Fetch
from afield.service.auth.upstream.id_token import Key, UnknownKey, key_set, signed_claims
from afield.service.auth.upstream.problems import LoginFailed, lied, set_up_wrongly, unreachable
from afield.service.auth.upstream.providers import is_safe
from afield.service.settings import ProviderSettings

__all__ = ["KEPT_S", "RETRY_S", "Directory", "Places"]

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
        self._turn = asyncio.Lock()
        self._places: tuple[float, Places] | None = None
        self._keys: tuple[float, tuple[Key, ...]] | None = None
        self._looked_again_at = -math.inf

    async def places(self) -> Places:
        """Where its parts are.

        :raises LoginFailed: it does not say so
        """
        settings = self._settings
        if settings.kind != "oidc":
            return Places(
                settings.issuer, settings.authorization_url, settings.token_url, "", settings.userinfo_url,
                ("client_secret_post",),
            )  # fmt: skip
        async with self._turn:
            if self._places is None or self._now() >= self._places[0] + KEPT_S:
                self._places = (self._now(), await self._fetch_places())
            return self._places[1]

    async def claims(self, token: str) -> dict[str, Any]:
        """What it has signed.

        :raises LoginFailed: it has not
        """
        try:
            return signed_claims(token, await self._known_keys(), self._settings, self._title)
        except UnknownKey:
            keys = await self._newer_keys()
        try:
            return signed_claims(token, keys, self._settings, self._title)
        except UnknownKey:
            raise lied(self._title, "is signed with a key that is not its own") from None

    async def _known_keys(self) -> tuple[Key, ...]:
        places = await self.places()
        async with self._turn:
            if self._keys is None or self._now() >= self._keys[0] + KEPT_S:
                self._keys = (self._now(), await self._fetch_keys(places))
            return self._keys[1]

    async def _newer_keys(self) -> tuple[Key, ...]:
        places = await self.places()
        async with self._turn:
            assert self._keys is not None
            if self._now() >= self._looked_again_at + RETRY_S:
                self._looked_again_at = self._now()
                self._keys = (self._now(), await self._fetch_keys(places))
            return self._keys[1]

    async def _fetch_keys(self, places: Places) -> tuple[Key, ...]:
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
