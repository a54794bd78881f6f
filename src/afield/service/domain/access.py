"""Who may do what: one table and one decision.

Theory. Everything that can be asked for is an :class:`Action` on one record. Towards a record a caller has
:class:`Role` s, which follow from the record alone. The table says for each action which roles may; whoever has none of
them is refused, with the refusal that belongs to the action. There is no other rule, and nobody else decides.

Who may *run* on an endpoint: its owner; and, when the endpoint maps identities to the machine's users itself
(``multi_user``), everybody, for then the mapping on that machine decides (reference: wire contract section 8.6).
``public`` lets others find and see an endpoint, not run on it. Admins manage, they do not run: the endpoint would not
trust their identity.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from afield.service.domain import refusals
from afield.service.domain.caller import Caller
from afield.service.domain.records import EndpointRecord, FunctionRecord, TaskGroupRecord, TaskView
from afield.service.domain.refusals import Refusal

__all__ = ["TABLE", "Action", "Object", "Role", "decide", "roles"]

Object = FunctionRecord | EndpointRecord | TaskGroupRecord | TaskView


class Role(StrEnum):
    """What somebody is towards one record."""

    OWNER = "owner"
    ADMIN = "admin"  #: named by the endpoint's owner
    PUBLIC = "public"  #: anybody, towards what was made public
    MAPPED = "mapped"  #: anybody, towards an endpoint that maps identities itself


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
    READ_TASK = "read-task"
    CANCEL_TASK = "cancel-task"
    USE_GROUP = "use-group"  #: submit into it, list it


TABLE: Final[dict[Action, frozenset[Role]]] = {
    Action.READ_FUNCTION: frozenset({Role.OWNER, Role.PUBLIC}),
    Action.RUN_FUNCTION: frozenset({Role.OWNER, Role.PUBLIC}),
    Action.DELETE_FUNCTION: frozenset({Role.OWNER}),
    Action.SEE_ENDPOINT: frozenset({Role.OWNER, Role.ADMIN, Role.PUBLIC, Role.MAPPED}),
    Action.RUN_ON_ENDPOINT: frozenset({Role.OWNER, Role.MAPPED}),
    Action.REGISTER_ENDPOINT: frozenset({Role.OWNER}),
    Action.LOCK_ENDPOINT: frozenset({Role.OWNER, Role.ADMIN}),
    Action.DELETE_ENDPOINT: frozenset({Role.OWNER, Role.ADMIN}),
    Action.READ_TASK: frozenset({Role.OWNER}),
    Action.CANCEL_TASK: frozenset({Role.OWNER}),
    Action.USE_GROUP: frozenset({Role.OWNER}),
}

_REFUSALS: Final[dict[Action, Callable[[str], Refusal]]] = {
    Action.READ_FUNCTION: refusals.function_forbidden,
    Action.RUN_FUNCTION: refusals.function_forbidden,
    Action.DELETE_FUNCTION: refusals.function_forbidden,
    Action.SEE_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "see"),
    Action.RUN_ON_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "run tasks on"),
    Action.REGISTER_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "register"),
    Action.LOCK_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "stop"),
    Action.DELETE_ENDPOINT: lambda i: refusals.endpoint_forbidden(i, "delete"),
    # Whether a task that is not yours exists is not told.
    Action.READ_TASK: refusals.task_not_found,
    Action.CANCEL_TASK: refusals.task_not_found,
    Action.USE_GROUP: refusals.group_forbidden,
}


def roles(caller: Caller, record: Object) -> frozenset[Role]:
    """What ``caller`` is towards ``record``."""
    found = set()
    if caller.is_one_of(record.owner_id):
        found.add(Role.OWNER)
    if isinstance(record, FunctionRecord | EndpointRecord) and record.public:
        found.add(Role.PUBLIC)
    if isinstance(record, EndpointRecord):
        if caller.is_one_of(*record.admins):
            found.add(Role.ADMIN)
        if record.multi_user:
            found.add(Role.MAPPED)
    return frozenset(found)


def decide(action: Action, caller: Caller, record: Object) -> Refusal | None:
    """The one decision: None when ``caller`` may do ``action`` to ``record``, else the refusal to answer with."""
    if roles(caller, record).isdisjoint(TABLE[action]):
        return _REFUSALS[action](record.id)
    return None
