"""``afield endpoint list``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory

__all__ = ["list_"]


def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array for programs.")] = False,
) -> None:
    """Show the endpoints of this user on this machine.

    \b
    Examples:
      afield endpoint list
      afield endpoint list --json
    """
    from afield.endpoint.host.directory import all_endpoints
    from afield.sdk.login.known import user_dir

    rows = [_row(directory) for directory in all_endpoints()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(f"There is no endpoint in {user_dir() / 'endpoints'}. Make one: afield endpoint configure mine")
        return
    _print(rows)


def _row(directory: EndpointDirectory) -> dict[str, object]:
    from afield.endpoint.host.lock import holder

    running = holder(directory.lock)
    try:
        identity = directory.identity()
        state = "stopped" if identity else "never started"
    except ConfigurationError as error:  # the others are there to be seen nevertheless
        identity, state = None, f"broken: {error}"
    if running is not None:
        state = "running" if running.here else f"running on {running.hostname}"
    return {
        "name": directory.name,
        "id": identity.endpoint_id if identity else None,
        "state": state,
        "pid": running.pid if running and running.here else None,
        "directory": str(directory.path),
    }


def _print(rows: list[dict[str, object]]) -> None:
    shown = [("NAME", "ID", "STATE"), *((str(row["name"]), str(row["id"] or "-"), str(row["state"])) for row in rows)]
    widths = [max(len(line[column]) for line in shown) for column in range(3)]
    for line in shown:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
