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
from rich.console import Console
from rich.markup import escape

from afield.errors import ComputeError

__all__ = ["build", "main"]

#: Which extra brings which commands, for the message when it is not installed.
_EXTRAS: Final = {"up": "all", "demo": "all", "serve": "service", "endpoint": "endpoint"}

#: The order in `afield --help`: what a newcomer needs first. Others follow by name.
_ORDER: Final = ("demo", "up", "endpoint", "serve")

_EPILOG: Final = "New here? Start with: afield demo"


def main() -> None:
    """Run the command line; what went wrong is told in one line, without a traceback."""
    try:
        build()()
    except ComputeError as error:
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(f"[bold red]afield:[/] {escape(str(error).strip())}")
        sys.exit(1)


def build() -> typer.Typer:
    """The command with everything that is installed."""
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
    for entry in sorted(entry_points(group="afield.commands"), key=_place):
        _hang_in(app, entry)
    return app


def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        from afield import __version__

        typer.echo(f"afield {__version__}")
        raise typer.Exit


def _place(entry: EntryPoint) -> tuple[int, str]:
    return (_ORDER.index(entry.name) if entry.name in _ORDER else len(_ORDER), entry.name)


def _hang_in(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        found = entry.load()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("afield"):
            raise
        _hang_in_excuse(app, entry.name, error.name or "a package")
        return
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=entry.name)
    else:
        app.command(entry.name)(found)


def _hang_in_excuse(app: typer.Typer, name: str, missing: str) -> None:
    """A command whose packages are not installed is listed, and says what to install."""
    extra = _EXTRAS.get(name, "all")
    settings = {"ignore_unknown_options": True, "allow_extra_args": True}

    @app.command(name, help=f"(not installed: pip install 'afield[{extra}]')", context_settings=settings)
    def excuse() -> None:
        raise ComputeError(f"`afield {name}` needs {missing}, which is not installed: pip install 'afield[{extra}]'")
