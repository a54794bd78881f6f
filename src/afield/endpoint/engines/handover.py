"""PURE: jobs as a worker process gets them: without the code that it has, and with what its engine chose for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec

from afield.endpoint.engines.known import KnownCode
from afield.endpoint.engines.line import Item, Needs
from afield.wire.jobs import Job, encode_job

__all__ = ["HasJob", "bodies"]

_encode = msgspec.msgpack.Encoder().encode


class HasJob(Protocol):
    """Whatever an engine keeps of a job."""

    @property
    def job(self) -> Job:
        """The job."""


J = TypeVar("J", bound=HasJob)


def bodies(items: Iterable[Item[J]], known: KnownCode) -> list[bytes]:
    """Encoded jobs, one for each item.

    :param known: what the worker has
    """
    found = []
    for item in items:
        job = item.job.job
        if item.needs is not None or job.memory is not None:
            found.append(encode_job(_with_devices(job, item.needs)))
        elif job.digest in known:
            # The fields of a Job in their order, as far as a worker that gives nothing beside itself looks at them; a
            # record without its code would cost twice as much to make.
            found.append(_encode((
                job.version, job.task_id, job.digest, None, job.payload, job.result_serializers,
                job.resource_specification, job.allowed_serializers, job.sandbox, job.result_limit,
            )))  # fmt: skip
        else:
            found.append(encode_job(job))
    return found


def _with_devices(job: Job, needs: Needs | None) -> Job:
    """The job with the names of its accelerators, which its worker learns from it."""
    if needs is None or not needs.devices:
        return job
    return msgspec.structs.replace(job, accelerators=tuple(needs.devices))
