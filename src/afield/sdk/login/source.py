"""Which service, and as whom.

The address: what the program says, else ``AFIELD_SERVICE_URL``, else the one service that runs on this machine, else
the one at which this person has logged in. As whom: what the program says, else ``AFIELD_TOKEN``, else the client
credentials of the environment, else the login kept by ``afield login`` for this address, else the token in the file of
the running service.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

from afield.errors import ConfigurationError, ServiceError
from afield.sdk.login import client_credentials, known, stored
from afield.sdk.login.client_credentials import ClientCredentials
from afield.sdk.login.renewing import StoredAuthorizer
from afield.sdk.login.stored import StoredLogin, StoredToken
from afield.sdk.retry import TryAgain

__all__ = [
    "Authorizer",
    "BearerToken",
    "Renewable",
    "as_authorizer",
    "authorization",
    "authorizer_of_app",
    "checked_url",
    "find_authorizer",
    "find_token",
    "find_url",
    "forget_token",
    "keep_token",
    "relogin",
    "renewal",
]

T = TypeVar("T")

_URL_VARIABLE: Final = "AFIELD_SERVICE_URL"
_TOKEN_VARIABLE: Final = "AFIELD_TOKEN"  # noqa: S105 - the variable's name
_LOCAL_URL: Final = "http://127.0.0.1:5000"
#: The name under which globus-sdk keeps tokens for this API (reference: wire contract section 2.1).
_RESOURCE_SERVER: Final = "funcx_service"


@runtime_checkable
class Authorizer(Protocol):
    """What gives the header, as globus-sdk's authorizers do. It may talk to a server, so it is called in a thread."""

    def get_authorization_header(self) -> str | None:
        """The value of the Authorization header."""


class Renewable(Protocol):
    """What can do something about a token that was not taken any more, as some of globus-sdk's authorizers can. It may
    talk to a server, so it is called in a thread.
    """

    def handle_missing_authorization(self) -> bool:
        """A request was answered with 401: whether asking again, with another header, may help now."""


class BearerToken:
    """A token that holds until somebody takes it back.

    :param token: None: whoever asks says nothing of who they are
    :raises TypeError: it is no text
    :raises ValueError: it holds what no header can
    """

    def __init__(self, token: str | None) -> None:
        if token is not None and not isinstance(token, str):
            raise TypeError(f"a token is text, and this is a {type(token).__name__}")
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            # Not shown: it is a secret.
            raise ValueError("the token holds a space or a character that no header can: was more copied than it?")
        self._header = f"Bearer {token}" if token else None

    def get_authorization_header(self) -> str | None:
        """The same each time."""
        return self._header


def find_url(environment: str | None = None, *, local: bool = False, environ: Mapping[str, str] = os.environ) -> str:
    """The address of the service.

    :param environment: published; ``"local"`` is the only one that names a place of your own
    :param local: published ``local_compute_services``: port 5000 of this machine
    :param environ: the environment's variables
    :raises ConfigurationError: nothing says where it is, or several run here
    """
    if local or environment == "local":
        return _LOCAL_URL
    if environment is not None:
        raise ConfigurationError(
            f"environment={environment!r} names a hosted service, and Afield has none: say where yours is with "
            f"service_url= or {_URL_VARIABLE}"
        )
    given = environ.get(_URL_VARIABLE)
    if given:
        return given
    running = known.live(known.user_dir(environ))
    if len(running) == 1:
        return running[0].service_url
    if running:
        listed = ", ".join(service.service_url for service in running)
        raise ConfigurationError(
            f"several services run here ({listed}): say which one with service_url= or {_URL_VARIABLE}"
        )
    logins = stored.all_logins(environ)
    if len(logins) == 1:
        return logins[0].service_url
    if logins:
        listed = ", ".join(login.service_url for login in logins)
        raise ConfigurationError(
            f"you are logged in at several services ({listed}): say which one with service_url= or {_URL_VARIABLE}"
        )
    raise ConfigurationError(
        "no service is known: start one on this machine with `afield up`, log in at yours with `afield login --service "
        f"https://…`, or say where it is with service_url= or {_URL_VARIABLE}"
    )


