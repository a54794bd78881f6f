"""Exit statuses of ``afield endpoint``.

They are those of sysexits.h that the published endpoint uses (reference: features A8.14), so that a script or systemd
can tell what is worth another try.
"""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperGroup

from afield.errors import (
    BrokerRefused,
    BrokerUnreachable,
    ComputeAPIError,
    ComputeError,
    ConfigurationError,
    InvalidId,
    ServiceError,
    ServiceUnreachable,
    WireError,
)

__all__ = [
    "BAD_DATA",
    "CONFIGURATION",
    "NETWORK",
    "PERMISSION",
    "SOFTWARE",
    "TAKEN",
    "UNAVAILABLE",
    "EndpointCommands",
    "exit_status",
]

#: What was given is not what it should be.
BAD_DATA: Final = 65
#: It is not there, or the service keeps it out.
UNAVAILABLE: Final = 69
SOFTWARE: Final = 70
#: Another process runs the endpoint.
TAKEN: Final = 73
#: Nobody answers: try again later.
NETWORK: Final = 75
PERMISSION: Final = 77
CONFIGURATION: Final = 78


def exit_status(error: ComputeError) -> int:
    """What a script should see of an error."""
    from afield.endpoint.host.daemon import EndedEarly
    from afield.endpoint.host.lock import AlreadyRunning, LockLost
    from afield.endpoint.host.registration import EndpointLocked, TokenRefused

    if isinstance(error, EndedEarly) and error.status > 0:
        return error.status
    if isinstance(error, ComputeAPIError) and error.http_status in {401, 403}:
        return PERMISSION
    # The first that fits: some of these are kinds of others.
    kinds: tuple[tuple[tuple[type[ComputeError], ...], int], ...] = (
        ((AlreadyRunning, LockLost), TAKEN),
        ((TokenRefused,), PERMISSION),
        ((EndpointLocked, BrokerRefused), UNAVAILABLE),
        ((ServiceUnreachable, BrokerUnreachable), NETWORK),
        ((ConfigurationError,), CONFIGURATION),
        ((InvalidId, WireError), BAD_DATA),
        ((ServiceError,), UNAVAILABLE),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), SOFTWARE)


class EndpointCommands(TyperGroup):
    """Tells what went wrong in one line, and ends with its status."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ComputeError as error:
            typer.echo(f"{typer.style('afield:', fg='red', bold=True)} {str(error).strip()}", err=True)
            raise typer.Exit(exit_status(error)) from error
