"""From one file to two: endpoints of before templates had all that they were told in ``config.yaml``.

Rows are moved as they are, with their comments, so that their owner knows them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from afield.endpoint.host import marked
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.settings.manager import USER_KEYS
from afield.errors import ConfigurationError

__all__ = ["Divided", "divided", "write_divided"]


@dataclass(frozen=True, slots=True)
class Divided:
    """An old file in two parts.

    :param moved: keys that go to the template
    :param config: what stays
    :param template: what goes
    """

    moved: tuple[str, ...]
    config: str
    template: str


def divided(directory: EndpointDirectory) -> Divided:
    """What would go where.

    :raises ConfigurationError: there is a template already, or keys share a row
    """
    document = marked.read(directory.config)
    moved = tuple(key for key in document.data if key in USER_KEYS)
    if moved and directory.template.exists():
        raise ConfigurationError(
            f"{directory.template} is there already: move {', '.join(moved)} out of {directory.config} into it, or "
            "remove it"
        )
    rows = directory.config.read_text(encoding="utf-8").splitlines(keepends=True)
    starts = {line: str(path[0]) for path, line in document.lines.items() if len(path) == 1}
    if len(starts) < len(document.data) or any(rows[line - 1][:1] in "{,}" for line in starts):
        raise ConfigurationError(f"{directory.config} has several keys on one row: give each a row of its own first")
    config, template = list[str](), list[str]()
    goes = False
    for number, row in enumerate(rows, 1):
        goes = starts[number] in USER_KEYS if number in starts else goes
        (template if goes else config).append(row if row.endswith("\n") else row + "\n")
    return Divided(moved, "".join(config), _raw("".join(template)))


def _raw(text: str) -> str:
    """A template that renders to a text."""
    special = any(mark in text for mark in ("{{", "{%", "{#"))
    return f"{{% raw %}}\n{text}{{% endraw %}}\n" if special else text


def write_divided(directory: EndpointDirectory, parts: Divided) -> Path:
    """Write both parts; where the file as it was is kept.

    :raises ConfigurationError: they cannot be written
    """
    kept = directory.config.with_name("config.yaml.before")
    made = directory.config.with_name("config.yaml.new")
    try:
        kept.write_bytes(directory.config.read_bytes())
        made.write_text(parts.config, encoding="utf-8")
        directory.template.write_text(parts.template, encoding="utf-8")
        made.replace(directory.config)  # until here the old file counts
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}") from error
    return kept
