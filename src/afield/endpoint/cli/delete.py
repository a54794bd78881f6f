"""``afield endpoint delete``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from afield.endpoint.cli.names import Name, existing
from afield.endpoint.cli.stop import stop_running
from afield.errors import ComputeError, ServiceError

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory, Identity

__all__ = ["delete"]


def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Stop it first if it runs; go on if the service does not answer.")
    ] = False,
) -> None:
    """Remove an endpoint, here and at the service. Results that it could not send are removed too.

    \b
    Examples:
      afield endpoint delete mine
      afield endpoint delete mine --yes --force
    """
    from afield.endpoint.host.lock import AlreadyRunning, holder

    directory = existing(name)
    name = directory.name
    running = holder(directory.lock)
    if running is not None and not force:
        raise AlreadyRunning(
            f"the endpoint {name} is running as process {running.pid} on host {running.hostname}: stop it first "
            f"(afield endpoint stop {name}), or add --force"
        )
    if not yes:
        typer.confirm(f"Remove the endpoint {name} and everything in {directory.path}?", abort=True)
    stop_running(directory)
    _delete_there(directory, force=force)
    shutil.rmtree(directory.path)
    typer.echo(f"Removed: endpoint {name}")


def _delete_there(directory: EndpointDirectory, *, force: bool) -> None:
    """Remove it from the service that knows it, if any does."""
    import asyncio

    try:
        identity = directory.identity()
        if identity is not None:
            asyncio.run(_ask(directory, identity))
    except ComputeError as error:
        if not force:
            hint = "" if isinstance(error, ServiceError) else " (it is not removed)"
            raise ComputeError(
                f"{error}{hint}. With --force it is removed here, whatever the service knows of it"
            ) from error
        typer.echo(f"warning: it may still be known to the service: {error}", err=True)


async def _ask(directory: EndpointDirectory, identity: Identity) -> None:
    from afield.endpoint.host import registration
    from afield.endpoint.settings import ManagerSettings

    url = identity.service_url
    service = registration.find_service(ManagerSettings(service_url=url))
    async with registration.open_transport(service) as transport:
        if not await registration.delete(transport, identity.endpoint_id):
            typer.echo(f"The service {service.url} did not know {directory.name} any more.", err=True)
