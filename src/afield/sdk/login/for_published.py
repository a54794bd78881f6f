"""What lets the published packages in as the person who runs them: a personal access token, made once for each machine
and service, and kept below the user directory beside the logins.

The packages take it for a client's credentials: its id for the client's, its text for the secret. Somebody who is a
client here already (``afield login --client-id``) is that client there, too.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from afield.errors import ComputeAPIError, ConfigurationError
from afield.sdk.login import private_files, stored
from afield.sdk.login.client_credentials import COMPUTE_SCOPE, PAIRS, PUBLISHED_PAIR, is_token_id
from afield.sdk.login.known import normal_url, same_service, user_dir
from afield.sdk.login.questions import Questions
from afield.sdk.login.source import BearerToken, find_authorizer
from afield.wire.malformed import MALFORMED
from afield.wire.rest_logins import NewToken, TokenWish, WhoAmI

__all__ = ["SCOPES", "Credentials", "credentials", "place"]

#: What the published packages ask for (reference: wire contract section 2.1).
SCOPES: Final = ("openid", "urn:globus:auth:scope:auth.globus.org:manage_projects", COMPUTE_SCOPE)

_DAY_S: Final = 86_400.0
#: One that ends sooner than this, in seconds, is replaced: a program that starts now should see a working day.
_SOON_S: Final = _DAY_S
_WHOAMI: Final = "/afield/v1/whoami"
_TOKENS: Final = "/afield/v1/tokens"


class Credentials(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An id and a secret for the published packages at one service."""

    service_url: str
    client_id: str
    secret: str
    #: unix time; None: until they are revoked
    expires_at: float | None = None
    #: whose they are
    identity_id: str = ""
    username: str = ""
    #: they were made for the published packages on this machine, and are kept
    is_kept: bool = False


def place(url: str, ending: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where something is kept about the published packages at a service.

    :param ending: of the file's name
    """
    host, port = normal_url(url).rsplit("//", 1)[1].rsplit(":", 1)
    return user_dir(environ) / "published" / f"{host}_{port}{ending}"


def credentials(
    url: str, *, days: float | None = 90.0, anew: bool = False, environ: Mapping[str, str] = os.environ
) -> Credentials:
    """Those that are kept, if they are good and this person's; else new ones.

    :param url: of the service
    :param days: how long new ones last; None: until they are revoked
    :param anew: make new ones in any case, and revoke those that are kept
    :raises ConfigurationError: nobody is logged in, or new ones cannot be kept; none are left at the service then
    :raises ServiceError: the service refuses, or cannot be reached
    """
    # A token's id in the variables of the published packages is from here, so it says nothing of who asks.
    is_ours = is_token_id(environ.get(PUBLISHED_PAIR[0], ""))
    own = {name: value for name, value in environ.items() if not is_ours or name not in PUBLISHED_PAIR}
    with private_files.locked(place(url, ".lock", environ)):
        kept = _read(url, environ)
        authorizer = find_authorizer(url, own)
        if authorizer is None and kept is not None and not anew and _is_good(kept):
            return kept
        asking = Questions(url, authorizer, own)
        who = asking.get(_WHOAMI, WhoAmI)
        if who.identity.provider == "client":
            return _of_client(asking, who, own)
        if who.token.kind == "personal":
            return _given(asking, who, own)
        if kept is not None and kept.identity_id == who.identity.id and not anew and _is_good(kept):
            return kept
        made = _make(asking, who, days)
        _keep(asking, made, place(url, ".json", environ))
        if anew and kept is not None and kept.identity_id == who.identity.id:
            _revoke(asking, kept)
        return made


def _read(url: str, environ: Mapping[str, str]) -> Credentials | None:
    try:
        found = msgspec.json.decode(place(url, ".json", environ).read_bytes(), type=Credentials)
    except (OSError, *MALFORMED):
        return None  # new ones are as good
    # What was given over TLS is not sent without.
    return found if same_service(found.service_url, url) else None


def _is_good(kept: Credentials) -> bool:
    """Whether the service takes it, for a while yet."""
    if kept.expires_at is not None and time.time() > kept.expires_at - _SOON_S:
        return False
    try:
        Questions(kept.service_url, BearerToken(kept.secret)).get(_WHOAMI, WhoAmI)
    except ComputeAPIError as error:
        if error.http_status == 401:
            return False
        raise
    return True


def _make(asking: Questions, who: WhoAmI, days: float | None) -> Credentials:
    # The name of a machine may be longer than a label.
    label = f"published packages on {platform.node()}"[:200]
    made = asking.post(_TOKENS, TokenWish(label, None if days is None else days * _DAY_S, list(SCOPES)), NewToken)
    return Credentials(
        service_url=asking.url,
        client_id=made.about.id,
        secret=made.token,
        expires_at=made.about.expires_at,
        identity_id=who.identity.id,
        username=who.identity.username,
        is_kept=True,
    )


def _keep(asking: Questions, made: Credentials, path: Path) -> None:
    content = msgspec.json.format(msgspec.json.encode(made))
    try:
        private_files.write(path, content, "the token for the published packages")
    except ConfigurationError:
        _revoke(asking, made)  # nobody would know it
        raise


def _revoke(asking: Questions, kept: Credentials) -> None:
    try:
        asking.delete(f"{_TOKENS}/{kept.client_id}")
    except ComputeAPIError as error:
        if error.http_status != 404:  # it had ended before
            raise


def _given(asking: Questions, who: WhoAmI, environ: Mapping[str, str]) -> Credentials:
    """Somebody came in by a personal token: there will be no other, so it must do."""
    secret = _secret_of(who.token.id, asking.url, environ)
    if secret is not None:  # they came in by what stands for it, which tells less of it and is no credential
        asking = Questions(asking.url, BearerToken(secret), environ)
        who = asking.get(_WHOAMI, WhoAmI)
    lacking = [] if who.token.scopes is None else [one for one in SCOPES if one not in who.token.scopes]
    if lacking:
        options = " ".join(f"--scope {one}" for one in SCOPES)
        raise ConfigurationError(
            f"the token by which you are let in at {asking.url} was made without what the published packages ask for "
            f"({', '.join(lacking)}), and no token makes others. Run `afield env` where you are logged in, or make one "
            f"there: afield token create LABEL {options}"
        )
    header = asking.authorizer.get_authorization_header() or ""
    return Credentials(
        service_url=asking.url,
        client_id=who.token.id,
        secret=header.partition(" ")[2],
        expires_at=who.token.expires_at,
        identity_id=who.identity.id,
        username=who.identity.username,
    )


def _of_client(asking: Questions, who: WhoAmI, environ: Mapping[str, str]) -> Credentials:
    """Somebody is a client: by the environment, or by a login that is kept."""
    secret = _secret_of(who.identity.id, asking.url, environ)
    if secret is None:
        raise ConfigurationError(
            f"you are the client {who.identity.id} at {asking.url}, and only its token is here: set AFIELD_CLIENT_ID "
            "and AFIELD_CLIENT_SECRET"
        )
    return Credentials(service_url=asking.url, client_id=who.identity.id, secret=secret)


def _secret_of(client_id: str, url: str, environ: Mapping[str, str]) -> str | None:
    """What belongs to this id and no other: several may be here, and one of another service is not for this one."""
    found = [(environ.get(one), environ.get(other)) for one, other in PAIRS]
    login = stored.read(url, environ)
    if login is not None:
        found.append((login.client_id, login.client_secret))
    return next((secret for one, secret in found if one == client_id and secret), None)
