"""Programs that ask for tokens, and their proof (RFC 6749 section 2.3)."""

from __future__ import annotations

import hmac
from base64 import b64decode
from collections.abc import Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import unquote_plus

from afield.service.auth.oauth.problems import OAuthError, invalid_client, invalid_request
from afield.service.domain.people import ClientRecord, IdentityRecord
from afield.service.store.people import People
from afield.service.store.texts import is_text

__all__ = ["CLIENT_DOMAIN", "DEFAULT_CLIENT", "authenticated", "claimed", "find_client", "identity_of_client", "said"]

#: The native client that published programs are, without registration (reference: wire contract section 2.1). Ours too.
DEFAULT_CLIENT: Final = ClientRecord(
    "4cf29807-cf21-49ec-9443-ff9a3fb9f81c", "The Python SDK or the command line", None, 0.0
)

#: Of the username of an identity that is a program (reference: wire contract section 10, number 16).
CLIENT_DOMAIN: Final = "clients.auth.globus.org"


async def find_client(people: People, client_id: str) -> ClientRecord | None:
    """A client that is in use; None: there is none with this id."""
    if client_id == DEFAULT_CLIENT.id:
        return DEFAULT_CLIENT
    client = await people.client(client_id)
    return None if client is None or client.disabled_at is not None else client


async def claimed(people: People, authorization: str | None, fields: Mapping[str, str]) -> ClientRecord:
    """Who asks: a client with its secret, or one that has none and says its name.

    :param authorization: the value of that header
    :raises OAuthError: nobody, or not with that secret
    """
    client_id, secret = said(authorization, fields)
    client = await find_client(people, client_id)
    if client is None:
        raise invalid_client()
    kept = client.secret_digest
    if kept is None:
        if secret is not None:
            raise invalid_client()
        return client
    if secret is None or not hmac.compare_digest(sha256(secret.encode()).digest(), kept):
        raise invalid_client()
    return client


async def authenticated(people: People, authorization: str | None, fields: Mapping[str, str]) -> ClientRecord:
    """Who asks, and has proven it by a secret.

    :raises OAuthError: nobody did
    """
    client = await claimed(people, authorization, fields)
    if client.secret_digest is None:
        raise OAuthError(
            "unauthorized_client", "This client has no secret, and only one that has may ask for this. Use another."
        )
    return client


async def identity_of_client(people: People, client: ClientRecord) -> IdentityRecord:
    """The identity that a confidential client is; made where there is none yet."""
    found = await people.identity(client.id)
    if found is None:
        username = f"{client.id}@{CLIENT_DOMAIN}"
        found = IdentityRecord(client.id, username, client.name, username, client.created_at, provider="client")
        await people.put_identity(found)
    return found


def said(authorization: str | None, fields: Mapping[str, str]) -> tuple[str, str | None]:
    """By what name somebody asks, and with which secret, if any; neither is checked.

    :param authorization: the value of that header
    :raises OAuthError: they say nothing, or two things
    """
    client_id, secret = fields.get("client_id"), fields.get("client_secret")
    scheme, _, credentials = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            text = b64decode(credentials.strip(), validate=True).decode()
        except ValueError as error:
            raise invalid_client() from error
        name, _, basic_secret = text.partition(":")
        name = unquote_plus(name)
        if not is_text(name):
            raise invalid_client()
        if secret is not None or (client_id is not None and client_id != name):
            raise invalid_request("The client proves itself in two ways that differ. Send one of them.")
        return name, unquote_plus(basic_secret)
    if client_id is None:
        raise invalid_client()
    return client_id, secret
