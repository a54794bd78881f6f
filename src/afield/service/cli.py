"""`afield serve`: a service on its own, for other machines too."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from afield.sdk.login import known
from afield.service.foreground import announced, log_to_stderr, stop_signal, until, write_ready_file
from afield.service.settings import Settings

__all__ = ["serve"]


def serve(
    data: Annotated[
        Path | None,
        typer.Option(help="Where everything is kept.", show_default="service/ below ~/.afield or $AFIELD_USER_DIR"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port for HTTP; 0 takes a free one.")] = 5000,
    amqp_port: Annotated[
        int, typer.Option(help="Port for the queues; 0 takes a free one, and a taken one is stepped over.")
    ] = 5672,
    public_host: Annotated[
        str | None, typer.Option(help="The name by which others reach this machine.", show_default="the address")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql://… or sqlite:///….", show_default="SQLite in the data directory")
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="A file to write, as JSON, once clients may come: addresses, pid.")
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error, on stderr.")] = "warning",
) -> None:
    """Run a service until Ctrl-C.

    Scripts and endpoints of yours on this machine need no login and no address. Elsewhere, set AFIELD_SERVICE_URL, and
    AFIELD_TOKEN to the token in the file that is named at the start.

    Examples: [bold]afield serve[/], [bold]afield serve --host 0.0.0.0 --public-host lab.example.org[/]
    """
    log_to_stderr(log_level)
    settings = Settings(
        data_dir=(data or known.user_dir() / "service").expanduser().absolute(),
        host=host,
        port=port,
        amqp_port=amqp_port,
        public_host=public_host,
        database=database,
        log_level=log_level,
    )
    asyncio.run(_serve(settings, ready_file, Console(highlight=False, soft_wrap=True)))


async def _serve(settings: Settings, ready_file: Path | None, console: Console) -> None:
    from afield.service.app import Service

    asked_to_stop = stop_signal()
    service = Service()
    running = await service.start(settings)
    here = known.KnownService(
        service_url=running.service_url,
        token=running.token,
        data_dir=str(running.data_dir),
        pid=os.getpid(),
        started_at=time.time(),
    )
    try:
        with announced(here) as path:
            if running.stepped_over is not None:
                console.print(
                    f"Port {running.stepped_over} is another program's; the queues are on {running.amqp_port}."
                )
            if ready_file is not None:
                names = ("service_url", "broker_url", "data_dir", "pid")
                said = {"broker_url": running.broker_url} | msgspec.to_builtins(here)
                write_ready_file(ready_file, {name: said[name] for name in names})
            console.print(f"Ready: service {running.service_url}, queues {running.broker_url}, token in {path}")
            await until(asked_to_stop, service.failed())
    finally:
        await service.stop()
