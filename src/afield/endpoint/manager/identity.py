"""PURE: which account of this machine an identity is, by the rules of its administrator. No clock, no file, no process.

Theory. The rules are a list of documents of the published form, each with its ``DATA_TYPE``:

* ``expression_identity_mapping#1.0.0`` holds ``mappings``. Each makes a text from fields of an identity (``source``,
  such as ``{username}``), compares it with an expression (``match``), and makes an account's name (``output``) from
  fields of the identity and from what the expression's groups matched (``{0}`` is the first).
* ``external_identity_mapping#1.0.0`` holds a ``command``: a program is given the identities as JSON, and answers with
  JSON. Here are the question and the reading of the answer; :mod:`afield.endpoint.manager.mapping` runs the program.

The first match wins: by document, then by mapping within it, then by identity in the order in which the service tells
them, with the one that somebody signed in as first. An identity that the service does not call used (or private) counts
for nothing.

Because a wrong match lets somebody into another person's account, these hold (reference: the published identity mapping
format; the last four are stricter than its implementation):

1. ``match`` is a small language: ``.``, ``?``, ``*``, ``|`` and ``()`` are special, a backslash takes that away, and
   every other character means itself. Whatever else regular expressions know is not available, or is refused.
2. It has to match the whole text, each branch of ``|`` as well, and a line break at the end counts as a character.
3. ``ignore_case`` is for the letters a to z; it does not take the long s for an s.
4. What is put into a text is never looked through again: a person called ``{id}`` is called ``{id}``.
5. An expression that could be tried for ever is refused (:mod:`afield.endpoint.manager.ambiguity`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from afield.endpoint.manager.ambiguity import multiplies
from afield.errors import ConfigurationError

__all__ = ["Candidates", "ExpressionMapping", "ExternalMapping", "Rules", "question", "read_answer", "read_rules"]

#: The accounts that identities match, as the published endpoint reports them: for each mapping that matched, identity
#: ids with accounts.
Candidates = list[dict[str, list[str]]]

#: The published name of what maps to accounts of a POSIX system, told to external programs after ``-c``.
POSIX_CONNECTOR: Final = "145812c8-decc-41f1-83cf-bb2a85a2a70b"

_EXPRESSION: Final = "expression_identity_mapping#1.0.0"
_EXTERNAL: Final = "external_identity_mapping#1.0.0"
_INPUT: Final = "identity_mapping_input#1.0.0"
_OUTPUT: Final = "identity_mapping_output#1.0.0"

#: A text longer than this matches nothing, in characters: backtracking is not free, and no mail address is longer than
#: that (RFC 5321 section 4.5.3.1). ``(.*)\.(.*)@(.*)\.(.*)`` then takes half a second at worst; with 512 it was five.
_SOURCE_MOST: Final = 320
#: Identities in another state are nobody's yet, or nobody's any more.
_COUNT: Final = frozenset({"used", "private"})
#: A field or a group in a text; what a backslash stands before means itself.
_PLACE: Final = re.compile(r"\\(.)|\{([^{}]*)\}", re.DOTALL)
_FLAGS: Final = ("ignore_case", "literal")


@dataclass(frozen=True, slots=True)
class _Mapping:
    source: str
    match: re.Pattern[str]
    output: str

    def account(self, identity: Mapping[str, Any]) -> str | None:
        source = _filled(self.source, identity, ())
        if source is None or len(source) > _SOURCE_MOST:
            return None
        found = self.match.fullmatch(source)
        return _filled(self.output, identity, found.groups()) if found else None


@dataclass(frozen=True, slots=True)
class ExpressionMapping:
    """Rules that a file holds."""

    mappings: tuple[_Mapping, ...]

    def candidates(self, identities: Sequence[Mapping[str, Any]]) -> Candidates:
        """Every account that a mapping makes of these identities, the first one first."""
        found: Candidates = []
        for mapping in self.mappings:
            named: dict[str, list[str]] = {}
            for identity in _counting(identities):
                if account := mapping.account(identity):
                    named.setdefault(str(identity.get("id")), []).append(account)
            if named:
                found.append(named)
        return found


@dataclass(frozen=True, slots=True)
class ExternalMapping:
    """A program that knows, such as one that asks a directory service.

    :param command: the program and its first arguments
    """

    command: tuple[str, ...]

    def arguments(self, endpoint_id: str) -> tuple[str, ...]:
        """How it is called: ``-a`` says that all accounts of all identities are wanted (published)."""
        return (*self.command, "-c", POSIX_CONNECTOR, "-s", endpoint_id, "-a")


Rules = tuple[ExpressionMapping | ExternalMapping, ...]


def read_rules(text: str, source: str) -> Rules:
    """The rules in the text of a mapping file.

    :param source: the file, for complaints
    :raises ConfigurationError: it is not JSON, or not rules; with the place of what is wrong
    """
    try:
        documents = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{source}, line {error.lineno}: this is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{source} goes deeper than anybody can follow") from error
    if not isinstance(documents, list) or not documents:
        raise ConfigurationError(f"{source} should hold a list of mapping documents, [{{...}}], with at least one")
    return tuple(_rule(document, f"{source}: document {place}") for place, document in enumerate(documents, 1))


def _rule(document: Any, where: str) -> ExpressionMapping | ExternalMapping:
    if not isinstance(document, dict):
        raise ConfigurationError(f"{where} should be an object with a DATA_TYPE")
    match document.get("DATA_TYPE"):
        case "expression_identity_mapping#1.0.0":
            mappings = document.get("mappings")
            if not isinstance(mappings, list) or not mappings:
                raise ConfigurationError(f"{where}: mappings should be a list of source, match and output")
            return ExpressionMapping(
                tuple(_mapping(one, f"{where}, mapping {place}") for place, one in enumerate(mappings, 1))
            )
        case "external_identity_mapping#1.0.0":
            command = document.get("command")
            if not isinstance(command, list) or not command or not all(_is_word(word) for word in command):
                raise ConfigurationError(f"{where}: command should be a list of a program and its arguments")
            if not str(command[0]).startswith("/"):
                raise ConfigurationError(f"{where}: command should begin with the whole path of a program")
            return ExternalMapping(tuple(map(str, command)))
        case other:
            raise ConfigurationError(f"{where}: DATA_TYPE should be {_EXPRESSION} or {_EXTERNAL}, and is {other!r}")


def _is_word(word: Any) -> bool:
    return isinstance(word, str | int | float) and not isinstance(word, bool) and "\0" not in str(word)


def _mapping(given: Any, where: str) -> _Mapping:
    if not isinstance(given, dict):
        raise ConfigurationError(f"{where} should be an object with source, match and output")
    for key in given:
        if key not in ("source", "match", "output", *_FLAGS):
            raise ConfigurationError(f"{where}: nobody knows the key {key}")
    for key in ("source", "match", "output"):
        if not isinstance(given.get(key), str) or not given[key]:
            raise ConfigurationError(f"{where}: {key} should be a text")
    for key in _FLAGS:
        if not isinstance(given.get(key, False), bool):
            raise ConfigurationError(f"{where}: {key} should be true or false")
    match = given["match"]
    compiled = _compiled(match, where, literal=given.get("literal", False), ignore_case=given.get("ignore_case", False))
    for place in _places(given["output"]):
        if place.isdecimal() and int(place) >= compiled.groups:
            raise ConfigurationError(
                f"{where}: output {given['output']!r} wants group {{{place}}}, and match {match!r} has "
                f"{compiled.groups}, counted from {{0}}"
            )
    if any(place.isdecimal() for place in _places(given["source"])):
        raise ConfigurationError(f"{where}: source {given['source']!r} can hold fields of the identity only")
    return _Mapping(given["source"], compiled, given["output"])


def _compiled(match: str, where: str, *, literal: bool, ignore_case: bool) -> re.Pattern[str]:
    expression = re.escape(match) if literal else _expression(match, where)
    try:
        compiled = re.compile(expression, re.ASCII | (re.IGNORECASE if ignore_case else 0))
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigurationError(f"{where}: match {match!r} is no expression: {error}") from error
    if not literal and multiplies(match, ignore_case=ignore_case):
        raise ConfigurationError(
            f"{where}: match {match!r} repeats a group that can match the same text in several ways, so that some "
            "names would keep this endpoint busy for ever: write it such that each text fits in one way, for instance "
            "(.*) instead of (.*)* or ((.*)x)*"
        )
    return compiled


def _expression(match: str, where: str) -> str:
    """The small language as a regular expression of Python's."""
    made: list[str] = []
    repeatable = False
    characters = iter(match)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped and escaped in '.?*|()\\"':
                made.append(re.escape(escaped))
            elif escaped and escaped in "123456789":
                made.append(f"(?:\\{escaped})")  # the same as a group before; on its own, whatever digit follows
            else:
                raise ConfigurationError(f"{where}: match {match!r} has \\{escaped}, which means nothing here")
            repeatable = True
        elif character in "?*":
            if not repeatable:
                raise ConfigurationError(f"{where}: match {match!r} has a {character} with nothing to repeat before it")
            made.append(character)
            repeatable = False
        else:
            made.append(character if character in ".|()" else re.escape(character))
            repeatable = character not in "|("
    return "".join(made)


