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
from afield.service.configuration import load_settings
from afield.service.foreground import announced, log_to_stderr, stop_signal, until, write_ready_file
from afield.service.settings import Settings

__all__ = ["serve"]


def serve(
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with any of the settings; what is said here goes before it.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Where everything is kept.", show_default="service/ below ~/.afield or $AFIELD_USER_DIR"),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.", show_default="127.0.0.1"),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port for HTTP; 0 takes a free one.", show_default="5000")] = None,
    amqp_port: Annotated[
        int | None,
        typer.Option(
            help="Port for the queues; 0 takes a free one, and a taken one is stepped over.", show_default="5672"
        ),
    ] = None,
    public_host: Annotated[
        str | None, typer.Option(help="The name by which others reach this machine.", show_default="the address")
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(help="The URL by which people log in, behind a load balancer.", show_default="as they reach it"),
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address or network of a load balancer, which says where requests come from."),
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql://… or sqlite:///….", show_default="SQLite in the data directory")
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(
            help="amqp://user:password@host:port/vhost of a RabbitMQ that several services share.",
            show_default="embedded",
        ),
    ] = None,
    broker_public_url: Annotated[
        str | None,
        typer.Option(help="amqps://host:port of it, as others reach it.", show_default="as the service does"),
    ] = None,
    broker_api: Annotated[
        str | None,
        typer.Option(
            help="http://user:password@host:15672, its management API.", show_default="same host and login, usual port"
        ),
    ] = None,
    queue_type: Annotated[
        str | None, typer.Option(help="How it keeps queues: classic, or quorum in a cluster.", show_default="classic")
    ] = None,
    queue_logins: Annotated[
        str | None,
        typer.Option(help="How others log in there: management or oauth2.", show_default="management"),
    ] = None,
    database_connections: Annotated[
        int | None, typer.Option(help="To PostgreSQL, of this service.", show_default="8")
    ] = None,
    shared_data: Annotated[
        bool | None, typer.Option("--shared-data", help="All services on the database share --data, for big values.")
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="A file to write, as JSON, once clients may come: addresses, pid.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error, on stderr.", show_default="warning")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="text for people, or json, one object a line.", show_default="text")
    ] = None,
) -> None:
    """Run a service until Ctrl-C.

    Scripts and endpoints of yours on this machine need no login and no address. Elsewhere, set AFIELD_SERVICE_URL, and
    AFIELD_TOKEN to the token in the file that is named at the start.

    Examples: [bold]afield serve[/], [bold]afield serve --host 0.0.0.0 --public-host lab.example.org[/]
    """
    given = {
        "data_dir": None if data is None else data.expanduser().absolute(),
        "host": host,
        "port": port,
        "amqp_port": amqp_port,
        "public_host": public_host,
        "public_url": public_url,
        "proxies": tuple(proxy) if proxy else None,
        "database": database,
        "broker": broker,
        "broker_public_url": broker_public_url,
        "broker_api": broker_api,
        "queue_type": queue_type,
        "queue_logins": queue_logins,
        "database_connections": database_connections,
        "data_dir_is_shared": shared_data,
        "log_level": log_level,
        "log_format": log_format,
    }
    settings = load_settings(config, {name: value for name, value in given.items() if value is not None})
    log_to_stderr(settings.log_level, settings.log_format)
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