def checked_url(given: object) -> str:
    """The address of a service, if it can be one.

    :raises ConfigurationError: it cannot
    :raises TypeError: it is no text
    """
    if not isinstance(given, str):
        raise TypeError(f"service_url should be text, and is a {type(given).__name__}")
    wrong = ConfigurationError(f"{given!r} is not the address of a service; write one like http://127.0.0.1:5000")
    try:
        parts = urlsplit(given)
        # What cannot be seen is skipped where a URL is taken apart, and sent and printed where it is used as a whole.
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and given.isprintable()
    except ValueError as error:  # a port out of range, half a bracket
        raise wrong from error
    if not fine:
        raise wrong
    if "@" in parts.netloc:
        # Not shown: there may be a password in it.
        raise ConfigurationError(
            f"the address of a service has no name or password in it: write {parts.scheme}://"
            f"{parts.netloc.rpartition('@')[2]}, and log in with `afield login`"
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(
            f"{given!r} is an address within a service: write that of the service, {parts.scheme}://{parts.netloc}"
        )
    return given


def find_token(url: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The token for the service at ``url``; None: there is none."""
    given = environ.get(_TOKEN_VARIABLE, "").strip()
    if given:
        return given
    login = stored.read(url, environ)
    if login is not None and login.compute is not None:
        return login.compute.access_token
    return _token_of_running(url, environ)


def _token_of_running(url: str, environ: Mapping[str, str]) -> str | None:
    return next(
        (
            service.token
            for service in known.live(known.user_dir(environ))
            if known.same_service(service.service_url, url)
        ),
        None,
    )


def find_authorizer(url: str, environ: Mapping[str, str] = os.environ) -> Authorizer | None:
    """What opens the service at ``url``, as far as this machine knows; None: nothing.

    Client credentials go before everything that was left on this machine, as published; ``AFIELD_TOKEN`` goes before
    them, because it is meant for this service and no other.

    :raises ValueError: the environment holds half of a client's credentials
    :raises ConfigurationError: a login is kept that cannot be read
    """
    credentials = client_credentials.find(url, environ)
    given = environ.get(_TOKEN_VARIABLE, "").strip()
    if given:
        return BearerToken(given)
    if credentials is not None:
        return credentials
    login = stored.read(url, environ)
    if login is not None:
        return _of_login(url, login, environ)
    token = _token_of_running(url, environ)
    return None if token is None else BearerToken(token)


def _of_login(url: str, login: StoredLogin, environ: Mapping[str, str]) -> Authorizer:
    if login.client_secret is not None:
        return ClientCredentials(url, login.client_id, login.client_secret, "your login")
    return StoredAuthorizer(login, environ)


def authorization(token: str | None, authorizer: Authorizer | None) -> Callable[[], Awaitable[str | None]]:
    """A function that gives the Authorization header for each request.

    :param authorizer: asked each time; wins over the token. Whatever it raises comes out as a ServiceError that names
        it, for it is somebody else's code, and futures must end with what is its fault
    """
    source = BearerToken(token) if authorizer is None else authorizer
    if isinstance(source, BearerToken):
        fixed = source.get_authorization_header()

        async def constant() -> str | None:
            return fixed

        return constant

    async def ask() -> str | None:
        # Most of the time these need no thread to wait in.
        ready = source.ready() if isinstance(source, ClientCredentials | StoredAuthorizer) else None
        return ready or await _in_thread(source.get_authorization_header)

    return ask


async def _in_thread(ask: Callable[[], T]) -> T:
    """What an authorizer's method says, which may talk to a server."""
    import asyncio  # commands, which do without it, start a little sooner

    try:
        return await asyncio.to_thread(ask)
    except (ServiceError, TryAgain):
        raise
    except Exception as error:
        name = getattr(ask, "__qualname__", repr(ask))
        raise ServiceError(f"{name}() of the authorizer failed: {type(error).__name__}: {error}") from error


def renewal(authorizer: object) -> Callable[[], Awaitable[bool]] | None:
    """A function to call when a request was answered with 401, that says whether another header may help; None: none
    ever will.

    :param authorizer: whatever gives the header; a :class:`Renewable`, or not
    """
    renew = getattr(authorizer, "handle_missing_authorization", None)
    if not callable(renew):
        return None

    async def ask() -> bool:
        return bool(await _in_thread(renew))

    return ask


def relogin(authorizer: object) -> Callable[[Mapping[str, Any]], Awaitable[bool]] | None:
    """A function to call when a service asks for another login (``authorization_parameters``), that says whether there
    was one; None: nobody is there to log in.

    :param authorizer: whatever gives the header
    """
    log_in = getattr(authorizer, "handle_authorization_parameters", None)
    if not callable(log_in):
        return None

    async def ask(parameters: Mapping[str, Any]) -> bool:
        return bool(await _in_thread(lambda: log_in(parameters)))

    return ask


class _OfApp:
    """An authorizer of an application of globus-sdk, which can have its person log in again, as published."""

    def __init__(self, app: Any, authorizer: Authorizer) -> None:
        self._app, self._authorizer = app, authorizer

    def get_authorization_header(self) -> str | None:
        return self._authorizer.get_authorization_header()

    def handle_missing_authorization(self) -> bool:
        renew = getattr(self._authorizer, "handle_missing_authorization", None)
        return bool(renew()) if callable(renew) else False

    def handle_authorization_parameters(self, parameters: Mapping[str, Any]) -> bool:
        from globus_sdk.gare import GlobusAuthorizationParameters

        self._app.login(auth_params=GlobusAuthorizationParameters.from_dict(dict(parameters)))
        return True


def authorizer_of_app(app: Any) -> Authorizer:
    """What gives the header, of an application object of globus-sdk (``UserApp``, ``ClientApp``) or one like it.

    May talk to a login server, and to the person at the terminal.

    :raises TypeError: it has no ``get_authorizer()``
    """
    if not callable(getattr(app, "get_authorizer", None)):
        raise TypeError(f"app should have a method get_authorizer(), and {type(app).__name__} has none")
    add = getattr(app, "add_scope_requirements", None)
    if callable(add):
        add({_RESOURCE_SERVER: [client_credentials.COMPUTE_SCOPE]})
    authorizer = as_authorizer(app.get_authorizer(_RESOURCE_SERVER))
    is_published = any(one.__module__.partition(".")[0] == "globus_sdk" for one in type(app).__mro__)
    return _OfApp(app, authorizer) if is_published and callable(getattr(app, "login", None)) else authorizer


def keep_token(url: str, token: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Use this token for this service from now on, in all programs of this person.

    :return: the file, readable by its owner only
    :raises ConfigurationError: it cannot be written
    """
    now = time.time()
    tokens = {stored.COMPUTE_SERVER: StoredToken(token, now)}
    return stored.keep(StoredLogin(service_url=url.rstrip("/"), logged_in_at=now, tokens=tokens), environ)


def forget_token(url: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Forget what :func:`keep_token` kept, without asking the service; whether there was something."""
    return stored.forget(url, environ)


def as_authorizer(given: Any) -> Authorizer:
    """Check what a program passed as ``authorizer=``.

    :raises TypeError: it has no ``get_authorization_header()``
    """
    if not isinstance(given, Authorizer):
        raise TypeError(
            f"authorizer should have a method get_authorization_header(), and {type(given).__name__} has none"
        )
    return given
