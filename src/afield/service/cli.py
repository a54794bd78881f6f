"""`afield serve`: a service on its own, for other machines too."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from afield.errors import ConfigurationError
from afield.sdk.login import known
from afield.service.settings import Settings

__all__ = ["serve"]

_LEVELS = ("debug", "info", "warning", "error")


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
    if log_level not in _LEVELS:
        raise ConfigurationError(f"--log-level {log_level} is not one of {', '.join(_LEVELS)}")
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    settings = Settings(
        data_dir=(data or known.user_dir() / "service").expanduser().absolute(),
        host=host,
        port=port,
        amqp_port=amqp_port,
        public_host=public_host,
        database=database,
        log_level=log_level,
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, ready_file, Console(highlight=False)))


def _loop_factory() -> type[asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not on this platform; asyncio's own does the same, slower
        return asyncio.SelectorEventLoop
    return uvloop.Loop


async def _serve(settings: Settings, ready_file: Path | None, console: Console) -> None:
    from afield.service.app import Service

    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_stop.set)
    service = Service()
    running = await service.start(settings)
    try:
        path = known.publish(
            known.KnownService(
                service_url=running.service_url,
                token=running.token,
                data_dir=str(running.data_dir),
                pid=os.getpid(),
                started_at=time.time(),
            )
        )
        if running.stepped_over is not None:
            console.print(f"Port {running.stepped_over} is another program's; the queues are on {running.amqp_port}.")
        if ready_file is not None:
            _write(ready_file, service_url=running.service_url, broker_url=running.broker_url,
                   data_dir=str(running.data_dir), pid=os.getpid())  # fmt: skip
        console.print(f"Ready: service {running.service_url}, queues {running.broker_url}, token in {path}")
        await _until(asked_to_stop, service.failed())
    finally:
        known.forget(running.service_url, pid=os.getpid())
        await service.stop()


async def _until(asked_to_stop: asyncio.Event, failed: Coroutine[Any, Any, NoReturn]) -> None:
    waiting = [asyncio.ensure_future(asked_to_stop.wait()), asyncio.ensure_future(failed)]
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _write(path: Path, **said: object) -> None:
    half = path.with_name(f".{path.name}.new")
    try:
        half.write_text(json.dumps(said) + "\n")
        half.replace(path)
    except OSError as error:
        raise ConfigurationError(f"--ready-file {path} cannot be written: {error.strerror}") from error
