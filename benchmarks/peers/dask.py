"""Dask's distributed scheduler with worker processes on this machine, used through ``Client.map``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.protocol import Adapter, main

TITLE = "Dask"
REQUIRES = ("dask", "distributed", "psutil")


class Dask(Adapter):
    """A local cluster with one thread per worker. ``pure=False``: equal calls are not one call."""

    def start(self, workers: int) -> None:
        """Start."""
        from distributed import Client, LocalCluster

        self.directory = tempfile.mkdtemp(prefix="bench-dask-")
        self.cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            host="127.0.0.1",
            local_directory=self.directory,
        )
        self.client = Client(self.cluster)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """One future."""
        return self.client.submit(function, argument, pure=False)

    def submit_all(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Sequence[Any]:
        """One graph for all: about twice as fast as a ``submit`` each."""
        futures: Sequence[Any] = self.client.map(function, list(arguments), pure=False)
        return futures

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        """All at once."""
        results: list[Any] = self.client.gather(list(handles))
        return results

    def stop(self) -> None:
        """End."""
        self.client.close()
        self.cluster.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def version(self) -> str:
        """Distributed's."""
        return f"distributed {version('distributed')}"


if __name__ == "__main__":
    main(Dask())
