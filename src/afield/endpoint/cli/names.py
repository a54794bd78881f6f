"""The words that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory

__all__ = ["AsJson", "Name", "NewName", "existing"]

#: An endpoint that is to be made.
NewName = Annotated[str, typer.Argument(help="The endpoint's name.", show_default=True)]

#: An endpoint, by the name that its owner gave it, or by its id.
Name = Annotated[str, typer.Argument(help="The endpoint's name or id.", show_default=True)]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def existing(name: str) -> EndpointDirectory:
    """The files of an endpoint that is configured here.

    :param name: its name or id
    :raises ConfigurationError: there is none
    """
    from afield.endpoint.host.directory import find_endpoint
    from afield.errors import ConfigurationError

    directory = find_endpoint(name)
    if not directory.path.is_dir():
        raise ConfigurationError(
            f"there is no endpoint {name} in {directory.path.parent}: `afield endpoint list` shows which there are, "
            f"`afield endpoint configure {name}` makes one"
        )
    return directory
