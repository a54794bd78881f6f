"""A service and an endpoint on this machine, in one process, with user endpoints and workers below it.

::

    afield up                one event loop: service, and the endpoint's manager as its client over loopback
      └ user endpoint        started when somebody submits
          ├ worker
          └ worker

The endpoint is an endpoint like any other: it registers over HTTP and reads its commands over AMQP.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from afield.endpoint.host.directory import EndpointDirectory
from afield.errors import ConfigurationError
from afield.sdk.login import known

__all__ = ["Ready", "UpOptions", "run_up", "running"]

_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What a person may choose.

    :param data_dir: where everything is kept, of the service and of the endpoint
    :param host: address to listen on
    :param port: for HTTP; 0: a free one
    :param amqp_port: for the queues; 0: a free one, and a taken one is stepped over
    :param ready_file: a file to write once tasks can run
    :param log_level: debug, info, warning or error
    :param announce: let other programs of this person find the service
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 5000
    amqp_port: int = 5672
    ready_file: Path | None = None
    log_level: str = "warning"
    announce: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What is running, once tasks can run."""

    service_url: str
    broker_url: str
    endpoint_id: str
    data_dir: Path
    pid: int
    #: opens the service; never written to the ready file
    token: str
    #: the port that was asked for the queues and is another program's
    stepped_over: int | None


def run_up(options: UpOptions) -> None:
    """`afield up`: run until SIGINT or SIGTERM.

    :raises ComputeError: something cannot be used as it is; nothing is left running
    """
    if options.log_level not in _LEVELS:
        raise ConfigurationError(f"--log-level {options.log_level} is not one of {', '.join(_LEVELS)}")
    logging.basicConfig(
        level=options.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    asyncio.run(_until_signal(options, Console(highlight=False, soft_wrap=True)))


@contextmanager
def running(options: UpOptions) -> Iterator[Ready]:
    """Service and endpoint beside the caller, in a thread of their own, for the length of a ``with`` block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="afield-local", daemon=True)
    thread.start()
    local = _local(options)
    try:
        ready, _ = asyncio.run_coroutine_threadsafe(local.__aenter__(), loop).result()
        try:
            yield ready
        finally:
            asyncio.run_coroutine_threadsafe(local.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _until_signal(options: UpOptions, console: Console) -> None:
    loop = asyncio.get_running_loop()
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_stop.set)
    async with _local(options) as (ready, watch):
        _tell(console, ready)
        stopping = asyncio.create_task(asked_to_stop.wait())
        await asyncio.wait((stopping, watch), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if asked_to_stop.is_set():
            console.print("Stopping ...")
    console.print("Stopped. Start again with `afield up`: it finds everything again.")


@asynccontextmanager
async def _local(options: UpOptions) -> AsyncGenerator[tuple[Ready, asyncio.Task[None]]]:
    """Start both, give what is running and a task that ends when a part fails, and stop both."""
    from afield.service.app import Service
    from afield.service.settings import Settings

    service = Service()
    settings = Settings(
        data_dir=options.data_dir,
        host=options.host,
        port=options.port,
        amqp_port=options.amqp_port,
        log_level=options.log_level,
    )
    up = await service.start(settings)
    try:
        stop = asyncio.Event()
        manager, ended = await _start_endpoint(options.data_dir, up.service_url, up.token, stop)
        try:
            ready = Ready(
                service_url=up.service_url,
                broker_url=up.broker_url,
                endpoint_id=manager,
                data_dir=options.data_dir,
                pid=os.getpid(),
                token=up.token,
                stepped_over=up.stepped_over,
            )
            with _announced(options, ready):
                watch = asyncio.create_task(_first_failure(service, ended), name="local-watch")
                try:
                    yield ready, watch
                finally:
                    watch.cancel()
                    await asyncio.wait((watch,))
        finally:
            stop.set()
            await asyncio.wait((ended,))
        ended.result()
    finally:
        await service.stop()


async def _start_endpoint(
    data_dir: Path, service_url: str, token: str, stop: asyncio.Event
) -> tuple[str, asyncio.Task[None]]:
    """An endpoint whose files are below the data directory; its id, and the task that ends when it has ended."""
    from afield.endpoint import assemble
    from afield.endpoint.host.defaults import write_defaults
    from afield.endpoint.manager.owner import read_settings

    directory = EndpointDirectory("local", data_dir / "endpoint")
    if not directory.configured:
        write_defaults(directory, display_name="local", service_url=None)
    settings, _ = read_settings(directory)
    manager = await assemble.manager(directory, settings, service_url=service_url, token=token)
    ended = asyncio.create_task(manager.run(stop), name="local-endpoint")
    ready = asyncio.create_task(manager.ready.wait())
    await asyncio.wait((ended, ready), return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        ended.result()
    return manager.endpoint_id, ended


async def _first_failure(service: object, ended: asyncio.Task[None]) -> None:
    from afield.service.app import Service

    assert isinstance(service, Service)
    failed = asyncio.ensure_future(service.failed())
    try:
        done, _ = await asyncio.wait((failed, asyncio.shield(ended)), return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        failed.cancel()


@contextmanager
def _announced(options: UpOptions, ready: Ready) -> Iterator[None]:
    """Let programs find the service, for the length of a ``with`` block."""
    if options.announce:
        known.publish(
            known.KnownService(
                service_url=ready.service_url,
                token=ready.token,
                endpoint_id=ready.endpoint_id,
                data_dir=str(ready.data_dir),
                pid=ready.pid,
                started_at=time.time(),
            )
        )
    try:
        if options.ready_file is not None:
            _write_ready(options.ready_file, ready)
        yield
    finally:
        if options.announce:
            known.forget(ready.service_url, pid=ready.pid)


def _write_ready(path: Path, ready: Ready) -> None:
    """The file appears whole, for somebody is waiting for it."""
    said = {
        "service_url": ready.service_url,
        "broker_url": ready.broker_url,
        "endpoint_id": ready.endpoint_id,
        "data_dir": str(ready.data_dir),
        "pid": ready.pid,
    }
    half = path.with_name(f".{path.name}.new")
    try:
        half.write_text(json.dumps(said) + "\n")
        half.replace(path)
    except OSError as error:
        raise ConfigurationError(f"--ready-file {path} cannot be written: {error.strerror}") from error


def _tell(console: Console, ready: Ready) -> None:
    if ready.stepped_over is not None:
        console.print(f"Port {ready.stepped_over} is another program's, so the queues have one of their own.")
    console.print(f"  service   {ready.service_url}")
    console.print(f"  queues    {ready.broker_url}")
    console.print(f"  endpoint  {ready.endpoint_id}")
    console.print(f"  data      {ready.data_dir}")
    console.print("Ready. In another terminal, with no login and no address:\n")
    console.print("""  python -c 'from afield import Executor; print(Executor().submit(pow, 2, 10).result())'\n""")
    console.print("Ctrl-C stops it.")
