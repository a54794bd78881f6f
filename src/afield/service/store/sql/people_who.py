"""Identities, local accounts, and links to identities elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, exc, select

from afield.service.domain.people import AccountRecord, IdentityRecord, LinkRecord
from afield.service.store.base import AlreadyStored
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key
from afield.service.store.sql.rows import KEY, PLAIN, Codec, Shape
from afield.service.store.sql.statements import Insert, pages

__all__ = [
    "account",
    "account_of",
    "accounts",
    "change_account",
    "delete_link",
    "identities",
    "identities_named",
    "identities_of",
    "identity",
    "link",
    "links_of",
    "put_account",
    "put_identity",
    "put_link",
]

_i, _a, _l = tables.identities.c, tables.accounts.c, tables.links.c

_LOCAL = Codec(PLAIN.to_column, PLAIN.to_field, null="local")
_IDENTITY = Shape(IdentityRecord, tables.identities, {"id": KEY, "person_id": KEY, "provider": _LOCAL})
_ACCOUNT = Shape(AccountRecord, tables.accounts, {"identity_id": KEY})
_LINK = Shape(LinkRecord, tables.links, {"identity_id": KEY})

_IDENTITIES = select(*_IDENTITY.columns).where(_i.id.in_(bindparam("ids", expanding=True)))
_NAMED = select(*_IDENTITY.columns).where(_i.handle.in_(bindparam("handles", expanding=True)))
_OF_PERSON = select(*_IDENTITY.columns).where(_i.person_id == bindparam("person_id")).order_by(_i.created_at, _i.id)
_BY_HANDLE = select(*_ACCOUNT.columns).where(_a.handle == bindparam("wanted"))
_ACCOUNTS = select(*_ACCOUNT.columns)
# On PostgreSQL a second one waits for the first to commit, then sees what that did. SQLite has one writer at a time.
_LOCKED = select(*_ACCOUNT.columns).where(_a.identity_id == bindparam("identity")).with_for_update()
_LINK_OF = select(*_LINK.columns).where(_l.issuer == bindparam("by"), _l.subject == bindparam("whom"))
_LINKS_OF = (
    select(*_LINK.columns).where(_l.identity_id == bindparam("identity")).order_by(_l.created_at, _l.issuer, _l.subject)
)

_put_identity = Insert(tables.identities, "replace")
_put_account = Insert(tables.accounts, "replace")
_put_link = Insert(tables.links)


def put_identity(connection: Connection, record: IdentityRecord) -> None:
    """Add or replace."""
    _put_identity(connection, [(*_IDENTITY.row(record), record.username.lower())])


def identity(connection: Connection, identity_id: str) -> IdentityRecord | None:
    """By id."""
    return _IDENTITY.one(connection, key(identity_id))


def identities(connection: Connection, identity_ids: Sequence[str]) -> dict[str, IdentityRecord]:
    """By ids."""
    found = (
        _IDENTITY.record(row)
        for page in pages([key(i) for i in identity_ids])
        for row in connection.execute(_IDENTITIES, {"ids": page})
    )
    return {record.id: record for record in found}


def identities_named(connection: Connection, handles: Sequence[str]) -> list[IdentityRecord]:
    """By usernames in lower case, each once."""
    found = (_IDENTITY.record(row) for page in pages(handles) for row in connection.execute(_NAMED, {"handles": page}))
    return sorted(found, key=lambda record: (record.created_at, record.id))


def identities_of(connection: Connection, person_id: str) -> list[IdentityRecord]:
    """Of one person."""
    return [_IDENTITY.record(row) for row in connection.execute(_OF_PERSON, {"person_id": key(person_id)})]


def put_account(connection: Connection, record: AccountRecord, its: IdentityRecord | None) -> None:
    """Add or replace, with its identity.

    :raises AlreadyStored: another has its username
    """
    if its is not None:
        put_identity(connection, its)
    try:
        _put_account(connection, [(*_ACCOUNT.row(record), record.username.lower())])
    except exc.IntegrityError as error:
        raise AlreadyStored("account") from error


def change_account(connection: Connection, before: AccountRecord, after: AccountRecord) -> bool:
    """Replace it, if it is as it was; whether it was."""
    row = connection.execute(_LOCKED, {"identity": key(before.identity_id)}).first()
    if row is None or _ACCOUNT.record(row) != before:
        return False
    put_account(connection, after, None)
    return True


def account(connection: Connection, handle: str) -> AccountRecord | None:
    """By username in lower case."""
    row = connection.execute(_BY_HANDLE, {"wanted": handle}).first()
    return None if row is None else _ACCOUNT.record(row)


def account_of(connection: Connection, identity_id: str) -> AccountRecord | None:
    """By identity."""
    return _ACCOUNT.one(connection, key(identity_id))


def accounts(connection: Connection) -> list[AccountRecord]:
    """All, by username. Sorted here: databases sort text by the language that they were made for."""
    found = (_ACCOUNT.record(row) for row in connection.execute(_ACCOUNTS))
    return sorted(found, key=lambda record: record.username.lower())


def put_link(connection: Connection, record: LinkRecord) -> None:
    """Add.

    :raises AlreadyStored: the provider's subject is linked
    """
    try:
        _put_link(connection, [_LINK.row(record)])
    except exc.IntegrityError as error:
        raise AlreadyStored("link") from error


def link(connection: Connection, issuer: str, subject: str) -> LinkRecord | None:
    """By who vouches, and for whom."""
    row = connection.execute(_LINK_OF, {"by": issuer, "whom": subject}).first()
    return None if row is None else _LINK.record(row)


def links_of(connection: Connection, identity_id: str) -> list[LinkRecord]:
    """Behind an identity."""
    return [_LINK.record(row) for row in connection.execute(_LINKS_OF, {"identity": key(identity_id)})]


def delete_link(connection: Connection, issuer: str, subject: str) -> bool:
    """Forget it; whether there was one."""
    return connection.execute(delete(tables.links).where(_l.issuer == issuer, _l.subject == subject)).rowcount > 0
