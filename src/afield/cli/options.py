"""Options and ways of speaking that the commands have in common."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from afield.sdk.login.questions import Questions

__all__ = ["AsJson", "ServiceUrl", "ask_service", "columns", "first_line", "note", "plain", "print_json", "when"]

ServiceUrl = Annotated[
    str | None,
    typer.Option(
        "--service",
        metavar="URL",
        help="The service.",
        show_default="AFIELD_SERVICE_URL, else the one that runs here, else the one where you are logged in",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def ask_service(url: str | None) -> Questions:
    """The service that a person means, with what opens it."""
    from afield.sdk.login.questions import Questions

    return Questions(url)


def print_json(what: object) -> None:
    """A record, for programs."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(what), indent=2).decode())


def note(text: str) -> None:
    """Something that is not the command's answer: it is in no program's way."""
    typer.echo(text, err=True)


def columns(*rows: Sequence[str]) -> None:
    """A table, its first row the heading."""
    shown = [[plain(text) for text in row] for row in rows]
    widths = [max(len(row[number]) for row in shown) for number in range(len(shown[0]))]
    for row in shown:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def plain(text: str) -> str:
    """Text that others chose, without what would move the cursor or colour the terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def when(moment: float | None, otherwise: str = "-") -> str:
    """A time, for people."""
    return otherwise if moment is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def first_line(value: str) -> str:
    """What was given, or the first line of standard input for ``-``: nobody else on this machine sees that."""
    return sys.stdin.readline().strip() if value == "-" else value
