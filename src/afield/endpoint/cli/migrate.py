"""``afield endpoint migrate-to-template-capable``: an endpoint that has one file gets a template of user endpoints."""

from __future__ import annotations

from typing import Annotated

import typer

from afield.endpoint.cli.names import Name, existing

__all__ = ["migrate_to_template_capable"]


def migrate_to_template_capable(
    name: Name = "default",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Move what is about user endpoints out of config.yaml into a template: for files of old endpoints.

    \b
    Example:
      afield endpoint migrate-to-template-capable mine
    """
    from afield.endpoint.host.migration import divided, write_divided

    directory = existing(name)
    parts = divided(directory)
    if not parts.moved:
        typer.echo(f"{directory.config} has nothing that belongs in a template: there is nothing to do.")
        return
    typer.echo(f"These go from {directory.config.name} to {directory.template.name}: {', '.join(parts.moved)}.")
    if not yes and not typer.confirm("Shall they?"):
        raise typer.Abort
    kept = write_divided(directory, parts)
    typer.echo(f"Done. The file as it was is {kept}. Try what came of it: afield endpoint render {name}")
