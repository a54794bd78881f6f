"""The configuration file of a service: a TOML file, whose keys are the fields of :mod:`afield.service.settings`.

::

    data_dir = "/var/lib/afield"
    database = "postgresql://afield:${AFIELD_DATABASE_PASSWORD}@db.example.org/afield"

    [limits]
    payload_bytes = 5_000_000

Fields that are records themselves are tables. ``${NAME}`` in a text stands for an environment variable, so that a file
need not hold a secret; within an address it is quoted as addresses need. A key that is unknown, a value of another type
and a variable that is not set are told with the line, all of them at once.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints
from urllib.parse import quote

import msgspec

from afield.errors import ConfigurationError
from afield.sdk.login import known
from afield.service.settings import Settings

__all__ = ["load_settings", "read_settings"]

_VARIABLE: Final = re.compile(r"\$\{(\w*)\}")

#: Options of `afield serve` whose settings are called something else.
_OPTIONS: Final = {"data": "data_dir", "proxy": "proxies", "shared_data": "data_dir_is_shared"}


def load_settings(path: Path | None, given: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings of a file, of the command line, and of neither.

    :param path: the file; None: there is none
    :param given: fields by name, as said on the command line; they go before the file's
    :raises ConfigurationError: the file cannot be read, or what is in it cannot be
    """
    found: dict[str, Any] = {}
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise ConfigurationError(f"the configuration file {path} cannot be read: {why}") from error
        found = read_settings(text, str(path), environ)
    found |= given
    # Where the person who starts it has their other files, unless somebody says otherwise.
    found.setdefault("data_dir", known.user_dir() / "service")
    return Settings(**found)


def read_settings(text: str, name: str, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What a file says, as arguments for :class:`~afield.service.settings.Settings`.

    :param name: of the file, for messages
    :raises ConfigurationError: see :func:`load_settings`
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name} is no TOML file: {error}") from error
    reader = _Reader(text, name, environ)
    found = reader.arguments(Settings, table, ())
    reader.check()
    return found


