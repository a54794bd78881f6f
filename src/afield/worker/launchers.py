"""What a task that starts MPI programs needs beside other tasks: the variables that Parsl's worker sets for it, and an
end that its launcher hears of.

A launcher that is killed cannot tell the ranks on other nodes. Those of Slurm then run on until the job ends: its
daemons hold them, not ``srun``. Asked to end, every launcher ends its ranks first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import psutil

__all__ = ["ask_to_end", "variables"]

#: Says that Parsl's worker has given nodes to what it runs.
_NODES: Final = "PARSL_MPI_NODELIST"
_PREFIX: Final = "PARSL_"
#: Those of the worker, which its child has anyway.
_WORKERS_OWN: Final = "PARSL_WORKER_"
#: Names of programs that start ranks.
_LAUNCHERS: Final = frozenset({"srun", "aprun", "mpiexec", "mpiexec.hydra", "mpirun", "prterun", "prun", "jsrun"})
#: How often they are asked to end, and how long, in seconds, each time is waited: ``srun`` may not hear what it is told
#: while it starts its ranks.
_TIMES: Final = 8
_WITHIN_S: Final = 1.0


def variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What Parsl's worker has set for the task that it has; empty: it is none with nodes of its own."""
    if _NODES not in environment:
        return {}
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_PREFIX) and not name.startswith(_WORKERS_OWN)
    }


def ask_to_end(processes: Iterable[psutil.Process]) -> None:
    """Have those that are launchers end their ranks, and wait until they have."""
    import psutil  # takes 20 ms to import, and is rarely needed

    asked = []
    for process in processes:
        with suppress(psutil.Error):  # it has ended
            if process.name() in _LAUNCHERS:
                asked.append(process)
    for _ in range(_TIMES):
        for process in asked:
            with suppress(psutil.Error):  # or is another user's
                process.terminate()
        _, asked = psutil.wait_procs(asked, timeout=_WITHIN_S)
        if not asked:
            return
