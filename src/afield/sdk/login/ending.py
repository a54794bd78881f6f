"""Logging out: the service forgets the tokens, and so does this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from afield.errors import ServiceError
from afield.sdk.login import stored
from afield.sdk.login.plain_http import post_form
from afield.sdk.login.stored import StoredLogin
from afield.sdk.retry import TryAgain

__all__ = ["LoggedOut", "log_out", "take_back"]

_REVOKE: Final = "/v2/oauth2/token/revoke"


class LoggedOut(NamedTuple):
    """What became of a login."""

    login: StoredLogin
    #: why the service could not be told; None: it was, or need not be
    trouble: str | None


def log_out(url: str, environ: Mapping[str, str] = os.environ) -> LoggedOut | None:
    """Have the service revoke what is kept for it, and forget it, whether it answers or not; None: nothing was kept.

    :param environ: says where logins are kept
    :raises ConfigurationError: something is kept that cannot be read
    """
    with stored.locked(url, environ):
        login = stored.read(url, environ)
        if login is None:
            return None
        stored.forget(url, environ)
    return LoggedOut(login, take_back(login))


def take_back(login: StoredLogin) -> str | None:
    """Have the service revoke all tokens of a login; why that failed, or None.

    A token that was only kept here was made elsewhere, and may be in use there: it is left alone.
    """
    if not login.client_id or login.client_secret is not None:
        return None
    for token in login.tokens.values():
        # A refresh token ends with all that came of the same login (RFC 7009 section 2.1).
        form = {"token": token.refresh_token or token.access_token, "client_id": login.client_id}
        try:
            answer = post_form(login.service_url + _REVOKE, form, why="to log out")
        except TryAgain as failure:
            return str(failure.error)
        except ServiceError as error:
            return str(error)
        if answer.status != 200:
            return f"{login.service_url} answers {answer.status}"
    return None
