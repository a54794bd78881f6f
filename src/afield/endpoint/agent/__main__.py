"""``python -m afield.endpoint.agent``: the process of a user endpoint. A manager starts it and tells it what to do
through its standard input; see :mod:`afield.endpoint.agent.orders`. It is not for people to start.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from afield.endpoint import assemble
from afield.endpoint.agent.audit import Audit
from afield.endpoint.agent.journal import Journal
from afield.endpoint.agent.loop import Agent
from afield.endpoint.agent.orders import HEADER, Start, decode_order
from afield.endpoint.agent.outbox import Outbox
from afield.endpoint.host.remembered import LastErrors
from afield.endpoint.host.status import STATUS_FILE
from afield.endpoint.host.status_file import AgentFile
from afield.errors import ComputeError, ConfigurationError
from afield.worker import trees

__all__ = ["main"]

logger = logging.getLogger("afield.endpoint")

#: How long an earlier process of the same user endpoint may take to let go of its directory, in seconds.
_LOCK_WITHIN_S: Final = 60
#: How long running tasks may go on when somebody sends SIGTERM, in seconds.
_SIGNAL_GRACE_S: Final = 5.0

#: What sysexits.h calls them.
_EX_CONFIG: Final = 78
_EX_SOFTWARE: Final = 70


def main() -> int:
    """Be a user endpoint; the exit status."""
    audit = Audit(int(sys.argv[2])) if len(sys.argv) > 2 else None
    try:
        pipe = _take_pipe()
        start = _read_start(pipe)
        _log(debug=start.settings.debug)
        _lock(Path(start.directory))
        _shell(start.settings.endpoint_setup, "endpoint_setup")
        try:
            return asyncio.run(_serve(start, pipe, audit))
        finally:
            _teardown(start.settings.endpoint_teardown)
    except ComputeError as error:
        with suppress(OSError):  # the log may be on the very disk that is full
            print(str(error).strip(), file=sys.stderr, flush=True)
        return _EX_CONFIG if isinstance(error, ConfigurationError) else _EX_SOFTWARE


def _take_pipe() -> int:
    """Move the pipe from standard input to a number of our own: tasks that read their input shall not read orders."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def _read_start(pipe: int) -> Start:
    """The first order."""
    size = HEADER.unpack(_read_exactly(pipe, HEADER.size))[0]
    order = decode_order(_read_exactly(pipe, size))
    if not isinstance(order, Start):
        raise ConfigurationError("the manager should say first how to start, and said something else")
    return order


def _read_exactly(pipe: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = os.read(pipe, count - len(data))
        if not more:
            raise ConfigurationError("this is started by an endpoint's manager; start one with `afield endpoint start`")
        data += more
    return data


def _log(*, debug: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def _lock(directory: Path) -> None:
    """Be the only process with this directory for as long as we live: it waits for an earlier one to end."""
    try:
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # closed with the process
    except OSError as error:
        raise _unusable(error) from error
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(_LOCK_WITHIN_S)
    fcntl.flock(handle, fcntl.LOCK_EX)
    signal.alarm(0)


def _unusable(error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{error.filename} cannot be used: {error.strerror}. A user endpoint keeps its state there"
    )


def _too_late(_number: int, _frame: object) -> None:
    raise ConfigurationError(
        f"an earlier process of this user endpoint still runs after {_LOCK_WITHIN_S} s; end it and submit again"
    )


def _shell(commands: str | None, what: str) -> None:
    """Run the owner's commands; they must succeed.

    :raises ConfigurationError: they did not
    """
    if not commands:
        return
    done = subprocess.run(["/bin/sh", "-c", commands], stdin=subprocess.DEVNULL, stdout=2, stderr=2, check=False)
    if done.returncode:
        raise ConfigurationError(f"the commands of {what} ended with exit status {done.returncode}")


def _teardown(commands: str | None) -> None:
    try:
        _shell(commands, "endpoint_teardown")
    except ConfigurationError as error:
        logger.error("%s", error)  # noqa: TRY400 - it is told in one line


async def _serve(start: Start, pipe: int, audit: Audit | None) -> int:
    directory = Path(start.directory)
    engine = assemble.engine(start.settings.engine, directory, start.places)
    if start.lending is not None:
        engine = assemble.lent(engine, start.lending, directory, str(start.facts.get("endpoint_id")), start.person)
    try:
        journal, outbox = Journal(directory / "begun"), Outbox(directory / "outbox")
    except OSError as error:
        raise _unusable(error) from error
    agent = Agent(start, engine, assemble.connector(), journal, outbox, audit=audit)
    if agent.cut_short:
        trees.end_left_behind(start.directory, agent.cut_short)
    orders = asyncio.create_task(_obey(agent, pipe), name="orders")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop, f"it got {number.name}", _SIGNAL_GRACE_S)
    errors = LastErrors()
    logging.getLogger("afield").addHandler(errors)
    status = AgentFile(directory / STATUS_FILE, agent.state, errors)
    agent.changed = errors.changed = status.changed
    try:
        return await agent.run()
    finally:
        agent.changed = errors.changed = lambda: None
        status.write()
        orders.cancel()
        await asyncio.gather(orders, return_exceptions=True)
        if audit is not None:
            audit.close()


async def _obey(agent: Agent, pipe: int) -> None:
    """Hand on what the manager says, until it is gone."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb")
    )
    try:
        while True:
            size = HEADER.unpack(await reader.readexactly(HEADER.size))[0]
            agent.ordered(decode_order(await reader.readexactly(size)))
    except asyncio.IncompleteReadError:
        agent.stop("its manager is gone", _SIGNAL_GRACE_S)
    finally:
        transport.close()


if __name__ == "__main__":
    sys.exit(main())
