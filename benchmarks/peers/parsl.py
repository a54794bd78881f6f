"""Parsl's HighThroughputExecutor on this machine, without encryption and with its workers fetching ahead: its fastest
settings for small tasks.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from benchmarks.protocol import Adapter, main

TITLE = "Parsl HTEX"
REQUIRES = ("parsl", "psutil")


class Parsl(Adapter):
    """A data flow kernel with one block of workers."""

    def start(self, workers: int) -> None:
        """Start."""
        import parsl
        from parsl.config import Config
        from parsl.executors import HighThroughputExecutor
        from parsl.providers import LocalProvider

        self.parsl = parsl
        self.directory = tempfile.mkdtemp(prefix="bench-parsl-")
        executor = HighThroughputExecutor(
            label="htex",
            address="127.0.0.1",
            loopback_address="127.0.0.1",
            max_workers_per_node=workers,
            prefetch_capacity=100,
            encrypted=False,
            provider=LocalProvider(init_blocks=1, max_blocks=1),
        )
        config = Config(executors=[executor], run_dir=self.directory, usage_tracking=0, initialize_logging=False)
        self.kernel = parsl.load(config)
        self.apps: dict[Any, Any] = {}

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """One app future."""
        app = self.apps.get(function)
        if app is None:
            app = self.apps[function] = self.parsl.python_app(function)
        return app(argument)

    def stop(self) -> None:
        """End."""
        self.kernel.cleanup()
        self.parsl.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def version(self) -> str:
        """Parsl's."""
        return f"parsl {version('parsl')}"


if __name__ == "__main__":
    main(Parsl())
