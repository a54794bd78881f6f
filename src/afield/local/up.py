"""A service and an endpoint on this machine, in one process, with user endpoints and workers below it.

::

    afield up                one event loop: service, and the endpoint's manager as its client over loopback
      └ user endpoint        started when somebody submits
          ├ worker
          └ worker

The endpoint is an endpoint like any other: it registers over HTTP and reads its commands over AMQP. So it can be
stopped from elsewhere like any other (``Client.stop_endpoint``): then the service stays, for others may use it, and
says so; the next `afield up` starts the endpoint again at once, for whoever starts it wants it, lock or no lock.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from afield.endpoint.host.directory import EndpointDirectory
from afield.errors import BrokerRefused
from afield.sdk.login import known
from afield.service.foreground import announced, log_to_stderr, stop_signal, until, write_ready_file

if TYPE_CHECKING:
    from afield.service.app import Running, Service

__all__ = ["Ready", "UpOptions", "run_up", "running"]


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
    log_to_stderr(options.log_level)
    asyncio.run(_until_signal(options, Console(highlight=False, soft_wrap=True)))


@contextmanager
def running(options: UpOptions) -> Iterator[Ready]:
    """Service and endpoint beside the caller, in a thread of their own, for the length of a ``with`` block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="afield-local", daemon=True)
    thread.start()
    local = _local(options)
    try:
        ready, _, _ = asyncio.run_coroutine_threadsafe(local.__aenter__(), loop).result()
        try:
            yield ready
        finally:
            asyncio.run_coroutine_threadsafe(local.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _until_signal(options: UpOptions, console: Console) -> None:
    asked_to_stop = stop_signal()
    async with _local(options) as (ready, endpoint, failed):
        _tell(console, ready)
        endpoint.add_done_callback(lambda ended: _tell_thrown_out(console, ended))
        await until(asked_to_stop, failed())
        console.print("Stopping ...")
    console.print("Stopped. Start again with `afield up`: it finds everything again.")


@asynccontextmanager
async def _local(
    options: UpOptions,
) -> AsyncGenerator[tuple[Ready, asyncio.Task[None], Callable[[], Coroutine[Any, Any, None]]]]:
    """Start both, give what is running, the endpoint, and a coroutine that raises when a part fails; and stop both."""
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
        endpoint_id, endpoint = await _start_endpoint(service, up, stop)

        async def endpoint_ended() -> None:
            try:
                await asyncio.shield(endpoint)
            except BrokerRefused:
                await asyncio.Event().wait()  # somebody stopped it, and nobody the service

        async def failed() -> None:
            await until(stop, service.failed(), endpoint_ended())

        try:
            ready = Ready(
                service_url=up.service_url,
                broker_url=up.broker_url,
                endpoint_id=endpoint_id,
                data_dir=options.data_dir,
                pid=os.getpid(),
                token=up.token,
                stepped_over=up.stepped_over,
            )
            with _shown(options, ready):
                yield ready, endpoint, failed
        finally:
            stop.set()
            await asyncio.wait((endpoint,))
        if not _thrown_out(endpoint):
            endpoint.result()
    finally:
        await service.stop()


def _thrown_out(endpoint: asyncio.Task[None]) -> BrokerRefused | None:
    """How an endpoint that has ended was told that it is not wanted any more; None: it was not."""
    error = None if endpoint.cancelled() else endpoint.exception()
    return error if isinstance(error, BrokerRefused) else None


async def _start_endpoint(service: Service, up: Running, stop: asyncio.Event) -> tuple[str, asyncio.Task[None]]:
    """An endpoint whose files are below the data directory; its id, and the task that ends when it has ended."""
    from afield.endpoint import assemble
    from afield.endpoint.host.defaults import write_defaults
    from afield.endpoint.manager.owner import read_settings

    directory = EndpointDirectory("local", up.data_dir / "endpoint")
    if not directory.configured:
        write_defaults(directory, display_name="local", service_url=None)
    settings, _ = read_settings(directory)
    before = directory.identity()
    if before is not None:
        await service.unlock(before.endpoint_id)
    manager = await assemble.manager(directory, settings, service_url=up.service_url, token=up.token)
    ended = asyncio.create_task(manager.run(stop), name="local-endpoint")
    ready = asyncio.create_task(manager.ready.wait())
    await asyncio.wait((ended, ready), return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        ended.result()
    return manager.endpoint_id, ended


@contextmanager
def _shown(options: UpOptions, ready: Ready) -> Iterator[None]:
    """Let people and programs know of it, for the length of a ``with`` block."""
    here = known.KnownService(
        service_url=ready.service_url,
        token=ready.token,
        endpoint_id=ready.endpoint_id,
        data_dir=str(ready.data_dir),
        pid=ready.pid,
        started_at=time.time(),
    )
    with announced(here) if options.announce else nullcontext():
        if options.ready_file is not None:
            write_ready_file(
                options.ready_file,
                {
                    "service_url": ready.service_url,
                    "broker_url": ready.broker_url,
                    "endpoint_id": ready.endpoint_id,
                    "data_dir": str(ready.data_dir),
                    "pid": ready.pid,
                },
            )
        yield


def _tell_thrown_out(console: Console, endpoint: asyncio.Task[None]) -> None:
    if _thrown_out(endpoint) is not None:
        console.print(
            "The endpoint was stopped from elsewhere, or deleted. The service goes on; tasks for the endpoint wait. "
            "To start it again: Ctrl-C, then `afield up`."
        )


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
