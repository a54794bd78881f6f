"""The one command, ``afield``.

Floors above this one (endpoint, service, local) offer commands of their own. They are found by entry point, group
``afield.commands``, so that nothing here imports them: an entry is a function (one command) or a Typer application (a
group of commands).
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Final

import typer

from afield.cli.admin import admin
from afield.cli.clients import clients
from afield.cli.groups import groups
from afield.cli.login import login, logout, whoami
from afield.cli.tokens import tokens
from afield.errors import ComputeError

__all__ = ["build", "main"]

#: Which extra brings which commands, for the message when it is not installed.
_EXTRAS: Final = {"up": "all", "demo": "all", "serve": "service", "endpoint": "endpoint", "admin.service": "service"}

#: The order in `afield --help`: what a newcomer needs first. Others follow by name.
_ORDER: Final = (
    "demo", "up", "login", "logout", "whoami", "serve", "endpoint", "group", "token", "client", "admin",
)  # fmt: skip

_EPILOG: Final = "New here? Start with: afield demo"


def main() -> None:
    """Run the command line; what went wrong is told in one line, without a traceback."""
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except ComputeError as error:
        from rich.console import Console
        from rich.markup import escape

        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(f"[bold red]afield:[/] {escape(str(error).strip())}")
        sys.exit(1)


def build(only: str | None = None) -> typer.Typer:
    """The command with everything that is installed.

    :param only: the first word that was typed. If it is a command, those of other floors are not loaded: they take
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
    for command in (login, logout, whoami):
        app.command(command.__name__)(command)
    for name, group in (("group", groups), ("token", tokens), ("client", clients), ("admin", admin)):
        app.add_typer(group(), name=name)
    entries = entry_points(group="afield.commands")
    known = {entry.name.partition(".")[0] for entry in entries}
    known |= {str(command.name) for command in app.registered_commands}
    known |= {str(group.name) for group in app.registered_groups}
    for entry in entries:
        if only not in known or entry.name.partition(".")[0] == only:
            _hang_in(app, entry)
    app.registered_commands.sort(key=lambda one: _place(one.name))
    app.registered_groups.sort(key=lambda one: _place(one.name))
    return app


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
        _hang_in_excuse(app, entry.name.partition(".")[0], error.name or "a package")
        return
    if isinstance(found, typer.Typer):
        _add_group(app, found, entry.name.partition(".")[0])
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
