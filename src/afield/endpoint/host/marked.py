"""YAML that remembers where it was written, so that a complaint can say the line.

A file is read twice: once into values, once into the lines on which its keys stand. Whoever checks the values asks
:meth:`Document.at` for words like ``config.yaml, line 3``. What YAML allows and no configuration needs (a value that
contains itself, nesting without end) is refused here, so that nobody behind this meets it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from afield.errors import ConfigurationError

__all__ = ["Document", "KeyPath", "parse", "read"]

#: The way to a value: keys of mappings and places in lists.
KeyPath = tuple[str | int, ...]

#: How deep values may lie in one another. Far more than anybody writes, far less than Python's stack.
_DEPTH_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file with its lines.

    :param source: the file, as a person would name it
    :param data: its content; an empty file is an empty mapping
    :param lines: from the way to a value, the line on which its key stands, counted from 1
    :param place: a line, as a person would name it; None: ``source, line N``
    """

    source: str
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]
    place: Callable[[int], str] | None = None

    def at(self, path: KeyPath) -> str:
        """``file, line N`` of a value, or of the nearest thing around it that has a line."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.line(self.lines[path[:end]])
        return self.source

    def line(self, number: int) -> str:
        """``file, line N``."""
        return f"{self.source}, line {number}" if self.place is None else self.place(number)


class _Values(yaml.SafeLoader):
    """PyYAML lets the errors of ``int``, ``datetime`` and others through as they are; here they have a line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's signature
        """A value from its node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            kind = node.tag.rpartition(":")[2]
            what = f"{_cut(node.value)} cannot be read as {kind}; put quotes around a text"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from error


def read(path: Path, *, texts: bool = False) -> Document:
    """Read a file.

    :param texts: every value as it is written: ``1.50`` stays that, and is no number
    :raises ConfigurationError: it cannot be read, is broken, or holds something other than keys and values
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path} does not exist: write it, or let `afield endpoint configure` do so"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    return parse(text, str(path), texts=texts)


def parse(text: str, source: str, *, texts: bool = False, place: Callable[[int], str] | None = None) -> Document:
    """Read a text.

    :param source: what to call it in complaints
    :param place: what to call a line of it in complaints; None: ``source, line N``
    :param texts: every value as it is written
    :raises ConfigurationError: it is broken, says a key twice, or holds something other than keys and values
    """
    lines: dict[KeyPath, int] = {}
    document = Document(source, {}, lines, place)
    try:
        loader = yaml.BaseLoader(text) if texts else _Values(text)
        try:
            node = loader.get_single_node()
            _walk(node, (), lines, document, set())
            data = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ConfigurationError(_told(error, document)) from error
    except RecursionError as error:
        raise _too_deep(source) from error
    if data is None or data == "":
        data = {}
    if not isinstance(data, dict):
        raise ConfigurationError(f"{source} should hold lines like `key: value`, and is a {type(data).__name__}")
    return Document(source, data, lines, place)


def _told(error: yaml.YAMLError, document: Document) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{document.line(mark.line + 1)}, column {mark.column + 1}" if mark else document.source
    what = getattr(error, "problem", None) or str(error)
    return f"{where}: this is not YAML: {what}"


def _too_deep(where: str) -> ConfigurationError:
    return ConfigurationError(f"{where}: values lie in one another deeper than {_DEPTH_MOST} times, or without end")


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _walk(node: yaml.Node | None, path: KeyPath, lines: dict[KeyPath, int], document: Document, seen: set[int]) -> None:
    """Note the lines of everything below ``node``; what an alias repeats keeps the lines of its first place."""
    if node is None or id(node) in seen:
        return
    if len(path) > _DEPTH_MOST:
        raise _too_deep(document.line(node.start_mark.line + 1))
    if isinstance(node, yaml.MappingNode):
        _walk_mapping(node, path, lines, document, seen)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            lines[(*path, place)] = value.start_mark.line + 1
            _walk(value, (*path, place), lines, document, seen)
    seen.add(id(node))


def _walk_mapping(
    node: yaml.MappingNode, path: KeyPath, lines: dict[KeyPath, int], document: Document, seen: set[int]
) -> None:
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigurationError(f"{document.line(line)}: a key should be a word, and this one is not")
        here = (*path, key.value)
        if here in lines:
            raise ConfigurationError(
                f"{document.line(line)}: {key.value} is already set in line {lines[here]}; keep one of them"
            )
        lines[here] = line
        _walk(value, here, lines, document, seen)
