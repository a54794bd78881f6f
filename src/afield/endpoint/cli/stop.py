"""``afield endpoint stop``."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

import typer

from afield.endpoint.cli.names import Name, existing
from afield.errors import ComputeError

if TYPE_CHECKING:
    import psutil

    from afield.endpoint.host.directory import EndpointDirectory
    from afield.endpoint.settings import ManagerSettings

__all__ = ["stop", "stop_running"]

#: How long an endpoint may take to end, beyond the grace that it gives its tasks, in seconds.
_GRACE_S: Final = 20.0


def stop(
    name: Name = "default",
    grace: Annotated[
        float, typer.Option(help="Seconds until whatever has not ended by itself is killed.", min=0)
    ] = _GRACE_S,
    remote: Annotated[
        bool,
        typer.Option(
            "--remote",
            help="Have the service drop it, wherever it runs, and keep it out for a while: for another host.",
        ),
    ] = False,
) -> None:
    """Stop an endpoint that runs on this machine, or with --remote anywhere.

    Running tasks have a few seconds to end; what has not begun waits at the service for the next start.

    \b
    Examples:
      afield endpoint stop mine
      afield endpoint stop mine --grace 60
      afield endpoint stop mine --remote                                   it runs on another login node
      afield endpoint stop 4b116d3c-1703-4f8f-9f6f-39921e5864df --remote   it was configured elsewhere
    """
    if remote:
        _stop_remotely(name)
        return
    directory = existing(name)
    if stop_running(directory, grace):
        typer.echo(f"Stopped: endpoint {directory.name}")
    else:
        typer.echo(f"The endpoint {directory.name} was not running.")


def stop_running(directory: EndpointDirectory, grace_s: float = _GRACE_S) -> bool:
    """Stop an endpoint; False: it did not run.

    :raises ComputeError: it runs where it cannot be stopped from here
    """
    import psutil

    from afield.endpoint.host.lock import holder, is_here

    found = holder(directory.lock)
    if found is None:
        return False
    if not is_here(found):
        raise ComputeError(
            f"the endpoint {directory.name} runs on host {found.hostname} as process {found.pid}: stop it there "
            f"(afield endpoint stop {directory.name}), or from here with "
            f"`afield endpoint stop {directory.name} --remote`"
        )
    try:
        process = psutil.Process(found.pid)
        family = [process, *process.children(recursive=True)]
        os.kill(found.pid, signal.SIGTERM)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return True  # it ended this moment
    except (psutil.AccessDenied, PermissionError) as error:
        raise ComputeError(
            f"process {found.pid} of endpoint {directory.name} belongs to somebody else, who can stop it"
        ) from error
    _end(family, process, grace_s)
    return True


def _stop_remotely(name: str) -> None:
    import asyncio

    from afield.endpoint.host.directory import find_endpoint
    from afield.endpoint.settings import ManagerSettings
    from afield.errors import ConfigurationError, InvalidId
    from afield.ids import parse_id

    identity = None
    try:
        wanted = parse_id(name, "endpoint")
    except InvalidId:
        wanted = None
        identity = existing(name).identity()
        if identity is None:
            raise ConfigurationError(
                f"the endpoint {name} was never started, so the service does not know it: there is nothing to stop"
            ) from None
    else:
        with suppress(ConfigurationError):  # it was configured on another machine
            identity = find_endpoint(name).identity()
    endpoint_id = identity.endpoint_id if identity else str(wanted)
    url = identity.service_url if identity else None
    until = asyncio.run(_lock(ManagerSettings(service_url=url), endpoint_id))
    typer.echo(
        f"Stopped: endpoint {name}, wherever it ran. The service lets it in again at "
        f"{time.strftime('%H:%M:%S', time.localtime(until))}, or after `afield endpoint unlock {name}`"
    )


async def _lock(settings: ManagerSettings, endpoint_id: str) -> float:
    from afield.endpoint.host import registration

    async with registration.open_transport(registration.find_service(settings)) as transport:
        return await registration.stop_everywhere(transport, endpoint_id)


def _end(family: list[psutil.Process], process: psutil.Process, grace_s: float) -> None:
    """Wait for the endpoint; then see that nothing of it is left."""
    import psutil

    _wait([process], grace_s)
    for left in _wait(family, 1):
        try:
            left.kill()
        except psutil.NoSuchProcess:
            continue
    _wait(family, 5)


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all have ended, at most so long; those that have not.

    A process that has ended and whose parent has not asked for its status yet counts as ended; psutil's own waiting
    would wait for the parent.
    """
    until = time.monotonic() + seconds
    while (alive := [process for process in processes if not _ended(process)]) and time.monotonic() < until:
        time.sleep(0.02)
    return alive


def _ended(process: psutil.Process) -> bool:
    import psutil

    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
