"""The token endpoint (RFC 6749 section 3.2): which kind of grant it is, and whose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from afield.service.auth.oauth.authorize import Codes
from afield.service.auth.oauth.client_credentials import client_credentials
from afield.service.auth.oauth.clients import claimed
from afield.service.auth.oauth.device import DEVICE_GRANT, Devices
from afield.service.auth.oauth.fields import needed
from afield.service.auth.oauth.issue import Issuer
from afield.service.auth.oauth.personal import proven, stand_ins
from afield.service.auth.oauth.problems import OAuthError, invalid_grant
from afield.service.auth.oauth.refresh import refresh
from afield.service.auth.tokens import BearerTokens
from afield.service.domain.people import ClientRecord
from afield.service.settings import SignIn
from afield.service.store.people import People

__all__ = ["GRANT_TYPES", "TokenEndpoint"]

GRANT_TYPES: Final = ("authorization_code", "refresh_token", "client_credentials", DEVICE_GRANT)


class TokenEndpoint:
    """Gives tokens for grants."""

    def __init__(
        self, people: People, tokens: BearerTokens, issuer: Issuer, *, codes: Codes, devices: Devices, times: SignIn
    ) -> None:
        self._people, self._tokens, self._issuer = people, tokens, issuer
        self._codes, self._devices, self._times = codes, devices, times

    async def answer(self, authorization: str | None, fields: Mapping[str, str], here: str) -> dict[str, Any]:
        """The token document.

        :param authorization: the value of that header
        :param here: the service's address
        :raises OAuthError: no
        """
        kind = needed(fields, "grant_type")
        if kind not in GRANT_TYPES:
            raise OAuthError(
                "unsupported_grant_type",
                f"This service has no grant of the type {kind[:80]}, but {', '.join(GRANT_TYPES)}.",
            )
        if kind == "client_credentials":
            personal = await proven(self._tokens, authorization, fields)
            if personal is not None:
                return await stand_ins(self._tokens, personal, fields, self._times)
        client = await claimed(self._people, authorization, fields)
        if kind == "authorization_code":
            return await self._for_code(client, fields, here)
        if kind == "refresh_token":
            return await refresh(self._tokens, self._issuer, client, fields, self._times)
        if kind == "client_credentials":
            return await client_credentials(self._people, self._issuer, client, fields, here)
        grant, label = await self._devices.poll(client, fields)
        return await self._issuer.issue(grant, label, here)

    async def _for_code(self, client: ClientRecord, fields: Mapping[str, str], here: str) -> dict[str, Any]:
        grant, label = await self._codes.take(client, fields)
        document = await self._issuer.issue(grant, label, here)
        if await self._codes.is_revoked(fields["code"]):
            await self._tokens.revoke_all(family=grant.family)
            raise invalid_grant("This code was used twice at once. Log in again.")
        return document
