"""How the older generation of the published SDK was told who is asking (published names).

Today an object with ``get_authorization_header()`` is enough: ``Client(authorizer=...)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

from afield.sdk.login.client_credentials import COMPUTE_SCOPE
from afield.sdk.login.source import BearerToken, find_authorizer, find_url, forget_token
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
    """The one for programs that bring none: it finds what a ``Client`` would find.

    :param environment: as for ``Client``
    """

    def __init__(self, *, environment: str | None = None) -> None:
        self._environment = environment

    def get_auth_client(self) -> Any:
        """Not there.

        :raises NotImplementedError: always
        """
        raise NotImplementedError("Afield asks no identity provider: what opens its service is a token")

    def get_web_client(self, *, base_url: str) -> WebClient:
        """With what opens the service at this address."""
        return WebClient(base_url=base_url, authorizer=find_authorizer(base_url) or BearerToken(None))

    def ensure_logged_in(self) -> None:
        """Nothing to do: tokens are found when they are needed."""

    def logout(self) -> bool:
        """Forget the token that was kept for the service; whether there was one."""
        return forget_token(find_url(self._environment))


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
