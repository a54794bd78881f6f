"""The words that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Name"]

#: An endpoint, by the name that its owner gave it.
Name = Annotated[str, typer.Argument(help="The endpoint's name.", show_default=True)]
