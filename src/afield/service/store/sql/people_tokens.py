"""How people and programs come in: clients, tokens, tickets, consents; and the keys that sign."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, bindparam, delete, or_, select, update

from afield.service.domain.people import (
    ClientRecord,
    ConsentRecord,
    KeyRecord,
    Session,
    TicketRecord,
    TokenKind,
    TokenRecord,
)
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key
from afield.service.store.sql.rows import JSON, KEY, TEXTS, Codec, Shape
from afield.service.store.sql.statements import Insert

__all__ = [
    "change_client",
    "client",
    "clients_of",
    "consent",
    "consents_of",
    "delete_client",
    "delete_consent",
    "delete_key",
    "delete_token",
    "delete_tokens",
    "forget_tickets",
    "forget_tokens",
    "keys",
    "prolong_token",
    "put_client",
    "put_consent",
    "put_key",
    "put_ticket",
    "put_token",
    "take_ticket",
    "ticket",
    "token",
    "tokens_of",
]

_c, _t, _s, _n, _k = (
    tables.clients.c,
    tables.tokens.c,
    tables.tickets.c,
    tables.consents.c,
    tables.signing_keys.c,
)

_CLIENT = Shape(ClientRecord, tables.clients, {"id": KEY, "owner_id": KEY, "redirect_uris": TEXTS})
_TOKEN = Shape(
    TokenRecord,
    tables.tokens,
    {
        "identity_id": KEY,
        "kind": Codec(str, TokenKind, null=TokenKind.SERVICE),
        "client_id": KEY,
        "scopes": TEXTS,
        "session": Codec(JSON.to_column, lambda value: msgspec.json.decode(value, type=Session)),
    },
)
_TICKET = Shape(TicketRecord, tables.tickets, {"content": JSON})
_CONSENT = Shape(ConsentRecord, tables.consents, {"identity_id": KEY, "client_id": KEY, "scopes": TEXTS})
_KEY = Shape(KeyRecord, tables.signing_keys, {"id": KEY})

_CLIENTS_OF = select(*_CLIENT.columns).where(_c.owner_id == bindparam("owner")).order_by(_c.created_at, _c.id)
_TOKENS_OF = select(*_TOKEN.columns).where(_t.identity_id == bindparam("identity")).order_by(_t.created_at, _t.digest)
# Whoever deletes the row has the ticket. On PostgreSQL a second one waits for the first to commit, then finds none.
_TAKE_TICKET = delete(tables.tickets).where(_s.digest == bindparam("shown")).returning(*_TICKET.columns)
_CONSENT_OF = select(*_CONSENT.columns).where(
    _n.identity_id == bindparam("whose"), _n.client_id == bindparam("towards")
)
_CONSENTS_OF = (
    select(*_CONSENT.columns).where(_n.identity_id == bindparam("whose")).order_by(_n.created_at, _n.client_id)
)
_KEYS = select(*_KEY.columns).order_by(_k.created_at.desc(), _k.id.desc())
_OLD_TOKENS = (
    select(_t.digest).where(_t.expires_at < bindparam("now")).order_by(_t.expires_at).limit(bindparam("count"))
)
_OLD_TICKETS = (
    select(_s.digest).where(_s.expires_at < bindparam("now")).order_by(_s.expires_at).limit(bindparam("count"))
)

_put_client = Insert(tables.clients, "replace")
_put_token = Insert(tables.tokens, "replace")
_put_ticket = Insert(tables.tickets, "replace")
_put_consent = Insert(tables.consents, "replace")
_put_key = Insert(tables.signing_keys, "replace")


def put_client(connection: Connection, record: ClientRecord) -> None:
    """Add or replace."""
    _put_client(connection, [_CLIENT.row(record)])


def change_client(connection: Connection, record: ClientRecord) -> bool:
    """Replace; whether there is one."""
    return _CLIENT.change(connection, record)


def client(connection: Connection, client_id: str) -> ClientRecord | None:
    """By id."""
    return _CLIENT.one(connection, key(client_id))


def clients_of(connection: Connection, owner_id: str) -> list[ClientRecord]:
    """Somebody's."""
    return [_CLIENT.record(row) for row in connection.execute(_CLIENTS_OF, {"owner": key(owner_id)})]


