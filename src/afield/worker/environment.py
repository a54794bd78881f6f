"""What Python this is, for those who wonder why something cannot be read here."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Final

import msgspec

__all__ = ["details", "version_of"]

_UNKNOWN: Final = "unknown"

#: Where batch systems and engines say in which of their jobs and blocks a process runs.
_PLACES: Final = {
    "job_id": ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "COBALT_JOBID", "JOB_ID"),
    "block_id": ("PARSL_WORKER_BLOCK_ID",),
}


def details() -> msgspec.Raw:
    """The worker's environment under the published names, and where it is, as MessagePack; made once per process."""
    return _details(os.getpid())


@cache
def _details(pid: int) -> msgspec.Raw:
    afield = version_of("afield")
    return msgspec.Raw(
        msgspec.msgpack.encode(
            {
                "os": _system(),
                "hostname": os.uname().nodename if hasattr(os, "uname") else "",
                "worker_pid": pid,
                "python_version": ".".join(map(str, sys.version_info[:3])),
                "dill_version": version_of("dill"),
                # The published name of what did the work.
                "globus_compute_sdk_version": afield,
                "afield_version": afield,
                **_place(),
            }
        )
    )


def _place() -> dict[str, str]:
    """The batch job and the block, where there are any."""
    found = {what: next(filter(None, map(os.environ.get, names)), None) for what, names in _PLACES.items()}
    return {what: value for what, value in found.items() if value is not None}


def _system() -> str:
    if not hasattr(os, "uname"):
        return sys.platform
    system = os.uname()
    return f"{system.sysname}-{system.release}-{system.machine}"


def version_of(distribution: str) -> str:
    """Of what is installed here; ``unknown`` if nothing says so."""
    # importlib.metadata says the same, and takes 20 ms to import.
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208 - pathlib takes 5 ms to import
        except OSError:
            continue
        for name in names:
            if name.startswith(f"{distribution}-") and name.endswith(".dist-info"):
                return name.removeprefix(f"{distribution}-").removesuffix(".dist-info")
    return _UNKNOWN
