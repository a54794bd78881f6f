"""The commands `afield up` and `afield demo`. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo", "up"]


def demo() -> None:
    """Show the main job on this machine: start everything, send a hundred tasks, show the results, stop everything.

    It leaves nothing behind. Example: [bold]afield demo[/]
    """
    from rich.console import Console

    from afield.local.demo import run_demo

    run_demo(Console(highlight=False, soft_wrap=True))


def up(
    data: Annotated[
        Path | None,
        typer.Option(help="Where everything is kept.", show_default="local/ below ~/.afield or $AFIELD_USER_DIR"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port for HTTP; 0 takes a free one.")] = 5000,
    amqp_port: Annotated[
        int, typer.Option(help="Port for the queues; 0 takes a free one, and a taken one is stepped over.")
    ] = 5672,
    ready_file: Annotated[
        Path | None, typer.Option(help="A file to write, as JSON, once tasks can run: addresses, endpoint id, pid.")
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error, on stderr.")] = "warning",
) -> None:
    """Keep a service and an endpoint running on this machine until Ctrl-C.

    Started again, it finds the same endpoint, functions, tasks and results. Scripts of yours on this machine need no
    login and no address.

    Examples: [bold]afield up[/], [bold]afield up --port 0 --ready-file ready.json[/]
    """
    from afield.local.up import UpOptions, run_up
    from afield.sdk.login.known import user_dir

    options = UpOptions(
        data_dir=(data or user_dir() / "local").expanduser().absolute(),
        host=host,
        port=port,
        amqp_port=amqp_port,
        ready_file=ready_file,
        log_level=log_level,
    )
    run_up(options)
