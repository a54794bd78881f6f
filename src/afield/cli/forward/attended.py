"""`afield forward` in the foreground of a terminal, until somebody ends it."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Final

import msgspec
import typer

from afield.cli.forward.listening import loopback
from afield.cli.forward.passing import Count, passing
from afield.cli.options import note

__all__ = ["run"]

#: Seconds between two looks of the line that tells how it goes.
_PAUSE_S: Final = 0.2


def run(service: str, port: int, *, as_json: bool) -> None:
    """Listen and pass on until SIGINT or SIGTERM.

    :raises ConfigurationError: the port cannot be had
    """
    asyncio.run(_until_signal(service, port, as_json=as_json))


async def _until_signal(service: str, port: int, *, as_json: bool) -> None:
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    listening = loopback(port)
    port = listening[0].getsockname()[1]
    line = _Line(is_shown=sys.stdout.isatty() and not as_json)
    count = Count(line.changed)
    line.count = count
    async with passing(service, listening, count):
        here = f"http://localhost:{port}"
        if as_json:
            _print({"url": here, "service": service})
        else:
            typer.echo(f"Ready. {here} is {service} now, for programs on this machine. Ctrl-C stops it.")
            sys.stdout.flush()
        if port != 5000:
            note("Published packages look for a service at port 5000 only.")
        await asked_to_stop.wait()
        line.close()
    if as_json:
        _print({"requests": count.requests, "trouble": count.trouble})
    else:
        typer.echo(f"Stopped, after {count.requests} requests.")


def _print(what: object) -> None:
    typer.echo(msgspec.json.encode(what).decode())
    sys.stdout.flush()


class _Line:
    """The last line of the terminal, which tells how it goes."""

    def __init__(self, *, is_shown: bool) -> None:
        self.count: Count | None = None
        self._is_shown = is_shown
        self._told: str | None = None
        self._later: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Something has; it is shown soon."""
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(_PAUSE_S, self._show)

    def close(self) -> None:
        """The line stays as it is, and others follow."""
        if self._later is not None:
            self._later.cancel()
            self._show()
        if self._is_shown:
            typer.echo()
        self._is_shown = False

    def _show(self) -> None:
        self._later = None
        count = self.count
        if count is None:
            return
        told, self._told = self._told, count.trouble
        if count.trouble is not None and count.trouble != told:
            note(f"\r\x1b[K{count.trouble}" if self._is_shown else count.trouble)
        if self._is_shown:
            sys.stdout.write(f"\r\x1b[K{count.requests} requests, {count.under_way} of them under way")
            sys.stdout.flush()
