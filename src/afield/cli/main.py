"""The one command, ``afield``.

Floors above this one (endpoint, service, local) offer commands of their own. They are found by entry point, group
``afield.commands``, so that nothing here imports them: an entry is a function (one command) or a Typer application (a
group of commands).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Final

import typer

from afield.cli.narrow import narrowed
from afield.errors import ComputeError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["build", "main"]

#: The commands of this floor, and where they are.
_COMMANDS: Final = {
    "login": "afield.cli.login",
    "logout": "afield.cli.login",
    "whoami": "afield.cli.login",
    "env": "afield.cli.published",
    "forward": "afield.cli.published",
}
#: The groups of this floor, and what makes them.
_GROUPS: Final = {
    "group": ("afield.cli.groups", "groups"),
    "token": ("afield.cli.tokens", "tokens"),
    "client": ("afield.cli.clients", "clients"),
    "admin": ("afield.cli.admin", "admin"),
}
#: Of these, the ones into which higher floors hang nothing.
_ALONE: Final = frozenset({*_COMMANDS, *_GROUPS} - {"admin"})

#: Which extra brings which commands, for the message when it is not installed.
_EXTRAS: Final = {"up": "all", "demo": "all", "serve": "service", "endpoint": "endpoint", "admin.service": "service"}

#: The order in `afield --help`: what a newcomer needs first. Others follow by name.
_ORDER: Final = (
    "demo", "up", "login", "logout", "whoami", "serve", "endpoint", "group", "token", "client", "env", "forward",
    "admin",
)  # fmt: skip

_EPILOG: Final = "New here? Start with: afield demo"


def main() -> None:
    """Run the command line; what went wrong is told in one line, without a traceback."""
    try:
        build(sys.argv[1:])()
    except ComputeError as error:
        plain = False if "NO_COLOR" in os.environ else None  # else as the terminal is
        typer.echo(f"{typer.style('afield:', fg='red', bold=True)} {str(error).strip()}", err=True, color=plain)
        sys.exit(1)


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The command with everything that is installed, or what of it is needed.

    :param words: what was typed. Where it begins with a command, others are neither loaded nor made ready: that takes
        longer than most commands do
    """
    app = typer.Typer(
        help="Run Python functions far from where they were written, through a service of your own.",
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    first = words[0] if words else ""
    if first in _ALONE:
        _hang_in_ours(app, first)
    else:
        _hang_in_all(app, first)
    return narrowed(app, words)


def _hang_in_all(app: typer.Typer, only: str) -> None:
    """Everything, in its order; or one command and what higher floors hang into it."""
    from importlib.metadata import entry_points  # takes as long as all else that is loaded here

    entries = entry_points(group="afield.commands")
    known = {*_COMMANDS, *_GROUPS, *(_top(entry) for entry in entries)}
    wanted = {only} & known or known
    for name in (*_COMMANDS, *_GROUPS):
        if name in wanted:
            _hang_in_ours(app, name)
    for entry in entries:
        if _top(entry) in wanted:
            _hang_in(app, entry)
    app.registered_commands.sort(key=lambda one: _place(one.name))
    app.registered_groups.sort(key=lambda one: _place(one.name))


def _hang_in_ours(app: typer.Typer, name: str) -> None:
    if name in _COMMANDS:
        app.command(name)(getattr(import_module(_COMMANDS[name]), name))
    else:
        module, maker = _GROUPS[name]
        group: typer.Typer = getattr(import_module(module), maker)()
        app.add_typer(group, name=name)


def _top(entry: EntryPoint) -> str:
    return entry.name.partition(".")[0]


def _print_version(asked: bool) -> None:
    if asked:
        from afield import __version__

        typer.echo(f"afield {__version__}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Run by Typer before each command."""


def _place(name: object) -> tuple[int, str]:
    return (_ORDER.index(str(name)) if name in _ORDER else len(_ORDER), str(name))


def _hang_in(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        found = entry.load()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("afield"):
            raise
        _hang_in_excuse(app, _top(entry), error.name or "a package")
        return
    if isinstance(found, typer.Typer):
        _add_group(app, found, _top(entry))
    else:
        app.command(entry.name)(found)


def _add_group(app: typer.Typer, found: typer.Typer, name: str) -> None:
    """A group of commands; of two entries ``name`` and ``name.more``, one group with the commands of both."""
    for group in app.registered_groups:
        if group.name == name and group.typer_instance is not None:
            group.typer_instance.registered_commands += found.registered_commands
            group.typer_instance.registered_groups += found.registered_groups
            return
    app.add_typer(found, name=name)


def _hang_in_excuse(app: typer.Typer, name: str, missing: str) -> None:
    """A command whose packages are not installed is listed, and says what to install."""
    if any(group.name == name for group in app.registered_groups):
        return  # what of it needs no more is there
    extra = _EXTRAS.get(name, "all")
    settings = {"ignore_unknown_options": True, "allow_extra_args": True}

    @app.command(name, help=f"(not installed: pip install 'afield[{extra}]')", context_settings=settings)
    def excuse() -> None:
        raise ComputeError(f"`afield {name}` needs {missing}, which is not installed: pip install 'afield[{extra}]'")
