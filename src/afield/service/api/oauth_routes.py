"""The authorization server's routes (reference: wire contract section 2.3), and its pages."""

from __future__ import annotations

from typing import Any, Final

from afield.service.api import oauth
from afield.service.api.late import page
from afield.service.api.route import Route
from afield.service.auth.oauth.scopes import ANY_AUTH, COMPUTE, MANAGE_PROJECTS, OPENID, VIEW_CONSENTS

__all__ = ["OAUTH_ROUTES"]

_ANY: Final = dict[str, Any]
_OPENID: Final = frozenset({OPENID})
_KNOWN: Final = ANY_AUTH | {COMPUTE}
_OWN: Final = frozenset({MANAGE_PROJECTS, VIEW_CONSENTS, OPENID})


# fmt: off
OAUTH_ROUTES: Final[tuple[Route, ...]] = (
    page("POST", "/v2/oauth2/token", "oauth_tokens", "token"),
    page("POST", "/v2/oauth2/token/revoke", "oauth_tokens", "revocation"),
    page("POST", "/v2/oauth2/token/introspect", "oauth_tokens", "introspection"),
    page("POST", "/v2/oauth2/device_authorization", "oauth_tokens", "device_authorization"),
    Route("GET", "/v2/oauth2/userinfo", oauth.user, gives=_ANY, scopes=_OPENID),
    Route("POST", "/v2/oauth2/userinfo", oauth.user, gives=_ANY, scopes=_OPENID),
    Route("GET", "/v2/api/identities", oauth.identity_list, gives=_ANY, query=("ids", "usernames", "include"),
          scopes=_KNOWN),
    Route("GET", "/v2/api/identities/{identity_id}/consents", oauth.consents, gives=_ANY, scopes=_OWN),
    Route("GET", "/v2/api/projects", oauth.projects, gives=_ANY, scopes=_OWN),
    Route("GET", "/.well-known/openid-configuration", oauth.configuration, gives=_ANY, is_open=True),
    Route("GET", "/.well-known/oauth-authorization-server", oauth.configuration, gives=_ANY, is_open=True),
    Route("GET", "/jwk.json", oauth.jwks, gives=_ANY, is_open=True),

    page("GET", "/v2/oauth2/authorize", "oauth_pages", "authorize"),
    page("GET", "/v2/web/continue", "oauth_pages", "go_on"),
    page("GET", "/v2/web/login", "oauth_pages", "login_page"),
    page("POST", "/v2/web/login", "oauth_pages", "log_in"),
    page("POST", "/v2/web/consent", "oauth_pages", "consent"),
    page("GET", "/v2/web/auth-code", "oauth_pages", "pasted_code"),
    page("GET", "/", "oauth_pages", "front"),
    page("GET", "/device", "oauth_device", "page"),
    page("POST", "/device", "oauth_device", "typed"),
    page("POST", "/v2/web/device", "oauth_device", "confirm"),
    page("GET", "/v2/web/logout", "oauth_account", "logout_page"),
    page("POST", "/v2/web/logout", "oauth_account", "log_out"),
    page("GET", "/v2/web/invitation", "oauth_account", "invitation"),
    page("POST", "/v2/web/invitation", "oauth_account", "set_password"),
    page("POST", "/v2/web/group-invitation", "group_invitation", "answer"),
    page("GET", "/v2/web/password", "oauth_account", "password_page"),
    page("POST", "/v2/web/password", "oauth_account", "change_password"),
    page("GET", "/v2/web/style.css", "oauth_pages", "style"),
)
# fmt: on
