"""``afield endpoint render``: what a template makes of a user's options, without starting anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from afield.endpoint.cli.given import Given
    from afield.endpoint.manager.template import Template
    from afield.endpoint.settings import ManagerSettings

__all__ = ["render"]

_Endpoint = Annotated[str | None, typer.Option("--endpoint", "-e", help="The same as NAME.", metavar="NAME")]


def render(
    name: Annotated[
        str | None, typer.Argument(help="The endpoint's name or id; none, with a template of its own.")
    ] = None,
    *,
    endpoint: _Endpoint = None,
    template: Annotated[
        Path | None, typer.Option("--template", "-t", help="Take this template.", metavar="FILE")
    ] = None,
    options: Annotated[
        str,
        typer.Option(
            "--options",
            "-o",
            "--user-options",
            help="user_endpoint_config, as JSON or as a file of it.",
            metavar="JSON",
        ),
    ] = "{}",
    schema: Annotated[
        Path | None, typer.Option("--user-schema", "-s", help="Take this schema of options.", metavar="FILE")
    ] = None,
    parent_config: Annotated[
        Path | None, typer.Option(help="YAML that the template sees as _GC.parent_config.", metavar="FILE")
    ] = None,
    user_runtime: Annotated[
        Path | None,
        typer.Option(help="JSON that the template sees as _GC.user_runtime; default: of this Python.", metavar="FILE"),
    ] = None,
    mapped_identity: Annotated[
        Path | None, typer.Option(help="JSON that the template sees as _GC.mapped_identity.", metavar="FILE")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show what comes of it, with every default.")] = False,
) -> None:
    """Show what an endpoint's template makes of a user's options, or what is wrong with them. Nothing is started.

    What Parsl knows of providers, launchers and addresses is checked too. A hyphen instead of one file is standard
    input.

    \b
    Examples:
      afield endpoint render mine --options '{"max_workers": 4}'
      afield endpoint render mine --options options.json --all
      afield endpoint render-user-config -t user_config_template.yaml.j2 -s user_config_schema.json -o -
    """
    import os

    import msgspec
    import yaml

    from afield.endpoint.cli.given import Given
    from afield.endpoint.engines.dry_run import dry_run
    from afield.endpoint.host.report import local_identity
    from afield.endpoint.manager.owner import without_secrets
    from afield.endpoint.manager.template import render as render_template
    from afield.sdk.batch import this_runtime

    given = Given()
    settings, source, warnings = _files(name or endpoint, template, schema, given)
    parent = given.yaml("--parent-config", parent_config)
    runtime = given.json("--user-runtime", user_runtime)
    here = {"local": local_identity(), "globus": {"id": ""}}
    rendered = render_template(
        source,
        given.options(options),
        parent_config=msgspec.to_builtins(settings) if parent is None else parent,
        user_runtime=this_runtime() if runtime is None else runtime,
        mapped_identity=given.json("--mapped-identity", mapped_identity) or here,
        environment=without_secrets(os.environ),
    )
    for warning in warnings + rendered.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for warning in dry_run(rendered.settings.engine, rendered.places):
        typer.echo(f"warning: {warning}", err=True)
    if every:
        typer.echo(yaml.safe_dump(msgspec.to_builtins(rendered.settings), sort_keys=False).rstrip())
    else:
        typer.echo(rendered.text.strip())


def _files(
    name: str | None, template: Path | None, schema: Path | None, given: Given
) -> tuple[ManagerSettings, Template, list[str]]:
    """The manager's settings, the template with its schema, and warnings."""
    from afield.endpoint.cli.names import existing
    from afield.endpoint.manager.owner import read_settings, read_template
    from afield.endpoint.manager.template import Template, check_schema
    from afield.endpoint.settings import ManagerSettings

    settings, warnings, found = ManagerSettings(), list[str](), None
    if name is not None or template is None:
        directory = existing(name or "default")
        settings, warnings = read_settings(directory)
        found = read_template(directory, settings) if template is None else None
    if template is not None:
        found = Template(given.text("--template", template), given.named(template))
    assert found is not None
    if schema is not None:
        text = given.text("--user-schema", schema)
        found = Template(found.text, found.source, check_schema(text, given.named(schema)))
    return settings, found, warnings
