"""The standard library's process pool: what two processes on one machine can do with nothing in between."""

from __future__ import annotations

import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.protocol import Adapter, main

TITLE = "ProcessPoolExecutor"
REQUIRES: tuple[str, ...] = ()


class Pool(Adapter):
    """``concurrent.futures.ProcessPoolExecutor`` with this Python's default start method."""

    def start(self, workers: int) -> None:
        """Start."""
        self.executor = ProcessPoolExecutor(workers)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """One future."""
        return self.executor.submit(function, argument)

    def stop(self) -> None:
        """End."""
        self.executor.shutdown()

    def version(self) -> str:
        """Python's."""
        return f"Python {platform.python_version()}"


if __name__ == "__main__":
    main(Pool())
