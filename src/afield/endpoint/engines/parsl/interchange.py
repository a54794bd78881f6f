"""``python -m afield.endpoint.engines.parsl.interchange``: Parsl's interchange, which ends with whoever started it.

By itself it would stay for ever after its user endpoint was killed, and keep the workers of all nodes.
"""

from __future__ import annotations

import os
import runpy
import select
import sys
import threading
import time
from typing import Final

__all__ = ["COMMAND"]

#: How it is started. ``-P``: nothing in the working directory may pass for a module.
COMMAND: Final = (sys.executable, "-P", "-m", "afield.endpoint.engines.parsl.interchange")
_PARSL: Final = "parsl.executors.high_throughput.interchange"
_LOOK_EVERY_S: Final = 5.0


def _end_with(parent: int) -> None:
    """End this process when that one has ended."""
    if sys.platform == "linux":
        poll = select.poll()
        poll.register(os.pidfd_open(parent), select.POLLIN)
        poll.poll()
    else:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
    os._exit(1)


if __name__ == "__main__":
    # Parsl's monitoring, which nobody uses here, loads it if it is installed, for half a second.
    sys.modules["sqlalchemy"] = None  # type: ignore[assignment]
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    runpy.run_module(_PARSL, run_name="__main__", alter_sys=True)
