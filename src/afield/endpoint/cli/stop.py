"""``afield endpoint stop``."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from afield.endpoint.cli.names import Name
from afield.errors import ComputeError

if TYPE_CHECKING:
    import psutil

    from afield.endpoint.host.directory import EndpointDirectory

__all__ = ["stop", "stop_running"]

#: How long an endpoint may take to end, beyond the grace that it gives its tasks, in seconds.
_GRACE_S: Final = 20.0


def stop(
    name: Name = "default",
    grace: Annotated[
        float, typer.Option(help="Seconds until whatever has not ended by itself is killed.", min=0)
    ] = _GRACE_S,
) -> None:
    """Stop an endpoint that runs on this machine.

    Running tasks have a few seconds to end; what has not begun waits at the service for the next start.

    \b
    Example:
      afield endpoint stop mine
    """
    from afield.endpoint.host.directory import endpoint_directory

    directory = endpoint_directory(name)
    if not directory.configured:
        raise ComputeError(f"there is no endpoint {name}: `afield endpoint list` shows which there are")
    if stop_running(directory, grace):
        typer.echo(f"Stopped: endpoint {name}")
    else:
        typer.echo(f"The endpoint {name} was not running.")


def stop_running(directory: EndpointDirectory, grace_s: float = _GRACE_S) -> bool:
    """Stop an endpoint; False: it did not run.

    :raises ComputeError: it runs where it cannot be stopped from here
    """
    import psutil

    from afield.endpoint.host.lock import holder

    found = holder(directory.lock)
    if found is None:
        return False
    if not found.here:
        raise ComputeError(
            f"the endpoint {directory.name} runs on host {found.hostname} as process {found.pid}: stop it there"
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
