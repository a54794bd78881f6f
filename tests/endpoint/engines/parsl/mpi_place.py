"""An MPI engine on this machine: a block whose nodes are mere names, as a job of PBS would name them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from afield.endpoint.settings.engines import MpiSettings
from afield.testing.jobs import packed_job
from afield.wire.jobs import Job

NODES = ("n1", "n2", "n3")
#: Where another would use ssh, this mpiexec starts the processes of all nodes here.
_HERE = "HYDRA_LAUNCHER=fork"


def settings(directory: Path, nodes: int = 3, **more: Any) -> MpiSettings:
    """One block of so many nodes."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "nodes"
    file.write_text("".join(f"{name}\n" for name in NODES[:nodes]))
    keys: dict[str, Any] = {
        "address": "127.0.0.1",
        "provider": {
            "type": "LocalProvider", "nodes_per_block": nodes, "init_blocks": 1, "max_blocks": 1,
            "worker_init": f"export {_HERE} PBS_NODEFILE={file} PATH={Path(sys.executable).parent}:$PATH",
        },
    }  # fmt: skip
    return MpiSettings(**{**keys, **more})


def asking(job: Job, **specification: Any) -> Job:
    """The same job with a resource_specification."""
    return msgspec.structs.replace(job, resource_specification=specification)


def mpi_job(function: Any, *args: Any, **specification: Any) -> Job:
    """A call with a resource_specification."""
    return asking(packed_job(function, *args), **specification)
