"""``afield endpoint list``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from afield.endpoint.cli.names import AsJson

if TYPE_CHECKING:
    from afield.endpoint.cli.picture import Picture

__all__ = ["list_"]


def list_(as_json: AsJson = False) -> None:
    """Show the endpoints of this user, by what is on this machine's disk.

    The state is one of: never started, stopped, starting, running, disconnected (it runs, and does not reach the
    service), running on HOST (which shares this home directory), broken.

    \b
    Examples:
      afield endpoint list
      afield endpoint list --json
    """
    from afield.endpoint.cli.picture import picture
    from afield.endpoint.host.directory import all_endpoints
    from afield.sdk.login.known import user_dir

    rows = [picture(directory, measure=False) for directory in all_endpoints()]
    if as_json:
        typer.echo(json.dumps([_row(one) for one in rows], indent=2))
        return
    if not rows:
        typer.echo(f"There is no endpoint in {user_dir() / 'endpoints'}. Make one: afield endpoint configure mine")
        return
    _print([("NAME", "ID", "STATE"), *((one.name, one.id or "-", _state(one)) for one in rows)])


def _row(one: Picture) -> dict[str, object]:
    return {
        "name": one.name,
        "id": one.id,
        "state": one.state,
        "why": one.why,
        "pid": one.pid,
        "hostname": one.hostname,
        "started_at": one.started_at,
        "user_endpoints": len(one.user_endpoints),
        "directory": one.directory,
    }


def _state(one: Picture) -> str:
    return f"{one.state}: {one.why}" if one.why else one.state


def _print(shown: list[tuple[str, str, str]]) -> None:
    widths = [max(len(line[column]) for line in shown) for column in range(3)]
    for line in shown:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
