"""Functions, endpoints, user endpoints and task groups: what there is to call and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, or_, select, update

from afield.service.domain.records import (
    Departure,
    EndpointRecord,
    FunctionRecord,
    TaskGroupRecord,
    UserEndpointRecord,
)
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key
from afield.service.store.sql.rows import JSON, KEY, TEXTS, Shape
from afield.service.store.sql.statements import Insert, pages

__all__ = [
    "delete_endpoint",
    "delete_function",
    "departures",
    "endpoint",
    "endpoints",
    "forget_departure",
    "function",
    "functions",
    "groups_with_times",
    "put_endpoint",
    "put_function",
    "put_functions",
    "put_task_group",
    "put_user_endpoint",
    "task_group",
    "user_endpoint",
    "user_endpoints",
]

R = TypeVar("R", bound=msgspec.Struct)

_FUNCTION = Shape(FunctionRecord, tables.functions, {"id": KEY, "owner_id": KEY, "metadata": JSON})
_ENDPOINT = Shape(
    EndpointRecord,
    tables.endpoints,
    {"id": KEY, "owner_id": KEY, "metadata": JSON, "allowed_functions": JSON, "admins": JSON},
)
_USER_ENDPOINT = Shape(
    UserEndpointRecord,
    tables.user_endpoints,
    {"id": KEY, "endpoint_id": KEY, "identity_id": KEY, "user_opts": JSON, "user_runtime": JSON, "state": JSON},
)
_DEPARTURE = Shape(Departure, tables.departures, {"id": KEY, "user_endpoint_ids": TEXTS})
_GROUP = Shape(TaskGroupRecord, tables.task_groups, {"id": KEY, "owner_id": KEY})

_FUNCTION_IF_THERE = select(*_FUNCTION.columns).where(
    tables.functions.c.id == bindparam("id"), tables.functions.c.deleted.is_(False)
)
_FUNCTIONS = select(*_FUNCTION.columns).where(tables.functions.c.id.in_(bindparam("ids", expanding=True)))

_put_function = Insert(tables.functions, "keep")
_put_endpoint = Insert(tables.endpoints, "replace")
_put_user_endpoint = Insert(tables.user_endpoints, "replace")
_put_departure = Insert(tables.departures, "replace")
_put_group = Insert(tables.task_groups, "replace")


def put_function(connection: Connection, record: FunctionRecord) -> None:
    """Add; one that is there stays as it is."""
    put_functions(connection, [record])


def put_functions(connection: Connection, records: Sequence[FunctionRecord]) -> None:
    """Add them; those that are there stay as they are."""
    # ``deleted`` stands before what was added later.
    rows = [_FUNCTION.row(record) for record in records]
    _put_function(connection, [(*row[:-1], False, row[-1]) for row in rows])


def function(connection: Connection, function_id: str) -> FunctionRecord | None:
    """By id, unless deleted."""
    row = connection.execute(_FUNCTION_IF_THERE, {"id": key(function_id)}).first()
    return None if row is None else _FUNCTION.record(row)


def functions(connection: Connection, function_ids: Sequence[str]) -> dict[str, FunctionRecord]:
    """By ids, deleted ones too."""
    found = (
        _FUNCTION.record(row)
        for page in pages([key(i) for i in function_ids])
        for row in connection.execute(_FUNCTIONS, {"ids": page}).all()
    )
    return {record.id: record for record in found}


def delete_function(connection: Connection, function_id: str) -> bool:
    """Mark it deleted; whether there was one."""
    table = tables.functions
    query = update(table).where(table.c.id == key(function_id), table.c.deleted.is_(False)).values(deleted=True)
    return connection.execute(query).rowcount > 0


def put_endpoint(connection: Connection, record: EndpointRecord) -> None:
    """Add or replace."""
    _put_endpoint(connection, [_ENDPOINT.row(record)])


def endpoint(connection: Connection, endpoint_id: str) -> EndpointRecord | None:
    """By id."""
    return _ENDPOINT.one(connection, key(endpoint_id))


def endpoints(connection: Connection, owner_id: str | None) -> list[EndpointRecord]:
    """All, or one owner's; the oldest first."""
    mine = [] if owner_id is None else [tables.endpoints.c.owner_id == key(owner_id)]
    return _select(connection, _ENDPOINT, *mine, oldest_first=tables.endpoints)


def delete_endpoint(connection: Connection, endpoint_id: str, now: float) -> Departure | None:
    """Remove it and its user endpoints, and remember that; None: there is no such endpoint."""
    one = key(endpoint_id)
    found = _ENDPOINT.one(connection, one)
    # Of two who delete it at once, one finds nothing left here.
    if found is None or not connection.execute(delete(tables.endpoints).where(tables.endpoints.c.id == one)).rowcount:
        return None
    ids = tuple(user_endpoint.id for user_endpoint in user_endpoints(connection, endpoint_id))
    connection.execute(delete(tables.user_endpoints).where(tables.user_endpoints.c.endpoint_id == one))
    departure = Departure(endpoint_id, found.name, ids, now)
    _put_departure(connection, [_DEPARTURE.row(departure)])
    return departure


def departures(connection: Connection) -> list[Departure]:
    """Those that are remembered, the oldest first."""
    table = tables.departures
    query = select(*_DEPARTURE.columns).order_by(table.c.deleted_at, table.c.id)
    return [_DEPARTURE.record(row) for row in connection.execute(query)]


def forget_departure(connection: Connection, endpoint_id: str) -> None:
    """Remember it no more, and remove user endpoints that were added since."""
    one = key(endpoint_id)
    if connection.execute(delete(tables.departures).where(tables.departures.c.id == one)).rowcount:
        connection.execute(delete(tables.user_endpoints).where(tables.user_endpoints.c.endpoint_id == one))


def put_user_endpoint(connection: Connection, record: UserEndpointRecord) -> None:
    """Add or replace."""
    _put_user_endpoint(connection, [_USER_ENDPOINT.row(record)])


def user_endpoint(connection: Connection, user_endpoint_id: str) -> UserEndpointRecord | None:
    """By id."""
    return _USER_ENDPOINT.one(connection, key(user_endpoint_id))


def user_endpoints(connection: Connection, endpoint_id: str | None) -> list[UserEndpointRecord]:
    """All, or one core endpoint's; the oldest first."""
    mine = [] if endpoint_id is None else [tables.user_endpoints.c.endpoint_id == key(endpoint_id)]
    return _select(connection, _USER_ENDPOINT, *mine, oldest_first=tables.user_endpoints)


def put_task_group(connection: Connection, record: TaskGroupRecord) -> None:
    """Add or replace."""
    _put_group(connection, [_GROUP.row(record)])


def groups_with_times(connection: Connection) -> list[TaskGroupRecord]:
    """Those that say themselves how long their tasks are kept, or wait."""
    g = tables.task_groups.c
    query = select(*_GROUP.columns).where(or_(g.retention_s.is_not(None), g.waiting_s.is_not(None))).order_by(g.id)
    return [_GROUP.record(row) for row in connection.execute(query)]


def task_group(connection: Connection, group_id: str) -> TaskGroupRecord | None:
    """By id."""
    return _GROUP.one(connection, key(group_id))


def _select(
    connection: Connection, shape: Shape[R], *where: ColumnElement[Any], oldest_first: Table | None = None
) -> list[R]:
    query = select(*shape.columns).where(*where)
    if oldest_first is not None:
        query = query.order_by(oldest_first.c.created_at, oldest_first.c.id)
    return [shape.record(row) for row in connection.execute(query)]
