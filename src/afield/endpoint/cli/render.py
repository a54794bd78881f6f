"""``afield endpoint render``: what a template makes of a user's options, without starting anything."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from afield.endpoint.cli.names import Name, existing
from afield.errors import ConfigurationError

__all__ = ["render"]


def render(
    name: Name = "default",
    options: Annotated[
        str, typer.Option("--options", "-o", help="user_endpoint_config as JSON.", metavar="JSON")
    ] = "{}",
) -> None:
    """Show what the endpoint's template makes of a user's options, or what is wrong with them.

    \b
    Example:
      afield endpoint render mine --options '{"max_workers": 4}'
    """
    import msgspec
    import yaml

    from afield.endpoint.host.report import local_identity
    from afield.endpoint.manager.owner import read_settings, read_template
    from afield.endpoint.manager.template import render as render_template

    directory = existing(name)
    settings, warnings = read_settings(directory)
    rendered = render_template(
        read_template(directory, settings),
        _read(options),
        parent_config=msgspec.to_builtins(settings),
        user_runtime={},
        mapped_identity={"local": local_identity(), "globus": {"id": ""}},
    )
    for warning in warnings + rendered.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(yaml.safe_dump(msgspec.to_builtins(rendered.settings), sort_keys=False).rstrip())


def _read(options: str) -> dict[str, Any]:
    try:
        found = json.loads(options)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"--options should be JSON, such as '{{\"max_workers\": 4}}': {error}") from error
    if not isinstance(found, dict):
        raise ConfigurationError("--options should be a JSON object, such as '{\"max_workers\": 4}'")
    return found
