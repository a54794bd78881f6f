"""Logins that are kept, for all programs of a person: one file for each service, below the user directory.

A file holds tokens, so only its owner can read it. It appears whole or not at all, and whoever renews a token holds a
lock meanwhile: of several programs that find one about to end at the same moment, one asks the service, and the others
find what it kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from afield.errors import ConfigurationError
from afield.sdk.login import private_files
from afield.sdk.login.known import normal_url, same_service, user_dir
from afield.wire.malformed import MALFORMED

__all__ = [
    "AUTH_SERVER",
    "COMPUTE_SERVER",
    "StoredLogin",
    "StoredToken",
    "all_logins",
    "forget",
    "keep",
    "locked",
    "read",
]

#: The names of what tokens are for (reference: wire contract section 2.1): using the service, and knowing who one is.
COMPUTE_SERVER: Final = "funcx_service"
AUTH_SERVER: Final = "auth.globus.org"


class StoredToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """What lets in, and what brings the next one."""

    access_token: str
    #: unix time
    issued_at: float
    #: unix time; None: when somebody takes it back
    expires_at: float | None = None
    refresh_token: str | None = None
    scope: str = ""


class StoredLogin(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Somebody's login at one service."""

    service_url: str
    #: the program that the person let in; or, with a secret, the client that one is
    client_id: str = ""
    client_secret: str | None = None
    identity_id: str = ""
    username: str = ""
    name: str = ""
    #: unix time
    logged_in_at: float = 0.0
    #: by what they are for
    tokens: dict[str, StoredToken] = {}

    @property
    def compute(self) -> StoredToken | None:
        """The token that opens the service."""
        return self.tokens.get(COMPUTE_SERVER)


def read(url: str, environ: Mapping[str, str] = os.environ) -> StoredLogin | None:
    """What is kept for the service at this address; None: nothing.

    :raises ConfigurationError: something is there that cannot be used
    """
    path = _path(url, environ)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=StoredLogin)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"your login in {path} cannot be read: {error.strerror}") from error
    except MALFORMED as error:
        raise ConfigurationError(
            f"{path} holds no login ({error}): remove it, and run `afield login --service {url}`"
        ) from error
    # What was given over TLS is not sent without.
    return found if same_service(found.service_url, url) else None


def keep(login: StoredLogin, environ: Mapping[str, str] = os.environ) -> Path:
    """Use this login for its service from now on, in all programs of this person.

    :return: the file
    :raises ConfigurationError: it cannot be written
    """
    path = _path(login.service_url, environ)
    private_files.write(path, msgspec.json.format(msgspec.json.encode(login)), "the login")
    return path


def forget(url: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Remove what is kept for a service; whether there was something."""
    try:
        _path(url, environ).unlink()
    except FileNotFoundError:
        return False
    return True


def all_logins(environ: Mapping[str, str] = os.environ) -> list[StoredLogin]:
    """All that can be used, the newest first."""
    found = []
    for path in (user_dir(environ) / "logins").glob("*.json"):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=StoredLogin))
        except (OSError, *MALFORMED):
            continue
    return sorted(found, key=lambda login: login.logged_in_at, reverse=True)


def locked(url: str, environ: Mapping[str, str] = os.environ) -> AbstractContextManager[None]:
    """Change a service's login alone, for the length of a ``with`` block; see :func:`private_files.locked`."""
    return private_files.locked(_path(url, environ).with_suffix(".lock"))


def _path(url: str, environ: Mapping[str, str]) -> Path:
    host, port = normal_url(url).rsplit("//", 1)[1].rsplit(":", 1)
    return user_dir(environ) / "logins" / f"{host}_{port}.json"
