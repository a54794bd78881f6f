"""``afield endpoint python-exec`` and ``version``: for worker environments that have one command on the PATH."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from afield.endpoint.cli.exits import SOFTWARE
from afield.endpoint.cli.names import AsJson

__all__ = ["python_exec", "version"]


def python_exec(
    module: Annotated[str, typer.Argument(help="As after `python -m`.", metavar="MODULE")],
    arguments: Annotated[list[str] | None, typer.Argument(help="For the module.", metavar="...")] = None,
) -> None:
    """Run a module with the Python that this command is installed in: `python -m MODULE ...`, without another process.

    \b
    Example:
      afield endpoint python-exec afield.endpoint.cli version
    """
    try:
        os.execv(sys.executable, [sys.executable, "-m", module, *(arguments or [])])  # noqa: S606 - no shell is meant
    except OSError as error:
        typer.echo(f"afield: {sys.executable} cannot be started: {error.strerror}", err=True)
        raise typer.Exit(SOFTWARE) from error


def version(as_json: AsJson = False) -> None:
    """Print the version of Afield and of its Python.

    \b
    Examples:
      afield endpoint version
      afield endpoint version --json
    """
    import json
    import platform

    from afield import __version__

    if as_json:
        typer.echo(
            json.dumps({"afield": __version__, "python": platform.python_version(), "executable": sys.executable})
        )
    else:
        typer.echo(f"afield {__version__}, Python {platform.python_version()} ({sys.executable})")
