"""``afield endpoint``: what the owner of a machine does with endpoints.

One file for each thing that people do; this one hangs them into one command.
"""

from __future__ import annotations

from typing import Final

import typer

from afield.endpoint.cli.boot import disable_on_boot, enable_on_boot
from afield.endpoint.cli.clear import clear
from afield.endpoint.cli.configure import configure
from afield.endpoint.cli.delete import delete
from afield.endpoint.cli.doctor import doctor
from afield.endpoint.cli.exits import EndpointCommands
from afield.endpoint.cli.listing import list_
from afield.endpoint.cli.logs import logs
from afield.endpoint.cli.mapping import check_mapping
from afield.endpoint.cli.migrate import migrate_to_template_capable
from afield.endpoint.cli.python import python_exec, version
from afield.endpoint.cli.render import render
from afield.endpoint.cli.start import restart, start
from afield.endpoint.cli.status import status
from afield.endpoint.cli.stop import stop
from afield.endpoint.cli.unlock import unlock

__all__ = ["app"]

_HELP: Final = """Offer this machine to run tasks.

\b
  afield endpoint configure mine     make an endpoint called mine
  afield endpoint start mine         run it, until Ctrl-C
  afield endpoint start mine --detach
  afield endpoint list               which there are, and which run
  afield endpoint status mine        how it is
  afield endpoint logs mine -f       what it writes
  afield endpoint doctor mine        what is wrong, and what to do about it
  afield endpoint stop mine
"""

app = typer.Typer(help=_HELP, no_args_is_help=True, add_completion=False, cls=EndpointCommands)
app.callback()(lambda: None)  # or an application of which one command is wanted takes it for all that there is
app.command()(configure)
app.command()(start)
app.command()(stop)
app.command()(unlock)
app.command()(clear)
app.command()(restart)
app.command("list")(list_)
app.command()(status)
app.command()(logs)
app.command()(doctor)
app.command()(enable_on_boot)
app.command()(disable_on_boot)
app.command()(delete)
app.command()(render)
app.command("render-user-config", hidden=True)(render)
app.command()(migrate_to_template_capable)
app.command()(check_mapping)
_FOREIGN: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False}  # options are the module's
app.command("python-exec", context_settings=_FOREIGN)(python_exec)
app.command()(version)
