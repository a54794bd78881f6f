"""What an endpoint hands to a worker, and what comes back: bytes both ways.

This is all that an engine moves, so it is small and versioned: a worker of another version says so in one sentence.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import msgspec

from afield.errors import WireError
from afield.wire.malformed import MALFORMED

__all__ = ["JOB_VERSION", "Job", "Outcome", "code_digest", "decode_job", "decode_outcome", "encode_job",
           "encode_outcome"]  # fmt: skip

#: Goes up whenever a worker of the previous version could misread a job.
JOB_VERSION: Final = 2


class Job(msgspec.Struct, frozen=True, array_like=True):
    """One call, ready to run."""

    version: int
    task_id: str
    #: names the function's code; the same digest means the same code
    digest: bytes
    #: the function, packed; None where the sender knows that this worker has it
    code: bytes | None
    #: the arguments, packed
    payload: bytes
    #: import paths of strategies for the result, tried in order; empty: the default
    result_serializers: tuple[str, ...] = ()
    resource_specification: dict[str, Any] | None = None
    #: strategies that may be read (reference: wire contract section 6, allow-list); None: all
    allowed_serializers: tuple[str, ...] | None = None
    #: a directory of its own for this task, made by the worker; None: the worker's
    sandbox: str | None = None
    #: the longest serialized value that may go back, in characters
    result_limit: int = 10 * 1024 * 1024
    #: seconds that it may run, from its beginning; None: for ever. The engine sees to it
    timeout_s: float | None = None
    #: processors that it needs
    cores: int = 1
    #: bytes that it may use; None: no bound
    memory: int | None = None
    #: accelerators that it needs
    gpus: int = 0
    #: the accelerators that it has, by name; its engine says so
    accelerators: tuple[str, ...] = ()
    #: variables that it finds in its environment beside the worker's; whoever holds the worker says so
    environment: dict[str, str] | None = None


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """How a job ended."""

    task_id: str
    #: the serialized value, or the traceback as UTF-8 text
    data: bytes
    #: None when it went well; else one of the published error codes
    error_code: str | None
    #: one line for people
    message: str
    #: the exception, serialized, where it could be
    exception: bytes | None
    began_ns: int
    ended_ns: int
    #: the worker's environment, already MessagePack, so that it is made once per process
    details: msgspec.Raw
    #: of a function that raised: the classes of what it raised, as ``module.qualified name``, itself first
    kinds: tuple[str, ...] = ()
    #: processor time that it used, in microseconds; None: nobody measured
    cpu_us: int | None = None
    #: the most memory that it had at once, in bytes
    memory: int | None = None


_encode = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(Job).decode
_outcome = msgspec.msgpack.Decoder(Outcome).decode


def code_digest(code: bytes) -> bytes:
    """The 16 bytes that name a function's code."""
    return blake2b(code, digest_size=16).digest()


def encode_job(job: Job) -> bytes:
    """As bytes."""
    return _encode(job)


def decode_job(body: bytes) -> Job:
    """As a record.

    :raises WireError: when it is not a job of this version
    """
    try:
        job = _job(body)
    except MALFORMED as error:
        raise WireError(f"this is not a job that a worker of this version can read: {error}") from error
    if job.version != JOB_VERSION:
        raise WireError(
            f"the endpoint sends jobs of version {job.version} and this worker reads version {JOB_VERSION}: "
            "install the same version of afield in both environments"
        )
    return job


def encode_outcome(outcome: Outcome) -> bytes:
    """As bytes."""
    return _encode(outcome)


def decode_outcome(body: bytes) -> Outcome:
    """As a record.

    :raises WireError: when it is not an outcome of this version
    """
    try:
        return _outcome(body)
    except MALFORMED as error:
        raise WireError(f"a worker answered with something that is not an outcome: {error}") from error