class _Reader:
    """Turns tables into arguments of records. What cannot be is kept for :meth:`check`, so that all of it is told.

    :param text: of the whole file; lines are looked up in it, for the parser does not tell them
    """

    def __init__(self, text: str, name: str, environ: Mapping[str, str]) -> None:
        self._lines = text.splitlines()
        self._name = name
        self._environ = environ
        self._mistakes: list[ConfigurationError] = []

    def check(self) -> None:
        """Nothing, if all that was read can be.

        :raises ConfigurationError: it cannot; every mistake in a line of its own
        """
        if len(self._mistakes) > 1:
            told = "\n".join(f"  {mistake}" for mistake in self._mistakes)
            raise ConfigurationError(f"{self._name} has {len(self._mistakes)} mistakes:\n{told}")
        if self._mistakes:
            raise self._mistakes[0]

    def arguments(self, kind: type, table: Mapping[str, Any], where: tuple[str, ...]) -> dict[str, Any]:
        """The values of a table, by the names and types of a record's fields."""
        settings: dict[str, Field[Any]] = {each.name: each for each in fields(kind)}
        hints = get_type_hints(kind)
        found: dict[str, Any] = {}
        for key, value in table.items():
            try:
                if key not in settings:
                    raise self._wrong((*where, key), _unknown(key, settings, where))
                found[key] = self._field((*where, key), value, hints[key])
            except ConfigurationError as mistake:
                self._mistakes.append(mistake)
        return found

    def _field(self, where: tuple[str, ...], value: Any, hint: Any) -> Any:
        if (each := _record_in(hint)) is not None:
            return self._named(where, value, each)
        if not is_dataclass(hint):
            return self._value(where, value, hint)
        if not isinstance(value, dict):
            raise self._wrong(where, f"is a table: write [{where[-1]}], and its keys below")
        record: Any = hint
        return record(**self.arguments(record, value, where))

    def _named(self, where: tuple[str, ...], tables: Any, kind: Any) -> tuple[Any, ...]:
        """Several records of one kind, each a table of its own; the table's name is the record's."""
        if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
            raise self._wrong(where, f"consists of tables: write [{where[-1]}.NAME], and the keys of each below")
        found = []
        for name, table in tables.items():
            try:
                found.append(self._record((*where, name), table, kind))
            except ConfigurationError as mistake:
                self._mistakes.append(mistake)
        return tuple(found)

    def _record(self, where: tuple[str, ...], table: Mapping[str, Any], kind: Any) -> Any:
        if "name" in table:
            raise self._wrong((*where, "name"), f"is what [{'.'.join(where)}] says already: remove this line")
        said = self.arguments(kind, {**table, "name": where[-1]}, where)
        needed = [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]
        absent = [each for each in needed if each not in table and each != "name"]
        if absent:
            raise self._wrong(where, f"lacks {' and '.join(absent)}: write it below [{'.'.join(where)}]")
        # What is there and cannot be is told already.
        return kind(**said) if all(each in said for each in needed) else None

    def _value(self, where: tuple[str, ...], value: Any, kind: Any) -> Any:
        value = self._expanded(where, value)
        if get_origin(kind) is Literal and value not in get_args(kind):
            raise self._wrong(where, f"cannot be {value!r}: it is one of {', '.join(get_args(kind))}")
        try:
            converted = msgspec.convert(value, kind, dec_hook=_decode)
        except msgspec.ValidationError as error:
            raise self._wrong(where, f"cannot be {_shown(where[-1], value)}: {error}") from error
        if isinstance(converted, float) and not math.isfinite(converted):
            raise self._wrong(where, f"cannot be {value!r}: write a number")
        if isinstance(converted, int | float) and not isinstance(converted, bool) and converted < 0:
            raise self._wrong(where, f"cannot be {value!r}: it is less than nothing")
        if where[-1] in {"port", "amqp_port"} and converted > 65_535:
            raise self._wrong(where, f"cannot be {value!r}: ports go up to 65535")
        return converted.expanduser().absolute() if isinstance(converted, Path) else converted

    def _expanded(self, where: tuple[str, ...], value: Any) -> Any:
        if isinstance(value, list):
            return [self._expanded(where, one) for one in value]
        if not isinstance(value, str):
            return value

        def variable(match: re.Match[str]) -> str:
            found = self._environ.get(match[1])
            if found is None:
                raise self._wrong(
                    where, f"refers to ${{{match[1]}}}, and no such environment variable is set: set it, or remove it"
                )
            # A password may hold what ends a password in an address.
            return quote(found, safe="") if "://" in value else found

        return _VARIABLE.sub(variable, value)

    def _wrong(self, where: tuple[str, ...], message: str) -> ConfigurationError:
        line = self._line_of(where)
        place = f"{self._name}, line {line}" if line else self._name
        return ConfigurationError(f"{place}: {'.'.join(where)} {message}")

    def _line_of(self, where: tuple[str, ...]) -> int | None:
        """Where a key stands, as people write TOML: ``[table]``, then ``key = …`` below it, or ``table.key = …``."""
        inside: tuple[str, ...] = ()
        for number, line in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[\s*([\w.\s\"'-]+?)\s*\]", line):
                inside = _names(header[1])
                if inside == where:
                    return number
            elif key := re.match(r"\s*([\w.\s\"'-]+?)\s*=", line):
                here = (*inside, *_names(key[1]))
                if here[: len(where)] == where:
                    return number
        return None


def _names(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _record_in(hint: Any) -> Any:
    """What a tuple of records is made of; None: it is no such tuple."""
    first = get_args(hint)[0] if get_origin(hint) is tuple else None
    return first if is_dataclass(first) else None


def _unknown(key: str, settings: Mapping[str, object], where: tuple[str, ...]) -> str:
    near = [_OPTIONS[key]] if key in _OPTIONS and not where else get_close_matches(key, settings, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(settings))}"
    return f"is no setting{' of ' + '.'.join(where) if where else ''}: {hint}"


def _shown(key: str, value: Any) -> str:
    """A value for a message; not of what may hold a password."""
    hidden = key in {"database", "broker"} or "secret" in key or "://" in str(value)
    return "what it is" if hidden else repr(value)


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected `str`, got `{type(value).__name__}`")
