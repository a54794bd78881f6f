"""PURE: from a line of a rendered template back to the line that its owner wrote.

Jinja2 keeps no such map for what it makes. But rows of YAML mostly go through a template as they are, or with only
their value filled in; so a row is looked for as a whole, and then by its key. What fits in two places is not guessed:
then the rendered line alone has to do, and its text is told with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

__all__ = ["ERRORS_NAME", "error_line", "place", "template_line"]

#: What Jinja2 calls a template that came from no file, in tracebacks.
ERRORS_NAME: Final = "<template>"
_KEY: Final = re.compile(r"(?:- +)*[\w.-]+ *:(?=\s|$)")
_SHOWN_MOST: Final = 80


def template_line(row: str, template: Sequence[str]) -> int | None:
    """The line of a template, counted from 1, that a rendered row most certainly came from; None: nobody knows.

    :param row: of the rendered text
    :param template: its rows
    """
    row = row.strip()
    if not row:
        return None
    key = _KEY.match(row)
    for found in (
        [number for number, other in enumerate(template, 1) if other.strip() == row],
        [number for number, other in enumerate(template, 1) if key and other.strip().startswith(key.group())],
    ):
        if found:
            return found[0] if len(found) == 1 else None
    return None


def place(name: str, template: Sequence[str], rendered: Sequence[str], number: int) -> str:
    """A line of a rendered template, for people.

    :param name: of the template's file
    :param template: its rows
    :param rendered: the rows that it made
    :param number: of the rendered row, counted from 1
    """
    row = rendered[number - 1].strip() if number <= len(rendered) else ""
    shown = row if len(row) <= _SHOWN_MOST else row[: _SHOWN_MOST - 3] + "..."
    line = template_line(row, template)
    where = f"{name}, line {line}" if line is not None else name
    return f"{where} (rendered line {number}, {shown!r})" if shown else f"{where} (rendered line {number})"


def error_line(traceback: TracebackType | None, source: Path) -> str | None:
    """Where a template was when something failed: ``file, line N``; None: not in a template.

    :param traceback: of the error, as Jinja2 has rewritten it
    :param source: the template's file; others that it includes lie beside it
    """
    found = None
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if name == ERRORS_NAME:
            found = f"{source.name}, line {traceback.tb_lineno}"
        elif Path(name).parent == source.parent:
            found = f"{Path(name).name}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found
