"""With whom people share: groups, their members, grants; and policies about how one must have logged in."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, select

from afield.service.domain.people import (
    GrantRecord,
    GrantRole,
    MemberRecord,
    MemberRole,
    PolicyRecord,
    Principal,
    TeamRecord,
)
from afield.service.store.sql import tables
from afield.service.store.sql.keys import key
from afield.service.store.sql.rows import KEY, TEXTS, Codec, Shape
from afield.service.store.sql.statements import Insert, pages

__all__ = [
    "change_policy",
    "change_team",
    "delete_grant",
    "delete_member",
    "delete_policy",
    "delete_team",
    "grants_on",
    "grants_to",
    "members",
    "memberships",
    "policies_of",
    "policy",
    "put_grant",
    "put_member",
    "put_policy",
    "put_team",
    "team",
    "teams",
]

_t, _m, _g, _p = tables.teams.c, tables.members.c, tables.grants.c, tables.policies.c

_TEAM = Shape(TeamRecord, tables.teams, {"id": KEY})
_MEMBER = Shape(MemberRecord, tables.members, {"team_id": KEY, "identity_id": KEY, "role": Codec(str, MemberRole)})
_GRANT = Shape(
    GrantRecord,
    tables.grants,
    {
        "object_id": KEY,
        "principal": Codec(str, Principal),
        "principal_id": KEY,
        "role": Codec(str, GrantRole),
    },
)
_POLICY = Shape(
    PolicyRecord,
    tables.policies,
    {"id": KEY, "owner_id": KEY, "include_domains": TEXTS, "exclude_domains": TEXTS},
)

_TEAMS = select(*_TEAM.columns).where(_t.id.in_(bindparam("ids", expanding=True)))
# On PostgreSQL it is not deleted while somebody is added to it. SQLite has one writer at a time.
_HELD_TEAM = select(_t.id).where(_t.id == bindparam("team")).with_for_update(read=True, key_share=True)
_MEMBERS = select(*_MEMBER.columns).where(_m.team_id == bindparam("team")).order_by(_m.created_at, _m.identity_id)
_MEMBERSHIPS = select(*_MEMBER.columns).where(_m.identity_id.in_(bindparam("ids", expanding=True)))
_GRANTS_ON = (
    select(*_GRANT.columns)
    .where(_g.object_id == bindparam("what"))
    .order_by(_g.created_at, _g.principal, _g.principal_id)
)
_GRANTS_TO = select(*_GRANT.columns).where(
    _g.principal_id.in_(bindparam("ids", expanding=True)), _g.principal == bindparam("sort")
)
_POLICIES_OF = select(*_POLICY.columns).where(_p.owner_id == bindparam("owner")).order_by(_p.created_at, _p.id)

_put_team = Insert(tables.teams, "replace")
_put_member = Insert(tables.members, "replace")
_put_grant = Insert(tables.grants, "replace")
_put_policy = Insert(tables.policies, "replace")


def put_team(connection: Connection, record: TeamRecord) -> None:
    """Add or replace."""
    _put_team(connection, [_TEAM.row(record)])


def change_team(connection: Connection, record: TeamRecord) -> bool:
    """Replace; whether there is one."""
    return _TEAM.change(connection, record)


def team(connection: Connection, team_id: str) -> TeamRecord | None:
    """By id."""
    return _TEAM.one(connection, key(team_id))


def teams(connection: Connection, team_ids: Sequence[str]) -> dict[str, TeamRecord]:
    """By ids."""
    found = (
        _TEAM.record(row)
        for page in pages([key(i) for i in team_ids])
        for row in connection.execute(_TEAMS, {"ids": page})
    )
    return {record.id: record for record in found}


def delete_team(connection: Connection, team_id: str) -> bool:
    """Remove it with its memberships and what was granted to it; whether there was one."""
    one = key(team_id)
    # The group first: whoever adds a member at the same moment has done so before, or finds no group.
    was_there = connection.execute(delete(tables.teams).where(_t.id == one)).rowcount > 0
    connection.execute(delete(tables.members).where(_m.team_id == one))
    connection.execute(delete(tables.grants).where(_g.principal_id == one, _g.principal == Principal.TEAM.value))
    return was_there


def put_member(connection: Connection, record: MemberRecord) -> bool:
    """Add or replace; whether there is such a group."""
    if connection.execute(_HELD_TEAM, {"team": key(record.team_id)}).first() is None:
        return False
    _put_member(connection, [_MEMBER.row(record)])
    return True


def delete_member(connection: Connection, team_id: str, identity_id: str) -> bool:
    """End it; whether there was one."""
    query = delete(tables.members).where(_m.team_id == key(team_id), _m.identity_id == key(identity_id))
    return connection.execute(query).rowcount > 0


def members(connection: Connection, team_id: str) -> list[MemberRecord]:
    """Of a group."""
    return [_MEMBER.record(row) for row in connection.execute(_MEMBERS, {"team": key(team_id)})]


def memberships(connection: Connection, identity_ids: Sequence[str]) -> list[MemberRecord]:
    """Of these identities, each once."""
    found = (
        _MEMBER.record(row)
        for page in pages([key(i) for i in identity_ids])
        for row in connection.execute(_MEMBERSHIPS, {"ids": page})
    )
    return sorted(found, key=lambda record: (record.created_at, record.team_id, record.identity_id))


def put_grant(connection: Connection, record: GrantRecord) -> None:
    """Add or replace."""
    _put_grant(connection, [_GRANT.row(record)])


def delete_grant(connection: Connection, object_id: str, principal: Principal, principal_id: str) -> bool:
    """Take it back; whether there was one."""
    query = delete(tables.grants).where(
        _g.object_id == key(object_id), _g.principal == principal.value, _g.principal_id == key(principal_id)
    )
    return connection.execute(query).rowcount > 0


def grants_on(connection: Connection, object_id: str) -> list[GrantRecord]:
    """On an object."""
    return [_GRANT.record(row) for row in connection.execute(_GRANTS_ON, {"what": key(object_id)})]


def grants_to(connection: Connection, principals: Sequence[tuple[Principal, str]]) -> list[GrantRecord]:
    """To any of these, each once."""
    found = (
        _GRANT.record(row)
        for sort in Principal
        for page in pages([key(one) for principal, one in principals if principal == sort])
        for row in connection.execute(_GRANTS_TO, {"ids": page, "sort": sort.value})
    )
    return sorted(found, key=lambda record: (record.created_at, record.object_id, record.principal_id))


def put_policy(connection: Connection, record: PolicyRecord) -> None:
    """Add or replace."""
    _put_policy(connection, [_POLICY.row(record)])


def change_policy(connection: Connection, record: PolicyRecord) -> bool:
    """Replace; whether there is one."""
    return _POLICY.change(connection, record)


def policy(connection: Connection, policy_id: str) -> PolicyRecord | None:
    """By id."""
    return _POLICY.one(connection, key(policy_id))


def policies_of(connection: Connection, owner_id: str) -> list[PolicyRecord]:
    """Somebody's."""
    return [_POLICY.record(row) for row in connection.execute(_POLICIES_OF, {"owner": key(owner_id)})]


def delete_policy(connection: Connection, policy_id: str) -> bool:
    """Remove it; whether there was one."""
    return connection.execute(delete(tables.policies).where(_p.id == key(policy_id))).rowcount > 0
