"""One job in a process that belongs to somebody else's pool: Dask, Ray, MPI, or a pool of the standard library.

The pool calls :func:`run_job`, by its name, with bytes; so its workers must be able to import this, and nothing more.
"""

from __future__ import annotations

import threading

from afield.worker.functions import FunctionCache
from afield.worker.run import run
from afield.worker.usage import Meter

__all__ = ["run_job"]

_functions = FunctionCache()
_meter = Meter()


def run_job(job: bytes) -> bytes:
    """Run an encoded Job; its encoded Outcome.

    In the main thread of its process a task has environment and working directory for itself. In any other, there may
    be tasks beside it, and both are left alone.
    """
    if threading.current_thread() is threading.main_thread():
        return run(job, _functions, meter=_meter)
    return run(job, _functions, alone=False)
