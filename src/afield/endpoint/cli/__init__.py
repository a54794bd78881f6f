"""``afield endpoint``: what the owner of a machine does with endpoints.

One file for each thing that people do; this one hangs them into one command.
"""

from __future__ import annotations

from typing import Final

import typer

from afield.endpoint.cli.configure import configure
from afield.endpoint.cli.delete import delete
from afield.endpoint.cli.listing import list_
from afield.endpoint.cli.render import render
from afield.endpoint.cli.start import restart, start
from afield.endpoint.cli.stop import stop
from afield.endpoint.cli.unlock import unlock

__all__ = ["app"]

_HELP: Final = """Offer this machine to run tasks.

\b
  afield endpoint configure mine     make an endpoint called mine
  afield endpoint start mine         run it, until Ctrl-C
  afield endpoint start mine --detach
  afield endpoint list               which there are, and which run
  afield endpoint stop mine
"""

app = typer.Typer(help=_HELP, no_args_is_help=True, add_completion=False)
app.command()(configure)
app.command()(start)
app.command()(stop)
app.command()(unlock)
app.command()(restart)
app.command("list")(list_)
app.command()(delete)
app.command()(render)
