"""YAML that remembers where it was written, so that a complaint can say the line.

A file is read twice: once into values, once into the lines on which its keys stand. Whoever checks the values asks
:meth:`Document.at` for words like ``config.yaml, line 3``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from afield.errors import ConfigurationError

__all__ = ["Document", "KeyPath", "parse", "read"]

#: The way to a value: keys of mappings and places in lists.
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file with its lines.

    :param source: the file, as a person would name it
    :param data: its content; an empty file is an empty mapping
    :param lines: from the way to a value, the line on which its key stands, counted from 1
    """

    source: str
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def at(self, path: KeyPath) -> str:
        """``file, line N`` of a value, or of the nearest thing around it that has a line."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return f"{self.source}, line {self.lines[path[:end]]}"
        return self.source


def read(path: Path) -> Document:
    """Read a file.

    :raises ConfigurationError: it cannot be read, is broken, or holds something other than keys and values
    """
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path} does not exist: write it, or let `afield endpoint configure` do so"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    return parse(text, str(path))


def parse(text: str, source: str) -> Document:
    """Read a text.

    :param source: what to call it in complaints
    :raises ConfigurationError: it is broken, says a key twice, or holds something other than keys and values
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        _walk(node, (), lines, source)
        data = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        raise ConfigurationError(_told(error, source)) from error
    finally:
        loader.dispose()
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigurationError(f"{source} should hold lines like `key: value`, and is a {type(data).__name__}")
    return Document(source, data, lines)


def _told(error: yaml.YAMLError, source: str) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{source}, line {mark.line + 1}, column {mark.column + 1}" if mark else source
    what = getattr(error, "problem", None) or str(error)
    return f"{where}: this is not YAML: {what}"


def _walk(node: yaml.Node | None, path: KeyPath, lines: dict[KeyPath, int], source: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigurationError(f"{source}, line {line}: a key should be a word, and this one is not")
            here = (*path, key.value)
            if here in lines:
                raise ConfigurationError(
                    f"{source}, line {line}: {key.value} is already set in line {lines[here]}; keep one of them"
                )
            lines[here] = line
            _walk(value, here, lines, source)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            lines[(*path, place)] = value.start_mark.line + 1
            _walk(value, (*path, place), lines, source)
