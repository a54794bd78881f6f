"""How the older generation of the published SDK was told who is asking (published names).

Today an object with ``get_authorization_header()`` is enough: ``Client(authorizer=...)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

from afield.sdk.login.client_credentials import COMPUTE_SCOPE
from afield.sdk.login.ending import log_out
from afield.sdk.login.person import Person, Terminal, is_attended
from afield.sdk.login.renewing import StoredAuthorizer
from afield.sdk.login.source import BearerToken, find_authorizer, find_url
from afield.sdk.web_client import WebClient

__all__ = ["AuthorizerLoginManager", "ComputeScopeBuilder", "LoginManager", "LoginManagerProtocol"]


class ComputeScopeBuilder:
    """The names under which a login server keeps what opens a service (published)."""

    resource_server: Final = "funcx_service"
    all: Final = COMPUTE_SCOPE


@runtime_checkable
class LoginManagerProtocol(Protocol):
    """What ``Client(login_manager=...)`` takes."""

    def get_auth_client(self) -> Any:
        """A client of an identity provider; Afield never asks for it."""

    def get_web_client(self, *, base_url: str) -> Any:
        """An object whose ``authorizer`` opens the service at this address."""

    def ensure_logged_in(self) -> Any:
        """Called once, before :meth:`get_web_client`."""

    def logout(self) -> Any:
        """Called by ``Client.logout()``."""


class LoginManager:
    """The one for programs that bring none: it finds what a ``Client`` would find. Where that is nothing, and somebody
    is at the terminal or the notebook, it has them log in, and again when a service asks for another login.

    :param environment: as for ``Client``
    :param person: who logs in; None: whoever is at the terminal, if anybody is
    """

    def __init__(self, *, environment: str | None = None, person: Person | None = None) -> None:
        self._environment = environment
        self._url: str | None = None
        self._person = person or (Terminal() if is_attended() else None)

    def get_auth_client(self) -> Any:
        """Not there.

        :raises NotImplementedError: always
        """
        raise NotImplementedError("Afield asks no identity provider: what opens its service is a token")

    def get_web_client(self, *, base_url: str) -> WebClient:
        """With what opens the service at this address.

        :raises ServiceError: somebody was to log in, and did not
        """
        self._url = base_url
        found = find_authorizer(base_url)
        if self._person is None or not isinstance(found, StoredAuthorizer | None):
            return WebClient(base_url=base_url, authorizer=found or BearerToken(None))
        from afield.sdk.login.interactive import Attended, log_in

        if found is None:
            log_in(base_url, self._person)
        return WebClient(base_url=base_url, authorizer=Attended(base_url, self._person))

    def ensure_logged_in(self) -> None:
        """Nothing to do yet: who asks for a web client says for which service."""

    def logout(self) -> bool:
        """End the login that is kept for the service; whether there was one."""
        return log_out(self._url or find_url(self._environment)) is not None


class AuthorizerLoginManager:
    """One that was given authorizers.

    :param authorizers: by resource server or by scope; the one for :class:`ComputeScopeBuilder` is used
    """

    def __init__(self, authorizers: Mapping[Any, Any]) -> None:
        self.authorizers = authorizers

    def get_auth_client(self) -> Any:
        """Not there.

        :raises NotImplementedError: always
        """
        raise NotImplementedError("Afield asks no identity provider: what opens its service is an authorizer")

    def get_web_client(self, *, base_url: str) -> WebClient:
        """With the authorizer for the service."""
        return WebClient(base_url=base_url, authorizer=self._authorizer())

    def ensure_logged_in(self) -> None:
        """Make sure that the authorizer is there.

        :raises ValueError: it is not
        """
        self._authorizer()

    def logout(self) -> None:
        """Nothing: the authorizers came from the program."""

    def _authorizer(self) -> Any:
        for key in (ComputeScopeBuilder.resource_server, ComputeScopeBuilder.all):
            if key in self.authorizers:
                return self.authorizers[key]
        raise ValueError(
            f"authorizers should have one for {ComputeScopeBuilder.resource_server!r}, and has {list(self.authorizers)}"
        )
