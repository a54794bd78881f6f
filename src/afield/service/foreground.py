"""A service in the foreground of a terminal: what `afield serve` and `afield up` have in common."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from afield.errors import ConfigurationError
from afield.sdk.login import known
from afield.service.operate.logs import log_to_stderr

__all__ = ["announced", "log_to_stderr", "stop_signal", "until", "write_ready_file"]


def stop_signal() -> asyncio.Event:
    """Is set by Ctrl-C and by SIGTERM, from now on."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    return asked_to_stop


async def until(asked_to_stop: asyncio.Event, *parts: Coroutine[Any, Any, object]) -> None:
    """Wait until somebody asks to stop, or a part ends; raise what it ended with. The other parts are cancelled."""
    waiting = [asyncio.ensure_future(asked_to_stop.wait()), *map(asyncio.ensure_future, parts)]
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@contextmanager
def announced(service: known.KnownService) -> Iterator[Path]:
    """Let programs of this person find the service, for the length of a ``with`` block; gives the file."""
    path = known.publish(service)
    try:
        yield path
    finally:
        known.forget(service.service_url, pid=service.pid)


def write_ready_file(path: Path, said: Mapping[str, object]) -> None:
    """The file appears whole, for somebody is waiting for it.

    :raises ConfigurationError: it cannot be written
    """
    half = path.with_name(f".{path.name}.new")
    try:
        half.write_text(json.dumps(said) + "\n")
        half.replace(path)
    except OSError as error:
        raise ConfigurationError(f"--ready-file {path} cannot be written: {error.strerror}") from error
