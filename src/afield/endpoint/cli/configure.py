"""``afield endpoint configure``: make an endpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from afield.endpoint.cli.names import NewName

__all__ = ["configure"]


def configure(
    name: NewName = "default",
    display_name: Annotated[
        str | None, typer.Option(help="How people see it, if that should not be its name.", metavar="TEXT")
    ] = None,
    service_url: Annotated[
        str | None, typer.Option(help="The service that it belongs to, if that should be written down.", metavar="URL")
    ] = None,
) -> None:
    """Make an endpoint: a directory with files that say what can be set.

    \b
    Examples:
      afield endpoint configure mine
      afield endpoint configure mine --display-name "The big one" --service-url https://afield.example.org
    """
    from afield.endpoint.host.defaults import write_defaults
    from afield.endpoint.host.directory import endpoint_directory

    directory = endpoint_directory(name)
    write_defaults(directory, display_name=display_name, service_url=service_url)
    typer.echo(f"The endpoint {name} is configured. What can be set is in {directory.path}:")
    for path in (directory.config, directory.template, directory.schema, directory.environment):
        typer.echo(f"  {path.name}")
    typer.echo(f"Start it with: afield endpoint start {name}")
