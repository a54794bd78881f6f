"""A token for a program that acts for itself (RFC 6749 section 4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afield.service.auth.oauth.clients import identity_of_client
from afield.service.auth.oauth.issue import Grant, Issuer, new_family
from afield.service.auth.oauth.problems import OAuthError
from afield.service.auth.oauth.scopes import COMPUTE, parse
from afield.service.domain.people import ClientRecord
from afield.service.store.people import People

__all__ = ["client_credentials"]


async def client_credentials(
    people: People, issuer: Issuer, client: ClientRecord, fields: Mapping[str, str], here: str
) -> dict[str, Any]:
    """The document. Published clients ask for the scopes of one resource server at a time.

    :param client: has shown its secret
    :param here: the service's address
    :raises OAuthError: a scope is not known
    """
    if client.secret_digest is None:
        raise OAuthError("unauthorized_client", "A client without a secret cannot act for itself. Use another.")
    identity = await identity_of_client(people, client)
    scopes = parse(fields.get("scope", "")) or (COMPUTE,)
    # No session: a program never logs in.
    grant = Grant(client.id, identity.id, scopes, new_family())
    return await issuer.issue(grant, client.name, here)