def delete_client(connection: Connection, client_id: str) -> bool:
    """Remove it, with what it holds and what it may; whether there was one."""
    one = key(client_id)
    if connection.execute(delete(tables.clients).where(_c.id == one)).rowcount == 0:
        return False
    connection.execute(delete(tables.tokens).where(or_(_t.client_id == one, _t.identity_id == one)))
    connection.execute(delete(tables.consents).where(_n.client_id == one))
    return True


def put_token(connection: Connection, record: TokenRecord) -> None:
    """Add or replace."""
    _put_token(connection, [_TOKEN.row(record)])


def token(connection: Connection, digest: bytes) -> TokenRecord | None:
    """By the digest of its text."""
    return _TOKEN.one(connection, digest)


def tokens_of(connection: Connection, identity_id: str) -> list[TokenRecord]:
    """Somebody's."""
    return [_TOKEN.record(row) for row in connection.execute(_TOKENS_OF, {"identity": key(identity_id)})]


def delete_token(connection: Connection, digest: bytes) -> bool:
    """Forget it; whether there was one."""
    return connection.execute(delete(tables.tokens).where(_t.digest == digest)).rowcount > 0


def prolong_token(connection: Connection, digest: bytes, expires_at: float) -> bool:
    """Let it expire then; whether there was one."""
    query = update(tables.tokens).where(_t.digest == digest).values(expires_at=expires_at)
    return connection.execute(query).rowcount > 0


def delete_tokens(connection: Connection, given: Mapping[str, str]) -> int:
    """Forget all with these values in these columns; how many that were."""
    values = {name: value if name == "family" else key(value) for name, value in given.items()}
    query = delete(tables.tokens).where(*(_t[name] == value for name, value in values.items()))
    return connection.execute(query).rowcount


def put_ticket(connection: Connection, record: TicketRecord) -> None:
    """Add or replace."""
    _put_ticket(connection, [_TICKET.row(record)])


def ticket(connection: Connection, digest: bytes) -> TicketRecord | None:
    """Look at it."""
    return _TICKET.one(connection, digest)


def take_ticket(connection: Connection, digest: bytes) -> TicketRecord | None:
    """Have it and forget it."""
    row = connection.execute(_TAKE_TICKET, {"shown": digest}).first()
    return None if row is None else _TICKET.record(row)


def put_consent(connection: Connection, record: ConsentRecord) -> None:
    """Add or replace."""
    _put_consent(connection, [_CONSENT.row(record)])


def consent(connection: Connection, identity_id: str, client_id: str) -> ConsentRecord | None:
    """Of one for one."""
    row = connection.execute(_CONSENT_OF, {"whose": key(identity_id), "towards": key(client_id)}).first()
    return None if row is None else _CONSENT.record(row)


def consents_of(connection: Connection, identity_id: str) -> list[ConsentRecord]:
    """Somebody's."""
    return [_CONSENT.record(row) for row in connection.execute(_CONSENTS_OF, {"whose": key(identity_id)})]


def delete_consent(connection: Connection, identity_id: str, client_id: str) -> bool:
    """Take it back; whether there was one."""
    query = delete(tables.consents).where(_n.identity_id == key(identity_id), _n.client_id == key(client_id))
    return connection.execute(query).rowcount > 0


def put_key(connection: Connection, record: KeyRecord) -> None:
    """Add or replace."""
    _put_key(connection, [_KEY.row(record)])


def keys(connection: Connection) -> list[KeyRecord]:
    """All; the newest first."""
    return [_KEY.record(row) for row in connection.execute(_KEYS)]


def delete_key(connection: Connection, key_id: str) -> bool:
    """Forget it; whether there was one."""
    return connection.execute(delete(tables.signing_keys).where(_k.id == key(key_id))).rowcount > 0


def forget_tokens(connection: Connection, now: float, limit: int) -> int:
    """Forget up to ``limit`` that expired; how many that were."""
    old = _OLD_TOKENS.params(now=now, count=limit)
    return connection.execute(delete(tables.tokens).where(_t.digest.in_(old))).rowcount


def forget_tickets(connection: Connection, now: float, limit: int) -> int:
    """Forget up to ``limit`` that expired; how many that were."""
    old = _OLD_TICKETS.params(now=now, count=limit)
    return connection.execute(delete(tables.tickets).where(_s.digest.in_(old))).rowcount
