"""A stored login as what opens a service: its token, renewed before it ends, and once when it was not taken."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from afield.errors import ConfigurationError
from afield.sdk.login import stored
from afield.sdk.login.needed import LoginEnded
from afield.sdk.login.stored import StoredLogin, StoredToken
from afield.sdk.login.tokens import TokenRefused, ask_for_tokens
from afield.sdk.retry import TryAgain

__all__ = ["StoredAuthorizer"]

#: Seconds before its end at which a token is renewed, so that none ends on its way.
_EARLY_S: Final = 60.0
#: Seconds within which several requests that were refused with one token are answered by one new token.
_JUST_NOW_S: Final = 5.0


class StoredAuthorizer:
    """Gives the Authorization header of a login that is kept. May be asked from several threads.

    Several programs may use one login: they take turns in renewing it, and each finds what another one has got. One
    that finds somebody else's login in its place stops rather than go on as somebody else.

    :param login: as it was read
    :param environ: says where logins are kept
    :param now: a clock, in unix time
    """

    def __init__(
        self, login: StoredLogin, environ: Mapping[str, str] = os.environ, now: Callable[[], float] = time.time
    ) -> None:
        self.url = login.service_url
        self._login, self._environ, self._now = login, environ, now
        self._renewed_at: float | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"StoredAuthorizer({self._login.username or 'a token'} at {self.url})"

    def ready(self) -> str | None:
        """The header, where the token lasts a while; asks nobody."""
        token = self._login.compute
        return f"Bearer {token.access_token}" if token is not None and self._lasts(token) else None

    def get_authorization_header(self) -> str:
        """The header; asks the service for a new token where need be.

        :raises LoginEnded: there is none to be had any more
        :raises TryAgain: nobody answered
        """
        with self._lock:
            found = self.ready()
            if found is not None:
                return found
            return f"Bearer {self._renew(None).access_token}"

    def handle_missing_authorization(self) -> bool:
        """The token was not taken any more: get another one.

        :raises LoginEnded: there is none to be had any more
        :raises TryAgain: nobody answered
        """
        with self._lock:
            if self._renewed_at is not None and 0 <= self._now() - self._renewed_at < _JUST_NOW_S:
                return True  # for another request, which was refused with the same one
            refused = self._login.compute
            self._renew(None if refused is None else refused.access_token)
            return True

    def _lasts(self, token: StoredToken) -> bool:
        if token.expires_at is None:
            return True
        # Of a token that is shorter than that, half its time must do.
        lifetime_s = token.expires_at - token.issued_at
        return self._now() < token.issued_at + max(lifetime_s - _EARLY_S, lifetime_s / 2)

    def _renew(self, refused: str | None) -> StoredToken:
        """A token that is good, as far as can be known here.

        :param refused: one that is not
        """
        with stored.locked(self.url, self._environ):
            kept = stored.read(self.url, self._environ)
            if kept is None or kept.compute is None:
                raise self._ended("was ended on this machine")
            if kept.identity_id != self._login.identity_id:
                raise self._ended(f"is now somebody else's ({kept.username})")
            token = kept.compute
            if token.access_token == refused or not self._lasts(token):
                token = self._fetch(kept, token, refused)
                kept = replace(kept, tokens=kept.tokens | {stored.COMPUTE_SERVER: token})
                # In a home that became read-only this program goes on, and the next one renews for itself.
                with suppress(ConfigurationError):
                    stored.keep(kept, self._environ)
            self._login, self._renewed_at = kept, self._now()
            return token

    def _fetch(self, kept: StoredLogin, token: StoredToken, refused: str | None) -> StoredToken:
        now = self._now()
        is_over = token.access_token == refused or (token.expires_at is not None and now >= token.expires_at)
        if token.refresh_token is None:
            if not is_over:
                return token
            raise self._ended("is not taken any more" if token.access_token == refused else "has expired")
        form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token, "client_id": kept.client_id}
        try:
            found = ask_for_tokens(self.url, form, now).get(stored.COMPUTE_SERVER)
        except TokenRefused as error:
            raise self._ended("has expired or was revoked", error.reason) from error
        except TryAgain:
            if is_over:
                raise
            return token  # it is good for a little while yet
        if found is None:
            raise self._ended("brings no token for this service any more")
        # Published services say the refresh token again each time; OAuth allows that one does not.
        return found if found.refresh_token is not None else replace(found, refresh_token=token.refresh_token)

    def _ended(self, what: str, why: str = "") -> LoginEnded:
        whose = f"the login of {self._login.username}" if self._login.username else "the login"
        said = f" (the service: {why})" if why else ""
        return LoginEnded(
            f"{whose} at {self.url} {what}{said}. Log in again: run `afield login --service {self.url}`; or forget it: "
            f"`afield logout --service {self.url}`"
        )
