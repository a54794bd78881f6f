"""Text that people choose: which of it can be kept, and searched, in every database.

PostgreSQL keeps no NUL character, and neither database a lone surrogate, for it has no UTF-8. What is JSON in a row
(options, metadata) escapes them; but names, descriptions and labels are columns, because they are searched. All stores
refuse the same, so that nobody learns of it only when the database is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from afield.service.domain.records import FunctionRecord, TaskRecord
from afield.service.store.base import NotText

__all__ = ["check_function", "check_labels", "check_people", "is_text"]


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

    :raises NotText: one of them
    """
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, str):
            _check(f"the {name.replace('_', ' ')} of {_NAMED.get(type(record).__name__, 'somebody')}", value)


_NAMED: Final = {
    "ClientRecord": "a client",
    "PolicyRecord": "a policy",
    "TeamRecord": "a group",
    "TokenRecord": "a token",
}


def _check(what: str, value: str) -> None:
    if not is_text(value):
        raise NotText(f"{what} holds a NUL character or a lone surrogate, which databases do not keep: leave it out.")
