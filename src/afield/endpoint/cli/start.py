"""``afield endpoint start`` and ``restart``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from afield.endpoint.cli.names import Name, existing
from afield.endpoint.cli.stop import stop_running
from afield.errors import ComputeError

if TYPE_CHECKING:
    import asyncio

    from afield.endpoint.host.directory import EndpointDirectory
    from afield.endpoint.host.lock import RunLock
    from afield.endpoint.host.presence import Presence
    from afield.endpoint.host.registration import Registered, ServiceAccess
    from afield.endpoint.manager.loop import Manager
    from afield.endpoint.settings import ManagerSettings

__all__ = ["restart", "start"]

Detach = Annotated[bool, typer.Option("--detach", help="Run without this terminal; the words go to endpoint.log.")]
EndpointUuid = Annotated[
    str | None, typer.Option("--endpoint-uuid", help="Register under this id, which is yours already.", metavar="UUID")
]


def start(name: Name = "default", detach: Detach = False, endpoint_uuid: EndpointUuid = None) -> None:
    """Run an endpoint, until Ctrl-C.

    It registers with the service, and starts a user endpoint whenever somebody submits to it. On a terminal, the last
    line says how it is; endpoint.log keeps all that is said.

    Exit status (as in sysexits.h): 69 the service keeps it out, 73 it runs already, 75 nobody answers, 77 the token is
    not taken, 78 a file is wrong.

    \b
    Examples:
      afield endpoint start mine
      afield endpoint start mine --detach
      AFIELD_SERVICE_URL=https://afield.example.org AFIELD_TOKEN=... afield endpoint start mine
    """
    from afield.endpoint.manager.owner import read_settings

    directory = existing(name)
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
    from afield.endpoint.manager.audit import check_audit
    from afield.endpoint.manager.owner import read_environment, read_settings, read_template

    directory = existing(name)
    settings, _ = read_settings(directory)  # what runs is not stopped for files with which it could not start again
    read_template(directory, settings)
    read_environment(directory)
    check_audit(directory, settings)
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
    typer.echo(
        f"{said} (process {pid})\nSee how it does with: afield endpoint status {directory.name}\n"
        f"Stop it with: afield endpoint stop {directory.name}"
    )


def _run(directory: EndpointDirectory, settings: ManagerSettings, endpoint_uuid: str | None) -> None:
    import asyncio

    from afield.broker.amqp_tunnel import proxy_from_environment
    from afield.endpoint import assemble
    from afield.endpoint.host.apart import apart
    from afield.endpoint.host.lock import RunLock
    from afield.endpoint.host.registration import find_service

    live = _log(directory, debug=settings.debug)
    proxy_from_environment()  # what is wrong with it is told now
    with RunLock(directory.lock, directory.name) as lock:
        service = find_service(settings)
        registered = apart(lambda: asyncio.run(assemble.registered(directory, settings, service, endpoint_uuid)))
        asyncio.run(_serve(directory, settings, service, registered, lock, live=live))
    typer.echo(f"Stopped: endpoint {directory.name}")


def _log(directory: EndpointDirectory, *, debug: bool) -> bool:
    """Have everything in the log and, unless that is the log already, on stderr; whether that is a terminal."""
    import logging

    from afield.endpoint.cli.live import AboveLine
    from afield.endpoint.host.daemon import READY_FD_VARIABLE
    from afield.endpoint.host.logs import LogFile, RecordFormatter

    handlers: list[logging.Handler] = [LogFile(directory.log)]
    terminal = sys.stderr.isatty()
    if READY_FD_VARIABLE not in os.environ:
        shown = AboveLine(sys.stderr) if terminal else logging.StreamHandler(sys.stderr)
        shown.setFormatter(RecordFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
        handlers.append(shown)
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=handlers)
    return terminal


async def _serve(
    directory: EndpointDirectory,
    settings: ManagerSettings,
    service: ServiceAccess,
    registered: Registered,
    lock: RunLock,
    *,
    live: bool,
) -> None:
    import asyncio
    import signal

    from afield.endpoint import assemble
    from afield.endpoint.host.daemon import say_ready
    from afield.endpoint.manager.loop import Manager

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    manager = Manager(directory, settings, registered, assemble.connector())
    lost, presence, beside = _beside(manager, directory, service, lock, stop, live=live)
    running = asyncio.create_task(manager.run(stop))
    ready = asyncio.create_task(manager.ready.wait())
    try:
        await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            presence.write()  # whoever reads the next line may ask at once how it is
            text = f"Ready: endpoint {directory.name} is {manager.endpoint_id} at {service.url}"
            typer.echo(text)
            say_ready(text)
        await running
    except ComputeError as error:
        manager.standing.failed(str(error).strip())  # for whoever asks later why it does not run
        raise
    finally:
        for task in (ready, *beside):
            task.cancel()
        await asyncio.gather(ready, *beside, return_exceptions=True)
    if lost:
        raise lost[0]


def _beside(
    manager: Manager,
    directory: EndpointDirectory,
    service: ServiceAccess,
    lock: RunLock,
    stop: asyncio.Event,
    *,
    live: bool,
) -> tuple[list[ComputeError], Presence, list[asyncio.Task[None]]]:
    """What runs beside a manager for its owner; first why it must end, once it must, then its signs of life."""
    import asyncio
    import logging

    from afield.endpoint.cli.live import LiveLine, say_changes
    from afield.endpoint.host.clock import ahead
    from afield.endpoint.host.presence import Presence

    lost: list[ComputeError] = []

    def on_lost(error: ComputeError) -> None:
        lost.append(error)
        stop.set()

    standing = manager.standing
    logging.getLogger("afield").addHandler(standing.errors)
    say_changes(standing)
    presence = Presence(
        lock, standing, directory.status, service.url, clock_ahead=lambda: ahead(service.url), on_lost=on_lost
    )
    beside = [asyncio.create_task(presence.run(), name="presence")]
    if live:
        beside.append(asyncio.create_task(LiveLine(standing).run(), name="live-line"))
    return lost, presence, beside