def _counting(identities: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [identity for identity in identities if identity.get("status") in _COUNT]


def _places(text: str) -> list[str]:
    return [found.group(2) for found in _PLACE.finditer(text) if found.group(2) is not None]


def _filled(text: str, identity: Mapping[str, Any], groups: Sequence[str | None]) -> str | None:
    """A text with its fields and groups put in; None: the identity lacks one of them."""
    made, end = "", 0
    for found in _PLACE.finditer(text):
        escaped, place = found.groups()
        if place is None:
            value: Any = escaped if escaped in "{}\\" else found.group()
        else:
            value = groups[int(place)] if place.isdecimal() else identity.get(place)
        if not isinstance(value, str):
            return None
        made += text[end : found.start()] + value
        end = found.end()
    return made + text[end:]


def question(identities: Sequence[Mapping[str, Any]]) -> bytes:
    """What an external program reads."""
    return json.dumps({"DATA_TYPE": _INPUT, "identities": _counting(identities)}).encode()


def read_answer(answer: bytes, identities: Sequence[Mapping[str, Any]]) -> Candidates:
    """The accounts in an external program's answer; an empty one names none.

    :raises ConfigurationError: it is not of the published form, or names an identity that was not asked about
    """
    if not answer.strip():
        return []
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("it answered with something that is not JSON") from error
    if not isinstance(said, dict) or said.get("DATA_TYPE", _OUTPUT) != _OUTPUT:
        raise ConfigurationError(f"its answer should be an object of the DATA_TYPE {_OUTPUT}")
    result = said.get("result") or []
    asked = {str(identity.get("id")) for identity in _counting(identities)}
    named: dict[str, list[str]] = {}
    for one in result if isinstance(result, list) else [None]:
        if not isinstance(one, dict) or not isinstance(one.get("output"), str) or not one["output"]:
            raise ConfigurationError("each result in its answer should have an id and an output")
        if str(one.get("id")) not in asked:
            raise ConfigurationError("its answer names an identity that it was not asked about")
        named.setdefault(str(one["id"]), []).append(one["output"])
    return [named] if named else []
