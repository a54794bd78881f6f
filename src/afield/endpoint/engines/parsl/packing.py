"""PURE: a load as HTEX's workers get it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from afield.wire.jobs import JOB_VERSION, Job, encode_job
from afield.worker.bundle_records import BUNDLE_VERSION, Bundle, Door, Parcel, Versions

__all__ = ["pack", "versions"]

_encode = msgspec.msgpack.Encoder().encode


def versions(parsl: str, afield: str) -> Versions:
    """What this endpoint has."""
    return Versions(BUNDLE_VERSION, JOB_VERSION, parsl, afield)


def pack(number: int, jobs: Iterable[Job], mine: Versions, door: Door | None, working_dir: str | None) -> bytes:
    """An encoded bundle.

    :param door: where its worker reports; None: nowhere
    :param working_dir: where jobs run
    """
    known: set[bytes] = set()
    parcels = []
    for job in jobs:
        sent = job
        if job.digest in known:
            sent = msgspec.structs.replace(sent, code=None)
        known.add(job.digest)
        if job.gpus:
            # The worker has its accelerator for as long as it lives, in its environment.
            sent = msgspec.structs.replace(sent, gpus=0)
        parcels.append(Parcel(job.task_id, encode_job(sent), job.timeout_s))
    return _encode(Bundle(mine, number, door, working_dir, parcels))
