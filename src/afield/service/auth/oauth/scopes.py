"""What tokens may be good for. PURE.

Theory. A *scope* names something that a token lets its holder do; each belongs to one *resource server*, and an access
token is for one of those. The strings are the published ones, for clients compare them (reference: wire contract
section 2.1): behind them is this service alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from afield.service.auth.oauth.problems import invalid_scope

__all__ = [
    "ANY_AUTH",
    "AUTH_SERVER",
    "COMPUTE",
    "COMPUTE_SERVER",
    "MANAGE_PROJECTS",
    "OFFLINE",
    "OPENID",
    "SCOPES",
    "VIEW_CONSENTS",
    "ScopeInfo",
    "by_server",
    "parse",
    "unique",
]

AUTH_SERVER: Final = "auth.globus.org"
COMPUTE_SERVER: Final = "funcx_service"

COMPUTE: Final = "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all"
OPENID: Final = "openid"
MANAGE_PROJECTS: Final = "urn:globus:auth:scope:auth.globus.org:manage_projects"
VIEW_CONSENTS: Final = "urn:globus:auth:scope:auth.globus.org:view_consents"
#: Asks for refresh tokens, as ``access_type=offline`` does (OpenID Connect Core section 11). It is no token's scope.
OFFLINE: Final = "offline_access"


class ScopeInfo(NamedTuple):
    """One scope: whose it is, and what it means to the person who is asked."""

    server: str
    words: str


#: All that there are.
SCOPES: Final[dict[str, ScopeInfo]] = {
    COMPUTE: ScopeInfo(COMPUTE_SERVER, "Run functions, and see and manage your endpoints, functions and tasks"),
    OPENID: ScopeInfo(
        AUTH_SERVER,
        "Know who you are: your username, name and e-mail address, and the identities that are linked with yours",
    ),
    "profile": ScopeInfo(AUTH_SERVER, "Know your name and organization"),
    "email": ScopeInfo(AUTH_SERVER, "Know your e-mail address"),
    "urn:globus:auth:scope:auth.globus.org:view_identities": ScopeInfo(
        AUTH_SERVER, "Look up identities by username or id"
    ),
    "urn:globus:auth:scope:auth.globus.org:view_identity_set": ScopeInfo(AUTH_SERVER, "See your linked identities"),
    MANAGE_PROJECTS: ScopeInfo(AUTH_SERVER, "See your projects"),
    VIEW_CONSENTS: ScopeInfo(AUTH_SERVER, "See which programs you let act for you"),
}

#: Any of these opens the routes that tell of identities.
ANY_AUTH: Final = frozenset(name for name, info in SCOPES.items() if info.server == AUTH_SERVER)


def unique(scopes: Iterable[str]) -> tuple[str, ...]:
    """Each once, in the order in which they came; clients send some twice."""
    return tuple(dict.fromkeys(scopes))


def parse(text: str) -> tuple[str, ...]:
    """The scopes in a request's ``scope``, without :data:`OFFLINE`.

    :raises OAuthError: one is not known here
    """
    asked = unique(text.split())
    unknown = [scope for scope in asked if scope not in SCOPES and scope != OFFLINE]
    if unknown:
        raise invalid_scope(
            f"This service has no scope {unknown[0][:200]}. It has {' '.join(SCOPES)}. Ask for those that you need."
        )
    return tuple(scope for scope in asked if scope != OFFLINE)


def by_server(scopes: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Which scopes go to which resource server; that of identities is the first one, if there are any for it."""
    found: dict[str, list[str]] = {}
    for scope in scopes:
        found.setdefault(SCOPES[scope].server, []).append(scope)
    order = sorted(found, key=lambda server: server != AUTH_SERVER)
    return {server: tuple(found[server]) for server in order}
