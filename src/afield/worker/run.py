"""One job: read it, call the function, write what became of it. Bytes in, bytes out.

Two rules. Whatever a task does becomes an outcome: nothing that it raises, ``SystemExit`` included, ends the worker.
What is meant for the worker itself ends it: ``KeyboardInterrupt``, and :class:`WorkerStop` of the worker's own signal
handlers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine
from functools import lru_cache
from types import CoroutineType
from typing import Any, Final

import msgspec

from afield.errors import DeserializationError, SerializationError
from afield.serialize import ComputeSerializer
from afield.serialize.buffers import unpack_buffers
from afield.serialize.identities import begin_task
from afield.wire.jobs import Job, Outcome, decode_job, encode_outcome
from afield.worker.allowance import Allowance
from afield.worker.environment import details
from afield.worker.functions import FunctionCache
from afield.worker.published import answer_published_imports
from afield.worker.sandbox import Surroundings, make_directory
from afield.worker.usage import Meter

__all__ = ["WorkerStop", "run"]

#: the published code of everything that goes wrong while a task runs
FAILED: Final = "RemoteExecutionError"
TOO_LARGE: Final = "MaxResultSizeExceeded"

_NOTHING: Final = msgspec.Raw(msgspec.msgpack.encode(None))


class WorkerStop(SystemExit):
    """Raised by a signal handler of the worker to end it now, whichever task it is running."""


def run(job: bytes, functions: FunctionCache | None = None, *, alone: bool = True, meter: Meter | None = None) -> bytes:
    """Run one job.

    A function that returns a coroutine, as ``async def`` functions do, has it run to its end in an event loop of its
    own; its value is the result.

    :param job: an encoded :class:`~afield.wire.jobs.Job`
    :param functions: what this worker keeps between jobs; None: nothing
    :param alone: whether this process runs one task at a time. Environment and working directory belong to the whole
        process; where several tasks share it, they are left alone, and a task's directory is only made
    :param meter: measures what the task uses; None: nobody does
    :returns: an encoded :class:`~afield.wire.jobs.Outcome`
    :raises KeyboardInterrupt: somebody wants the worker to end
    :raises WorkerStop: likewise
    """
    began = time.time_ns()
    if meter is not None:
        meter.start()
    outcome = _outcome(job, FunctionCache(1) if functions is None else functions, began, alone=alone)
    if meter is not None:
        cpu_us, memory = meter.stop()
        outcome = msgspec.structs.replace(outcome, cpu_us=cpu_us, memory=memory)
    return encode_outcome(outcome)


def _outcome(job: bytes, functions: FunctionCache, began: int, *, alone: bool) -> Outcome:
    task_id = ""
    try:
        decoded = decode_job(job)
        task_id = decoded.task_id
        value = _result(decoded, functions, alone=alone)
        if len(value) > decoded.result_limit:
            return _too_large(decoded, len(value), began)
        return Outcome(task_id, value.encode(), None, "", None, began, time.time_ns(), details())
    except (KeyboardInterrupt, WorkerStop):
        raise
    except BaseException as error:  # noqa: BLE001 - rule one
        return _failed(task_id, error, began)


def _result(job: Job, functions: FunctionCache, *, alone: bool) -> str:
    if job.code is not None:
        functions.keep(job.digest, job.code)  # first of all, for the sender will believe that it is here
    if alone and Allowance.is_needed(job):
        # Around the reading too: what it loads looks at the environment once and for all.
        with Allowance(job):
            return _read_and_call(job, functions, alone=True)
    return _read_and_call(job, functions, alone=alone)


def _read_and_call(job: Job, functions: FunctionCache, *, alone: bool) -> str:
    begin_task()
    answer_published_imports()
    serializer = _serializer(job.allowed_serializers)
    function = functions.get(job.digest, serializer)
    args, kwargs = _arguments(job, serializer)
    if not alone:
        make_directory(job)
        return _call(job, function, args, kwargs, functions)
    with Surroundings(job):
        return _call(job, function, args, kwargs, functions)


def _call(
    job: Job,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    functions: FunctionCache,
) -> str:
    try:
        value = function(*args, **kwargs)
        if type(value) is CoroutineType:
            value = _run_coroutine(value)
    finally:
        functions.used(job.digest, function)
    try:
        return ComputeSerializer.serialize_from_list(value, job.result_serializers)
    except SerializationError as error:
        # With what it was caused by: an error in a method of the result is the user's to see.
        raise SerializationError(
            f"the function ended well, but its result cannot be sent: {error}"
        ) from error.__cause__


@lru_cache(maxsize=16)
def _serializer(allowed: tuple[str, ...] | None) -> ComputeSerializer:
    return ComputeSerializer(allowed_deserializer_types=allowed)


def _arguments(job: Job, serializer: ComputeSerializer) -> tuple[tuple[Any, ...], dict[str, Any]]:
    buffers = unpack_buffers(job.payload.decode())
    if len(buffers) != 2:
        raise DeserializationError(
            f"the arguments of a task are two serialized values, positional and keyword; {len(buffers)} came"
        )
    args, kwargs = (serializer.deserialize(buffer) for buffer in buffers)
    return args, kwargs


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def _too_large(job: Job, size: int, began: int) -> Outcome:
    message = (
        f"the result has {size} characters once packed, and this endpoint sends at most {job.result_limit}. Return "
        "less, or write it where you can fetch it from, for instance a shared file system, and return its place"
    )
    text = f"{TOO_LARGE}: {message}".encode()
    return Outcome(job.task_id, text, TOO_LARGE, message, None, began, time.time_ns(), details())


def _failed(task_id: str, error: BaseException, began: int) -> Outcome:
    kinds: tuple[str, ...] = ()
    try:
        # Where nothing fails, none of this is loaded.
        from afield.serialize.exceptions import pack_exception
        from afield.worker.failure import kinds_of, one_line, traceback_text

        kinds = kinds_of(error)
        text = traceback_text(error).encode(errors="backslashreplace")
        message = one_line(error).encode(errors="backslashreplace").decode()
        packed = pack_exception(error)
        return Outcome(task_id, text, FAILED, message, packed, began, time.time_ns(), details(), kinds)
    except (KeyboardInterrupt, WorkerStop):
        raise
    except BaseException:  # noqa: BLE001 - rule one, once more: what is raised may be of any make
        message = f"the task raised {type(error).__name__}, and what it raised cannot be put into words"
        print(f"afield: task {task_id}: {message}", file=sys.stderr)
        return Outcome(task_id, message.encode(), FAILED, message, None, began, time.time_ns(), _NOTHING, kinds)
