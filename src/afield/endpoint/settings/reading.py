"""From a block of a file to the values of a record, key by key; whatever is wrong is told with file, line and key.

Keys that the published endpoint knows and this one does not use are accepted with a warning, so that a file may move
from there to here; a key that nobody knows is an error, for it is nearly always a slip of the pen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from msgspec import Meta

from afield.endpoint.settings.kinds import LEAST_PERIOD_S
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.marked import Document, KeyPath

__all__ = ["check", "checked_block", "did_you_mean", "shown", "with_least_period"]


def check(
    record: type[msgspec.Struct],
    document: Document,
    path: KeyPath,
    block: Mapping[Any, Any],
    *,
    unused: Mapping[str, str] | None = None,
    foreign: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Check a block against the fields of ``record``; the values that are set, and warnings.

    :param path: the way to the block
    :param unused: keys that are accepted with a warning -> what holds here instead, for people
    :param foreign: keys that belong elsewhere -> where, for people
    :raises ConfigurationError: with file, line and key
    """
    fields, unused = get_type_hints(record, include_extras=True), unused or {}
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for key, value in block.items():
        here = (*path, str(key))
        name, where = ".".join(map(str, here)), document.at(here)
        if key in fields:
            if value is not None:  # `key:` with nothing behind it is a key that is not set, as templates often render
                values[str(key)] = _convert(value, fields[key], f"{where}: {name}")
        elif key in unused:
            if value is not None:
                warnings.append(f"{where}: {name} has no effect here: {unused[key]}")
        elif foreign and key in foreign:
            raise ConfigurationError(f"{where}: {name} {foreign[key]}")
        else:
            raise ConfigurationError(
                f"{where}: nobody knows the key {name}{did_you_mean(str(key), [*fields, *unused])}"
            )
    return values, warnings


def checked_block(
    record: type[msgspec.Struct], document: Document, key: str, block: Any
) -> tuple[msgspec.Struct, list[str]]:
    """A block of the file as a record of its own, and warnings.

    :raises ConfigurationError: with file, line and key
    """
    if not isinstance(block, dict):
        known = ", ".join(get_type_hints(record))
        raise ConfigurationError(
            f"{document.at((key,))}: {key} should be a block of keys ({known}), and is {shown(block)}"
        )
    values, warnings = check(record, document, (key,), block)
    return record(**values), warnings


def with_least_period(document: Document, data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The keys of a file with a ``heartbeat_period`` that is not too short, and a warning if it was (published)."""
    values = dict(data)
    period = values.get("heartbeat_period")
    if isinstance(period, bool) or not isinstance(period, int | float) or not 0 < period < LEAST_PERIOD_S:
        return values, []
    values["heartbeat_period"] = LEAST_PERIOD_S
    warning = f"heartbeat_period is {LEAST_PERIOD_S:g}: {shown(period)} s would be a burden to the service"
    return values, [f"{document.at(('heartbeat_period',))}: {warning}"]


def _convert(value: Any, kind: Any, what: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{what} should be {_expected(kind)}, and is {shown(value)}") from error


def _expected(kind: Any) -> str:
    """The description of an annotated type, looking through ``| None``; of several, all."""
    told: list[str] = []
    for part in (kind, *getattr(kind, "__args__", ())):
        told += [meta.description for meta in getattr(part, "__metadata__", ()) if _describes(meta)]
    return " or ".join(told) or str(kind)


def _describes(meta: object) -> bool:
    return isinstance(meta, Meta) and bool(meta.description)


def shown(value: Any) -> str:
    """A value as it might stand in a file, not too long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to put after a complaint about a word that nobody knows; empty where nothing is near."""
    import difflib  # only a slip of the pen needs it

    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
