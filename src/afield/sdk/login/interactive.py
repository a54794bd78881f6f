"""Somebody logs in: in the way that suits where they sit, with what the service asks for; the login is kept."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from afield.errors import ConfigurationError, ServiceError
from afield.sdk.login import stored
from afield.sdk.login.client_credentials import COMPUTE_SCOPE
from afield.sdk.login.code_flow import by_browser, by_pasted_code
from afield.sdk.login.device_flow import by_device
from afield.sdk.login.ending import take_back
from afield.sdk.login.needed import LoginEnded, query_of, scopes_of
from afield.sdk.login.person import Person, has_browser
from afield.sdk.login.places import Wish, find_places
from afield.sdk.login.plain_http import exchange
from afield.sdk.login.renewing import StoredAuthorizer
from afield.sdk.login.stored import StoredLogin, StoredToken
from afield.sdk.login.tokens import DEFAULT_CLIENT
from afield.sdk.retry import TryAgain
from afield.wire.malformed import MALFORMED

__all__ = ["Attended", "Way", "choose_way", "log_in", "native_client"]

#: Published: an id without a secret is an application with which people log in (reference: wire contract section 1.4).
_CLIENT_VARIABLE: Final = "GLOBUS_COMPUTE_CLIENT_ID"
_SECRET_VARIABLE: Final = "GLOBUS_COMPUTE_CLIENT_SECRET"  # noqa: S105 - the variable's name


class Way(StrEnum):
    """How somebody logs in."""

    BROWSER = "browser"  #: one on this machine comes back by itself
    DEVICE = "device"  #: a code is typed in a browser anywhere
    PASTE = "paste"  #: a code is copied from a browser anywhere


class _UserInfo(msgspec.Struct):
    sub: str
    preferred_username: str = ""
    name: str = ""


def choose_way(environ: Mapping[str, str] = os.environ) -> Way:
    """What suits where the person sits."""
    return Way.BROWSER if has_browser(environ) else Way.DEVICE


def native_client(environ: Mapping[str, str] = os.environ) -> str:
    """The program with which people log in: that of the environment, or this one."""
    given = environ.get(_CLIENT_VARIABLE)
    return given if given and not environ.get(_SECRET_VARIABLE) else DEFAULT_CLIENT


def log_in(
    url: str,
    person: Person,
    way: Way | None = None,
    *,
    client_id: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> StoredLogin:
    """Have somebody log in, and keep that for all their programs. What was kept before is replaced, and revoked.

    :param url: of the service
    :param way: None: what suits
    :param client_id: the program that they let in; None: see :func:`native_client`
    :param parameters: what the service asked of the login (``authorization_parameters``)
    :param environ: says where logins are kept
    :param now: a clock, in unix time
    :param sleep: waits for some seconds
    :raises ServiceError: it did not come to that, and why
    :raises ConfigurationError: it cannot be kept
    :raises EOFError: nobody is there to type a code
    """
    asked = parameters or {}
    way = way or choose_way(environ)
    client_id = client_id or native_client(environ)
    scopes = tuple(dict.fromkeys(("openid", COMPUTE_SCOPE, *scopes_of(asked))))
    # By this name people know the login when they look at what they let in.
    wish = Wish(client_id, scopes, {"prefill_named_grant": f"afield on {platform.node()}", **query_of(asked)})
    try:
        places = find_places(url)
        if way is Way.DEVICE:
            tokens = by_device(places, person, wish, now, sleep=sleep)
        elif way is Way.BROWSER:
            tokens = by_browser(places, person, wish, now)
        else:
            tokens = by_pasted_code(places, person, wish, now)
        login = _login(url, client_id, tokens, now())
    except TryAgain as failure:
        raise failure.error from failure.__cause__
    with stored.locked(url, environ):
        before = _before(url, environ)
        stored.keep(login, environ)
    if before is not None:
        take_back(before)  # if that fails they end by themselves
    return login


def _before(url: str, environ: Mapping[str, str]) -> StoredLogin | None:
    try:
        return stored.read(url, environ)
    except ConfigurationError:
        return None  # whatever it was, it is replaced now


def _login(url: str, client_id: str, tokens: dict[str, StoredToken], now: float) -> StoredLogin:
    if stored.COMPUTE_SERVER not in tokens or stored.AUTH_SERVER not in tokens:
        raise ServiceError(f"{url} gave no token that opens it, but for {', '.join(tokens)}: is it an Afield service?")
    headers = {"Accept": "application/json", "Authorization": f"Bearer {tokens[stored.AUTH_SERVER].access_token}"}
    answer = exchange("GET", f"{url.rstrip('/')}/v2/oauth2/userinfo", headers, why="to ask who logged in")
    try:
        who = msgspec.json.decode(answer.body, type=_UserInfo)
    except MALFORMED as error:
        raise ServiceError(f"{url} does not say who logged in ({answer.status}: {error})") from error
    return StoredLogin(
        service_url=url.rstrip("/"),
        client_id=client_id,
        identity_id=who.sub,
        username=who.preferred_username,
        name=who.name,
        logged_in_at=now,
        tokens=tokens,
    )


class Attended:
    """An authorizer with somebody beside it: what needs a login, or another one, has them log in. Only for programs
    that ask for that.

    :param url: of the service
    :param way: how they log in; None: what suits
    :param environ: says where logins are kept
    """

    def __init__(
        self, url: str, person: Person, way: Way | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._url, self._person, self._way, self._environ = url, person, way, environ
        self._inner = self._find()

    def get_authorization_header(self) -> str:
        """The header; has somebody log in where there is no login, or none any more."""
        if self._inner is None:
            return self._anew({}).get_authorization_header()
        try:
            return self._inner.get_authorization_header()
        except LoginEnded as error:
            self._person.tell(error.reason)
            return self._anew({}).get_authorization_header()

    def handle_missing_authorization(self) -> bool:
        """The token was not taken any more: get another one, by a login if need be."""
        try:
            return self._inner is not None and self._inner.handle_missing_authorization()
        except LoginEnded as error:
            self._person.tell(error.reason)
            self._anew({})
            return True

    def handle_authorization_parameters(self, parameters: Mapping[str, Any]) -> bool:
        """The service asks for another login: have somebody log in so."""
        if parameters.get("session_message"):
            self._person.tell(str(parameters["session_message"]))
        self._anew(parameters)
        return True

    def _find(self) -> StoredAuthorizer | None:
        login = stored.read(self._url, self._environ)
        return None if login is None or login.client_secret is not None else StoredAuthorizer(login, self._environ)

    def _anew(self, parameters: Mapping[str, Any]) -> StoredAuthorizer:
        login = log_in(self._url, self._person, self._way, parameters=parameters, environ=self._environ)
        self._inner = StoredAuthorizer(login, self._environ)
        return self._inner
