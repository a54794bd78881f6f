"""`afield admin doctor`, `backup` and `restore`: for whoever runs a service, on its machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from afield.service.configuration import load_settings
from afield.service.settings import Settings

__all__ = ["app", "backup", "doctor", "restore"]

app = typer.Typer(help="Administrate a service.", no_args_is_help=True)

_Config = Annotated[Path | None, typer.Option(help="The service's configuration file.")]
_Data = Annotated[
    Path | None,
    typer.Option(help="The service's data directory.", show_default="service/ below ~/.afield or $AFIELD_USER_DIR"),
]
_Database = Annotated[str | None, typer.Option(help="The service's database.", show_default="SQLite in the directory")]

_COLOURS = {"ok": "green", "warning": "yellow", "failure": "bold red"}


def _settings(config: Path | None, data: Path | None, database: str | None) -> Settings:
    given: dict[str, Any] = {"data_dir": data and data.expanduser().absolute(), "database": database}
    return load_settings(config, {name: value for name, value in given.items() if value is not None})


@app.command()
def doctor(
    config: _Config = None,
    data: _Data = None,
    database: _Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Try everything that a service needs: directory, disk, ports, database, broker, clocks, TLS. Changes nothing.

    The exit code is 1 if something does not work; warnings alone leave it 0.
    """
    failures = asyncio.run(_examine(_settings(config, data, database), as_json=as_json))
    if failures:
        raise typer.Exit(1)


async def _examine(settings: Settings, *, as_json: bool) -> int:
    from afield.service.operate.doctor import examine

    console, failures = Console(highlight=False, soft_wrap=True), 0
    async for finding in examine(settings):
        failures += finding.state == "failure"
        if as_json:
            typer.echo(msgspec.json.encode(finding).decode())
        else:
            colour = _COLOURS[finding.state]
            console.print(f"[{colour}]{finding.state:8}[/] {escape(finding.about)}: {escape(finding.said)}")
    return failures


@app.command()
def backup(
    directory: Annotated[Path, typer.Argument(help="Where to; a directory that is not there yet.")],
    config: _Config = None,
    data: _Data = None,
    database: _Database = None,
) -> None:
    """Copy all that a service keeps, while it runs: database, big values, secret. Guard the copy: it opens everything.

    PostgreSQL is copied by pg_dump, which must be installed.
    """
    from afield.service.operate.backup import back_up

    made = asyncio.run(back_up(_settings(config, data, database), directory.expanduser().absolute()))
    typer.echo(f"Copied to {directory}: {made.kind}, tables of version {made.tables}, {made.files} files.")


@app.command("restore")
def restore(
    directory: Annotated[Path, typer.Argument(help="The copy.")],
    config: _Config = None,
    data: _Data = None,
    database: _Database = None,
) -> None:
    """Make a fresh service from a copy. It must not run yet, and have no data; start it then as always.

    Tasks go on where they were when the copy was made; what was accepted later is lost.
    """
    from afield.service.operate.backup import restore as from_copy

    made = from_copy(_settings(config, data, database), directory.expanduser().absolute())
    typer.echo(f"Restored from {directory}: {made.kind}, tables of version {made.tables}, {made.files} files.")
