"""Who may do what: one table and one decision.

Theory. Everything that can be asked for is an :class:`Action` on one record. Towards a record a caller has
:class:`Role` s, which follow from the record and from the *ties* that lead to it: grants on an endpoint, memberships of
a group. The table says for each action which roles may; whoever has none of them is refused, with the refusal that
belongs to the action. There is no other rule, and nobody else decides. (How somebody must have logged in is a second
question, asked after this one: :mod:`afield.service.domain.policies`.)

Who may *run* on an endpoint? Tasks run as the user who started it, so that is as much as being that user. Its owner
may, and whom the owner let in (a grant of the role ``run`` or ``manage``). When the endpoint maps identities to the
machine's users itself (``multi_user``), everybody may, for then the mapping on that machine decides. ``public`` lets
others find and see an endpoint, not run on it. Those whom its own file names as ``admins`` stop and delete it, as
published; they do not run. The published endpoint software, where it does not map, runs tasks of its owner only,
whatever the service says (reference: wire contract section 8.6): there a grant to run lets see, and the refusal says
why at once.

What is hidden? Of tasks, tokens, clients, accounts, groups of people and invitations, nobody learns whether one that is
not theirs exists: it is "not found". Functions, endpoints and task groups of others are "forbidden", as published; to
ask for one, its id must be known.

Who administrates the service may look at what is others' with any token of theirs, but changes it only once they have
logged in: the scopes of a program's token speak of its holder's own things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

from afield.service.domain import people_refusals, refusals
from afield.service.domain.caller import Caller
from afield.service.domain.people import (
    AccountRecord,
    ClientRecord,
    GrantRecord,
    GrantRole,
    MemberRecord,
    MemberRole,
    PolicyRecord,
    Principal,
    TeamRecord,
    TokenRecord,
)
from afield.service.domain.records import EndpointRecord, FunctionRecord, TaskGroupRecord, TaskView
from afield.service.domain.refusals import Refusal
from afield.service.domain.user_endpoints import endpoint_wire
from afield.wire import v2

__all__ = ["ENDED_BY_WITHDRAWAL", "TABLE", "Action", "Object", "Role", "Tie", "decide", "roles", "runs_guests"]

Object = (
    FunctionRecord
    | EndpointRecord
    | TaskGroupRecord
    | TaskView
    | TeamRecord
    | PolicyRecord
    | TokenRecord
    | ClientRecord
    | AccountRecord
)
#: What leads from people to a record.
Tie = GrantRecord | MemberRecord

#: The short name under which tasks end whose submitter may not run there any more.
ENDED_BY_WITHDRAWAL: Final = "AccessWithdrawn"


class Role(StrEnum):
    """What somebody is towards one record."""

    OWNER = "owner"
    ADMIN = "admin"  #: named by the endpoint's own file
    MANAGER = "manager"  #: granted ``manage``; of a group: its manager
    RUNNER = "runner"  #: granted ``run``
    VIEWER = "viewer"  #: granted ``view``
    MEMBER = "member"  #: of the group, or of the one with which a function is shared
    PUBLIC = "public"  #: anybody, towards what was made public
    MAPPED = "mapped"  #: anybody, towards an endpoint that maps identities itself
    OPERATOR = "operator"  #: administrates the service


class Action(StrEnum):
    """What can be asked for."""

    READ_FUNCTION = "read-function"
    RUN_FUNCTION = "run-function"
    DELETE_FUNCTION = "delete-function"
    SEE_ENDPOINT = "see-endpoint"
    RUN_ON_ENDPOINT = "run-on-endpoint"
    REGISTER_ENDPOINT = "register-endpoint"  #: again, under its id
    LOCK_ENDPOINT = "lock-endpoint"
    DELETE_ENDPOINT = "delete-endpoint"
    SEE_GRANTS = "see-grants"  #: with whom an endpoint is shared
    SHARE_ENDPOINT = "share-endpoint"
    READ_TASK = "read-task"
    CANCEL_TASK = "cancel-task"
    USE_GROUP = "use-group"  #: submit into a task group, list it
    SEE_TEAM = "see-team"  #: a group of people, and who is in it
    MANAGE_TEAM = "manage-team"  #: rename, invite, remove, delete
    SEE_POLICY = "see-policy"  #: and protect an endpoint by it
    CHANGE_POLICY = "change-policy"
    USE_TOKEN = "use-token"  # noqa: S105 - not one itself; look at it, revoke it
    USE_CLIENT = "use-client"  #: look at it, change or delete it
    USE_ACCOUNT = "use-account"  #: look at it, change its password
    MANAGE_ACCOUNT = "manage-account"  #: disable, make it an operator


_RUN: Final = frozenset({Role.OWNER, Role.MANAGER, Role.RUNNER, Role.MAPPED})
_ALL: Final = frozenset(Role)

TABLE: Final[dict[Action, frozenset[Role]]] = {
    Action.READ_FUNCTION: frozenset({Role.OWNER, Role.MEMBER, Role.PUBLIC}),
    Action.RUN_FUNCTION: frozenset({Role.OWNER, Role.MEMBER, Role.PUBLIC}),
    Action.DELETE_FUNCTION: frozenset({Role.OWNER}),
    Action.SEE_ENDPOINT: _RUN | {Role.ADMIN, Role.VIEWER, Role.PUBLIC},
    Action.RUN_ON_ENDPOINT: _RUN,
    Action.REGISTER_ENDPOINT: frozenset({Role.OWNER}),
    Action.LOCK_ENDPOINT: frozenset({Role.OWNER, Role.ADMIN, Role.MANAGER}),
    Action.DELETE_ENDPOINT: frozenset({Role.OWNER, Role.ADMIN, Role.MANAGER}),
    Action.SEE_GRANTS: frozenset({Role.OWNER, Role.ADMIN, Role.MANAGER}),
    Action.SHARE_ENDPOINT: frozenset({Role.OWNER, Role.MANAGER}),
    Action.READ_TASK: frozenset({Role.OWNER}),
    Action.CANCEL_TASK: frozenset({Role.OWNER}),
    Action.USE_GROUP: frozenset({Role.OWNER}),
    Action.SEE_TEAM: frozenset({Role.MANAGER, Role.MEMBER, Role.OPERATOR}),
    Action.MANAGE_TEAM: frozenset({Role.MANAGER, Role.OPERATOR}),
    # Whoever is refused by a policy must be able to read what it asks for; its id is in the refusal.
    Action.SEE_POLICY: _ALL,
    Action.CHANGE_POLICY: frozenset({Role.OWNER, Role.OPERATOR}),
    Action.USE_TOKEN: frozenset({Role.OWNER}),
    Action.USE_CLIENT: frozenset({Role.OWNER, Role.OPERATOR}),
    Action.USE_ACCOUNT: frozenset({Role.OWNER, Role.OPERATOR}),
    Action.MANAGE_ACCOUNT: frozenset({Role.OPERATOR}),
}

#: What nobody does as an operator by a program's token.
_LOGGED_IN: Final = frozenset({Action.MANAGE_TEAM, Action.CHANGE_POLICY, Action.USE_CLIENT, Action.MANAGE_ACCOUNT})

_REFUSALS: Final[dict[Action, Callable[[str], Refusal]]] = {
    Action.READ_FUNCTION: refusals.function_forbidden,
    Action.RUN_FUNCTION: refusals.function_forbidden,
    Action.DELETE_FUNCTION: refusals.function_forbidden,
    Action.SEE_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "see"),
    Action.RUN_ON_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "run tasks on"),
    Action.REGISTER_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "register"),
    Action.LOCK_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "stop"),
    Action.DELETE_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "delete"),
    Action.SEE_GRANTS: lambda i: refusals.endpoint_forbidden(i, "see who may use"),
    Action.SHARE_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "share"),
    # Whether a task that is not yours exists is not told; the same goes for all that follow but policies.
    Action.READ_TASK: refusals.task_not_found,
    Action.CANCEL_TASK: refusals.task_not_found,
    Action.USE_GROUP: refusals.group_forbidden,
    Action.SEE_TEAM: people_refusals.team_not_found,
    Action.MANAGE_TEAM: people_refusals.team_not_found,
    Action.SEE_POLICY: people_refusals.policy_not_found,
    Action.CHANGE_POLICY: people_refusals.policy_forbidden,
    Action.USE_TOKEN: people_refusals.token_not_found,
    Action.USE_CLIENT: people_refusals.client_not_found,
    Action.USE_ACCOUNT: people_refusals.account_not_found,
    Action.MANAGE_ACCOUNT: people_refusals.operators_only,
}

#: Who may see it at least is told that it is there, and what they are not.
_SEEN: Final[dict[Action, tuple[Action, Callable[[str], Refusal]]]] = {
    Action.MANAGE_TEAM: (Action.SEE_TEAM, people_refusals.team_forbidden),
}

_GRANTED: Final = {GrantRole.MANAGE: Role.MANAGER, GrantRole.RUN: Role.RUNNER, GrantRole.VIEW: Role.VIEWER}
_MEMBERSHIP: Final = {MemberRole.MANAGER: Role.MANAGER, MemberRole.MEMBER: Role.MEMBER}


def roles(caller: Caller, record: Object, ties: Iterable[Tie] = ()) -> frozenset[Role]:
    """What ``caller`` is towards ``record``.

    :param ties: grants on the endpoint, memberships of the group; those of others do not matter
    """
    found = {_role(tie) for tie in ties if _is_about(tie, record) and _leads(caller, tie)}
    if caller.is_one_of(*_owners(record)):
        found.add(Role.OWNER)
    if caller.is_admin:
        found.add(Role.OPERATOR)
    match record:
        case FunctionRecord():
            if record.public:
                found.add(Role.PUBLIC)
            if record.group_id is not None and record.group_id in caller.teams:
                found.add(Role.MEMBER)
        case EndpointRecord():
            if record.public:
                found.add(Role.PUBLIC)
            if caller.is_one_of(*record.admins):
                found.add(Role.ADMIN)
            if record.multi_user:
                found.add(Role.MAPPED)
        case PolicyRecord():
            found.add(Role.PUBLIC)
    return frozenset(found)


def decide(action: Action, caller: Caller, record: Object, ties: Iterable[Tie] = ()) -> Refusal | None:
    """The one decision: None when ``caller`` may do ``action`` to ``record``, else the refusal to answer with.

    :param ties: as for :func:`roles`
    """
    mine = roles(caller, record, ties)
    may = TABLE[action]
    if not mine.isdisjoint(may):
        is_guest = action is Action.RUN_ON_ENDPOINT and Role.OWNER not in mine
        if is_guest and isinstance(record, EndpointRecord) and not runs_guests(record):
            return refusals.endpoint_runs_no_guests(record.id)
        if caller.is_program and action in _LOGGED_IN and mine & may == {Role.OPERATOR}:
            return people_refusals.login_required()
        return None
    name = _name(record)
    seen = _SEEN.get(action)
    if seen is not None and not mine.isdisjoint(TABLE[seen[0]]):
        return seen[1](name)
    return _REFUSALS[action](name)


def runs_guests(endpoint: EndpointRecord) -> bool:
    """Whether its software runs tasks of others than its owner, if it is told to."""
    return endpoint.multi_user or endpoint_wire(endpoint) >= v2.VERSION[0]


def _is_about(tie: Tie, record: Object) -> bool:
    if isinstance(tie, GrantRecord):
        return isinstance(record, EndpointRecord) and tie.object_id == record.id
    return isinstance(record, TeamRecord) and tie.team_id == record.id


def _leads(caller: Caller, tie: Tie) -> bool:
    """Whether a tie is the caller's."""
    if isinstance(tie, GrantRecord) and tie.principal is Principal.TEAM:
        return tie.principal_id in caller.teams
    return caller.is_one_of(tie.principal_id if isinstance(tie, GrantRecord) else tie.identity_id)


def _role(tie: Tie) -> Role:
    return _GRANTED[tie.role] if isinstance(tie, GrantRecord) else _MEMBERSHIP[tie.role]


def _owners(record: Object) -> tuple[str, ...]:
    match record:
        case TeamRecord():
            return ()  # it has managers
        case TokenRecord() | AccountRecord():
            return (record.identity_id,)
        case ClientRecord():
            return (record.id,) if record.owner_id is None else (record.id, record.owner_id)
        case _:
            return (record.owner_id,)


def _name(record: Object) -> str:
    """By which the caller knows it."""
    match record:
        case TokenRecord():
            return record.label
        case AccountRecord():
            return record.username
        case _:
            return record.id
