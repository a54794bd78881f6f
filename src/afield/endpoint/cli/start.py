"""``afield endpoint start`` and ``restart``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from afield.endpoint.cli.names import Name
from afield.endpoint.cli.stop import stop_running

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory
    from afield.endpoint.host.registration import ServiceAccess
    from afield.endpoint.settings import ManagerSettings

__all__ = ["restart", "start"]

Detach = Annotated[bool, typer.Option("--detach", help="Run without this terminal; the words go to endpoint.log.")]
EndpointUuid = Annotated[
    str | None, typer.Option("--endpoint-uuid", help="Register under this id, which is yours already.", metavar="UUID")
]


def start(name: Name = "default", detach: Detach = False, endpoint_uuid: EndpointUuid = None) -> None:
    """Run an endpoint, until Ctrl-C.

    It registers with the service, and starts a user endpoint whenever somebody submits to it.

    \b
    Examples:
      afield endpoint start mine
      afield endpoint start mine --detach
      AFIELD_SERVICE_URL=https://afield.example.org AFIELD_TOKEN=... afield endpoint start mine
    """
    from afield.endpoint.host.directory import endpoint_directory
    from afield.endpoint.manager.owner import read_settings

    directory = endpoint_directory(name)
    settings, warnings = read_settings(directory)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    uuid = _checked(endpoint_uuid)
    if detach:
        _detach(directory, uuid)
    else:
        _run(directory, settings, uuid)


def restart(name: Name = "default", detach: Detach = False, endpoint_uuid: EndpointUuid = None) -> None:
    """Stop an endpoint, if it runs, and start it.

    \b
    Example:
      afield endpoint restart mine --detach
    """
    from afield.endpoint.host.directory import endpoint_directory
    from afield.endpoint.manager.owner import read_environment, read_settings, read_template

    directory = endpoint_directory(name)
    settings, _ = read_settings(directory)  # what runs is not stopped for files with which it could not start again
    read_template(directory, settings)
    read_environment(directory)
    _checked(endpoint_uuid)
    stop_running(directory)
    start(name, detach, endpoint_uuid)


def _checked(endpoint_uuid: str | None) -> str | None:
    from afield.ids import parse_id

    return parse_id(endpoint_uuid, "endpoint") if endpoint_uuid is not None else None


def _detach(directory: EndpointDirectory, endpoint_uuid: str | None) -> None:
    from afield.endpoint.host.daemon import start_detached

    more = ("--endpoint-uuid", endpoint_uuid) if endpoint_uuid is not None else ()
    command = (sys.executable, "-m", "afield.endpoint.cli", "start", directory.name, *more)
    pid, said = start_detached(command, directory.log)
    if said is None:
        typer.echo(f"warning: it is not ready yet and goes on trying; {directory.log} says why", err=True)
        said = f"Started: endpoint {directory.name}"
    typer.echo(f"{said} (process {pid})\nStop it with: afield endpoint stop {directory.name}")


def _run(directory: EndpointDirectory, settings: ManagerSettings, endpoint_uuid: str | None) -> None:
    import asyncio
    import logging

    from afield.endpoint.host.lock import RunLock
    from afield.endpoint.host.registration import find_service

    logging.basicConfig(
        level=logging.DEBUG if settings.debug else logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    with RunLock(directory.lock, f"the endpoint {directory.name}"):
        service = find_service(settings)
        asyncio.run(_serve(directory, settings, service, endpoint_uuid))
    typer.echo(f"Stopped: endpoint {directory.name}")


async def _serve(
    directory: EndpointDirectory, settings: ManagerSettings, service: ServiceAccess, endpoint_uuid: str | None
) -> None:
    import asyncio
    import signal

    from afield.endpoint import assemble
    from afield.endpoint.host.daemon import say_ready

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    manager = await assemble.manager(
        directory, settings, service_url=service.url, authorizer=service.authorizer, endpoint_id=endpoint_uuid
    )
    running = asyncio.create_task(manager.run(stop))
    ready = asyncio.create_task(manager.ready.wait())
    await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        text = f"Ready: endpoint {directory.name} is {manager.endpoint_id} at {service.url}"
        typer.echo(text)
        say_ready(text)
    ready.cancel()
    await running
