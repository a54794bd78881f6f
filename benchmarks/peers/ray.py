"""Ray on this machine, with tasks (not actors) and without its dashboard."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.protocol import Adapter, main

TITLE = "Ray"
REQUIRES = ("ray", "psutil")

#: For the objects under way; Ray would take a third of the memory.
OBJECT_STORE_BYTES = 512 * 1024 * 1024


class Ray(Adapter):
    """A local Ray with ``workers`` CPUs."""

    def start(self, workers: int) -> None:
        """Start."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # Everything is on loopback; with it Ray would leave a token in the home directory.
        os.environ["RAY_AUTH_MODE"] = "disabled"
        import ray

        self.ray = ray
        # Its sockets live here, and their paths must be short.
        self.directory = tempfile.mkdtemp(prefix="bench-ray-", dir="/tmp")
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=self.directory,
            _node_ip_address="127.0.0.1",
        )
        self.remotes: dict[Any, Any] = {}

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """One object reference."""
        remote = self.remotes.get(function)
        if remote is None:
            remote = self.remotes[function] = self.ray.remote(function)
        return remote.remote(argument)

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        """All at once."""
        results: list[Any] = self.ray.get(list(handles))
        return results

    def stop(self) -> None:
        """End."""
        self.ray.shutdown()
        shutil.rmtree(self.directory, ignore_errors=True)

    def version(self) -> str:
        """Ray's."""
        return f"ray {version('ray')}"


if __name__ == "__main__":
    main(Ray())
