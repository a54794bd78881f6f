"""Text that people choose: which of it can be kept, and searched, in every database.

PostgreSQL keeps no NUL character, and neither database a lone surrogate, for it has no UTF-8. What is JSON in a row
(options, metadata) escapes them; but names, descriptions and labels are columns, because they are searched. All stores
refuse the same, so that nobody learns of it only when the database is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from afield.service.domain.records import EndpointRecord, FunctionRecord, TaskRecord
from afield.service.store.base import NotText

__all__ = ["LONGEST", "check_endpoint", "check_function", "check_labels", "check_people", "is_text"]


def is_text(value: str) -> bool:
    """Whether every database can keep it."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def check_function(function: FunctionRecord) -> None:
    """Refuse a function whose texts cannot be kept.

    :raises NotText: name, description or group
    """
    for what, value in (("name", function.name), ("description", function.description), ("group", function.group_id)):
        if value is not None:
            _check(f"the {what} of a function", value)


def check_labels(tasks: Sequence[TaskRecord]) -> None:
    """Refuse tasks whose label cannot be kept.

    :raises NotText: a label
    """
    # The tasks of one submit share their options, so this is one look for all.
    for options in {id(task.options): task.options for task in tasks}.values():
        if options.label is not None:
            _check("the label of a task", options.label)


def check_people(record: Struct) -> None:
    """Refuse a record of :mod:`afield.service.domain.people` whose texts cannot be kept.

    :raises NotText: one of them, at any depth, or one that is looked up is too long for an index
    """
    of = _NAMED.get(type(record).__name__, "somebody")
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if value is not None and not isinstance(value, int | float | bytes):
            what = f"the {name.replace('_', ' ')} of {of}"
            _check_all(what, value)
            if name in _LOOKED_UP and len(value.encode()) > LONGEST:
                raise NotText(f"{what} is longer than {LONGEST} bytes, which no database can look up: shorten it.")


def check_endpoint(endpoint: EndpointRecord) -> None:
    """Refuse an endpoint whose names cannot be kept.

    :raises NotText: name, display name or subscription
    """
    _check("the name of an endpoint", endpoint.name)
    if endpoint.display_name is not None:
        _check("the display name of an endpoint", endpoint.display_name)
    if endpoint.subscription_uuid is not None:
        _check("the subscription of an endpoint", endpoint.subscription_uuid)


#: Bytes of a text that is part of a key or an index. PostgreSQL's rows of an index end at 2704, and some have three.
LONGEST: Final = 800
_LOOKED_UP: Final = frozenset(
    {
        *("id", "identity_id", "person_id", "client_id", "owner_id", "team_id", "object_id", "principal_id"),
        *("username", "issuer", "subject", "family"),
    }
)
_NAMED: Final = {
    "AccountRecord": "an account",
    "ClientRecord": "a client",
    "ConsentRecord": "a consent",
    "GrantRecord": "a grant",
    "IdentityRecord": "an identity",
    "KeyRecord": "a key",
    "LinkRecord": "a linked identity",
    "MemberRecord": "a member",
    "PolicyRecord": "a policy",
    "TeamRecord": "a group",
    "TicketRecord": "a ticket",
    "TokenRecord": "a token",
}


def _check_all(what: str, value: object) -> None:
    """Every text in it."""
    if isinstance(value, str):
        _check(what, value)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            _check_all(what, name)
            _check_all(what, each)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_all(what, each)
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            _check_all(what, getattr(value, name))


def _check(what: str, value: str) -> None:
    if not is_text(value):
        raise NotText(f"{what} holds a NUL character or a lone surrogate, which databases do not keep: leave it out.")
