"""Identities and tokens."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from afield.service.domain.people import IdentityRecord, Session, TokenKind, TokenRecord
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key
from afield.service.store.sql.rows import JSON, KEY, Codec, Shape
from afield.service.store.sql.statements import Delete, Insert

__all__ = ["delete_token", "identity", "put_identity", "put_token", "token"]

_IDENTITY = Shape(IdentityRecord, tables.identities, {"id": KEY, "person_id": KEY})
_TOKEN = Shape(
    TokenRecord,
    tables.tokens,
    {
        "identity_id": KEY,
        "kind": Codec(str, TokenKind),
        "scopes": Codec(JSON.to_column, lambda value: tuple(JSON.to_field(value))),
        "session": Codec(JSON.to_column, lambda value: msgspec.json.decode(value, type=Session)),
    },
)
_put_identity = Insert(tables.identities, "replace")
_put_token = Insert(tables.tokens, "replace")
_delete_token = Delete(tables.tokens, "digest")


def put_identity(connection: Connection, record: IdentityRecord) -> None:
    """Add or replace."""
    _put_identity(connection, [_IDENTITY.row(record)])


def identity(connection: Connection, identity_id: str) -> IdentityRecord | None:
    """By id."""
    return _IDENTITY.one(connection, key(identity_id))


def put_token(connection: Connection, record: TokenRecord) -> None:
    """Add or replace."""
    _put_token(connection, [_TOKEN.row(record)])


def token(connection: Connection, digest: bytes) -> TokenRecord | None:
    """By the digest of its text."""
    return _TOKEN.one(connection, digest)


def delete_token(connection: Connection, digest: bytes) -> None:
    """Forget it."""
    _delete_token(connection, [(digest,)])
