"""Who holds a token (OpenID Connect Core section 5.3), with all that are linked. PURE."""

from __future__ import annotations

from typing import Any

from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord, Session

__all__ = ["provider_name", "userinfo"]


def userinfo(caller: Caller) -> dict[str, Any]:
    """The published document. Endpoints read ``identity_set`` (reference: wire contract section 8.6)."""
    session = caller.session or Session()
    return _claims(caller.identity, session) | {
        "identity_set": [_claims(one, session) for one in (caller.identity, *caller.linked)],
    }


def provider_name(identity: IdentityRecord) -> str:
    """Who vouches for an identity, for people."""
    return {"local": "This service", "client": "A program"}.get(identity.provider, identity.provider)


def _claims(identity: IdentityRecord, session: Session) -> dict[str, Any]:
    when = session.authenticated_at.get(identity.id)
    return {
        "sub": identity.id,
        "username": identity.username,
        "preferred_username": identity.username,
        "name": identity.name,
        "email": identity.email,
        "organization": identity.organization,
        "identity_provider": identity.provider,
        "identity_provider_display_name": provider_name(identity),
        "last_authentication": None if when is None else int(when),
    }
