"""``afield endpoint configure``: make an endpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from afield.endpoint.cli.names import NewName

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory

__all__ = ["configure"]


def configure(
    name: NewName = "default",
    *,
    display_name: Annotated[
        str | None, typer.Option(help="How people see it, if that should not be its name.", metavar="TEXT")
    ] = None,
    service_url: Annotated[
        str | None, typer.Option(help="The service that it belongs to, if that should be written down.", metavar="URL")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="How tasks run: process, threads, htex, mpi, slurm, pbs or kubernetes.", metavar="KIND")
    ] = "process",
    multi_user: Annotated[
        str | None,
        typer.Option(help="Whether each person's tasks run as their own account; as root only.", metavar="BOOLEAN"),
    ] = None,
    contact_email: Annotated[
        str | None, typer.Option(help="Whom people may write to; needed with --multi-user true.", metavar="ADDRESS")
    ] = None,
    auth_policy: Annotated[
        str | None, typer.Option(help="The policy, at the service, that its users must satisfy.", metavar="ID")
    ] = None,
    high_assurance: Annotated[
        bool, typer.Option("--high-assurance", help="Results only for who satisfies the policy when asking for them.")
    ] = False,
    subscription_id: Annotated[str | None, typer.Option(hidden=True)] = None,
    manager_config: Annotated[
        Path | None,
        typer.Option("--manager-config", "--core-config", help="In place of config.yaml.", metavar="FILE"),
    ] = None,
    template_config: Annotated[
        Path | None, typer.Option(help="In place of user_config_template.yaml.j2.", metavar="FILE")
    ] = None,
    schema_config: Annotated[
        Path | None, typer.Option(help="In place of user_config_schema.json.", metavar="FILE")
    ] = None,
    user_env_config: Annotated[
        Path | None, typer.Option(help="In place of user_environment.yaml.", metavar="FILE")
    ] = None,
    id_mapping_config: Annotated[
        Path | None, typer.Option(help="The rules by which people are accounts; for many users.", metavar="FILE")
    ] = None,
) -> None:
    """Make an endpoint: a directory with files that say what can be set.

    \b
    Examples:
      afield endpoint configure mine
      afield endpoint configure mine --display-name "The big one" --service-url https://afield.example.org
      afield endpoint configure cluster --engine slurm
      sudo afield endpoint configure cluster --multi-user true --contact-email help@example.org
    """
    from afield.endpoint.cli.writing import check_files, own_files, yes_or_no
    from afield.endpoint.host.defaults import Choices, default_files, write_files
    from afield.endpoint.host.directory import endpoint_directory
    from afield.endpoint.manager.accounts import may_map

    directory = endpoint_directory(name)
    own = own_files({
        directory.config: manager_config,
        directory.template: template_config,
        directory.schema: schema_config,
        directory.environment: user_env_config,
        directory.mapping: id_mapping_config,
    })  # fmt: skip
    many = yes_or_no("--multi-user", multi_user)
    if many is None:
        many = id_mapping_config is not None or _asked_for_many(directory, may_map() and manager_config is None)
    if many and contact_email is None and manager_config is None and sys.stdin.isatty():
        contact_email = typer.prompt("Whom may people write to about this endpoint (an e-mail address)?")
    choices = Choices(
        display_name=display_name,
        service_url=service_url,
        engine=engine,
        multi_user=many,
        mapping=may_map(),
        email=contact_email,
        auth_policy=auth_policy,
        high_assurance=high_assurance,
        files=own,
    )
    warnings = check_files(directory, choices)
    files = default_files(directory, choices)
    write_files(directory, files)
    if subscription_id is not None:
        warnings.append("--subscription-id has no effect here: nothing needs a subscription")
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"The endpoint {name} is configured. What can be set is in {directory.path}:")
    for path in sorted(files, key=lambda path: path != directory.config):
        typer.echo(f"  {path.name}")
    if many:
        typer.echo(f"Say in {directory.mapping.name} which accounts people are.")
    typer.echo(f"Start it with: {'sudo ' if many and not may_map() else ''}afield endpoint start {name}")


def _asked_for_many(directory: EndpointDirectory, possible: bool) -> bool:
    """The one question that there is, for root at a terminal."""
    if not possible or directory.configured or not sys.stdin.isatty():
        return False
    return typer.confirm("Shall each person's tasks run as their own account of this machine?", default=False)
