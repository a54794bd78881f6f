"""Jobs to try engines with: how they are made, what they run, and a gate that holds them.

Workers import this module to run its functions.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any
from uuid import uuid4

from afield.serialize import ComputeSerializer, PureSourceTextInspect
from afield.wire.jobs import JOB_VERSION, Job, code_digest, decode_outcome

__all__ = [
    "Gate",
    "append",
    "crash",
    "echo",
    "end_process",
    "fail",
    "kill_process",
    "packed_job",
    "value_of",
    "wait_at_gate",
]

_serializer = ComputeSerializer()
_by_source = ComputeSerializer(strategy_code=PureSourceTextInspect())


def packed_job(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Job:
    """A call of ``function``, ready for an engine, with a task id of its own.

    :param function: of this module or the standard library; or a plain one that imports what it uses, which goes as
        source, since workers cannot import test files
    """
    pack, write = _serializer.pack_buffers, _serializer.serialize
    foreign = isinstance(function, FunctionType) and function.__module__ != __name__
    code = pack([(_by_source if foreign else _serializer).serialize(function)]).encode()
    payload = pack([write(args), write(kwargs)]).encode()
    return Job(JOB_VERSION, str(uuid4()), code_digest(code), code, payload)


def value_of(outcome: bytes) -> Any:
    """What the function returned.

    :raises AssertionError: it raised something; the text is its traceback
    """
    decoded = decode_outcome(outcome)
    assert decoded.error_code is None, decoded.data.decode()
    return _serializer.deserialize(decoded.data.decode())


class Gate:
    """Lets a test hold a job for as long as it wants, and know that it has begun.

    :param directory: for its two named pipes; shared with the workers
    """

    def __init__(self, directory: Path) -> None:
        name = uuid4().hex
        self._paths = str(directory / f"{name}.begun"), str(directory / f"{name}.open")
        self._files = []
        for path in self._paths:
            os.mkfifo(path)
            # For both directions, so that opening never waits for the other side.
            self._files.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    def __del__(self) -> None:
        for file in self._files:
            os.close(file)

    def job(self) -> Job:
        """A job that begins, and then waits for the gate; its value is the process id."""
        return packed_job(wait_at_gate, *self._paths)

    async def has_begun(self) -> None:
        """Return when a job stands at the gate."""
        loop, begun = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._files[0], begun.set)
        try:
            await begun.wait()
        finally:
            loop.remove_reader(self._files[0])
        os.read(self._files[0], 1)

    def open(self) -> None:
        """Let one job go on."""
        os.write(self._files[1], b"!")


# what jobs run


def wait_at_gate(begun: str, opened: str) -> int:
    """Say that it has begun, then wait."""
    # Opened before anybody hears of it, so that the test may go its way as soon as it has opened the gate.
    with Path(opened).open("r+b", buffering=0) as gate:
        with Path(begun).open("wb", buffering=0) as file:
            file.write(b"!")
        gate.read(1)
    return os.getpid()


def echo(value: Any) -> Any:
    """Give back what came."""
    return value


def append(path: str, text: str) -> None:
    """Leave a trace of having run."""
    with Path(path).open("a") as file:
        file.write(text + "\n")


def fail(message: str) -> None:
    """Raise."""
    raise ValueError(message)


def end_process(code: int) -> None:
    """End the worker without a word."""
    os._exit(code)


def kill_process(number: int) -> None:
    """Kill the worker."""
    os.kill(os.getpid(), number)


def crash() -> None:
    """Read where nothing is."""
    ctypes.string_at(0)
