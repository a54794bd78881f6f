"""Making ready only the command that was typed.

Typer makes ready every command that it knows, each with a checker for each of its options, before it looks which one is
meant. With some sixty commands that takes longer than most of them do.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import typer

__all__ = ["narrowed"]


def narrowed(app: typer.Typer, words: Sequence[str]) -> typer.Typer:
    """An application with nothing but the command that these words lead to; what was given stays as it is.

    Where a word is no command (an option, a slip of the keyboard, none at all), everything stays, for then the list of
    what there is will be wanted.

    :param words: as typed, behind the application's own name
    """
    if not words:
        return app
    commands = [one for one in app.registered_commands if _name(one) == words[0]]
    groups = [one for one in app.registered_groups if one.name == words[0]]
    if not commands and not groups:
        return app
    less = copy.copy(app)
    less.registered_commands = commands
    less.registered_groups = [copy.copy(one) for one in groups]
    for group in less.registered_groups:
        if group.typer_instance is not None:
            group.typer_instance = narrowed(group.typer_instance, words[1:])
    return less


def _name(command: typer.models.CommandInfo) -> str:
    """What is typed for a command: its own name, else that of its function."""
    return command.name or getattr(command.callback, "__name__", "").lower().replace("_", "-")
