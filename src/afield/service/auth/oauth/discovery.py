"""Where everything is (OpenID Connect Discovery 1.0, RFC 8414). PURE."""

from __future__ import annotations

from typing import Any

from afield.service.auth.oauth.pkce import METHODS
from afield.service.auth.oauth.scopes import OFFLINE, SCOPES
from afield.service.auth.oauth.token import GRANT_TYPES

__all__ = ["configuration"]


def configuration(here: str) -> dict[str, Any]:
    """The document.

    :param here: the service's address, without a slash at the end; also what it calls itself
    """
    return {
        "issuer": here,
        "authorization_endpoint": f"{here}/v2/oauth2/authorize",
        "token_endpoint": f"{here}/v2/oauth2/token",
        "device_authorization_endpoint": f"{here}/v2/oauth2/device_authorization",
        "userinfo_endpoint": f"{here}/v2/oauth2/userinfo",
        "revocation_endpoint": f"{here}/v2/oauth2/token/revoke",
        "introspection_endpoint": f"{here}/v2/oauth2/token/introspect",
        "jwks_uri": f"{here}/jwk.json",
        "end_session_endpoint": f"{here}/v2/web/logout",
        "scopes_supported": [*SCOPES, OFFLINE],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": list(METHODS),
        "prompt_values_supported": ["none", "login", "consent"],
        "claims_supported": [
            "sub", "iss", "aud", "iat", "nbf", "exp", "auth_time", "amr", "nonce", "preferred_username", "name",
            "email", "organization", "identity_provider", "identity_set",
        ],
    }  # fmt: skip
