"""``afield endpoint clear``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from afield.endpoint.cli.names import Name, existing

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory

__all__ = ["clear"]


def clear(name: Name = "default") -> None:
    """Let an endpoint start again what it has stopped starting.

    An endpoint stops to ask its batch scheduler for blocks, and to start user endpoints, after a few of them in a row
    died soon after their start. Mend what was wrong, then clear it. It need not run, and need not be restarted.

    \b
    Example:
      afield endpoint clear mine
    """
    from afield.endpoint.cli.words import clean, some
    from afield.endpoint.host.runaway import RUNAWAY_FILE, RunawayFile
    from afield.errors import ComputeError

    directory = existing(name)
    cleared = 0
    for place in _places(directory):
        try:
            found = RunawayFile(place).clear()
        except OSError as error:
            raise ComputeError(
                f"{place / RUNAWAY_FILE} cannot be removed: {error.strerror}. It belongs to whoever runs the endpoint: "
                "clear it as that user"
            ) from error
        for what, reason in found.items():
            cleared += 1
            which = f"the blocks of {place.name}" if place != directory.path else f"user endpoint {what}"
            last = clean(reason.why.partition("\n")[0])
            typer.echo(f"Cleared: {which}, stopped after {some(reason.deaths, 'death')} in a row: {last}")
    if not cleared:
        typer.echo(f"The endpoint {directory.name} has stopped nothing: there is nothing to clear.")


def _places(directory: EndpointDirectory) -> list[Path]:
    """The endpoint's own directory, and those of its user endpoints, which may lie with their accounts."""
    from afield.endpoint.host.status import ManagerStatus, read_status

    status = read_status(directory.status, ManagerStatus)
    children = status.children if status is not None else []
    known = [place for child in children for place in (Path(child.directory), Path(child.log).parent)]
    own = [path for path in sorted(directory.path.glob("uep.*")) if path.is_dir()]
    return list(dict.fromkeys([directory.path, *own, *known]))
