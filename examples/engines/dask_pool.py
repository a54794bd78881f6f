"""A Dask cluster as the executor of an endpoint: one that is there already, or one on this machine."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

from distributed import Client, LocalCluster


class DaskPool(Executor):
    """Runs calls on a Dask cluster.

    :param address: of its scheduler, such as ``tcp://10.1.2.3:8786``; None: make a cluster on this machine
    :param workers: processes of a cluster on this machine
    """

    def __init__(self, address: str | None = None, workers: int = 2) -> None:
        self._cluster = None
        if address is None:
            self._cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
        self._client = Client(address or self._cluster)
        self._executor = self._client.get_executor(pure=False)  # two equal calls are two calls
        #: what the endpoint looks at to know how many tasks run at once
        self.num_workers = sum(self._client.nthreads().values())

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run one call."""
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """End the client, and the cluster if it is ours."""
        self._executor.shutdown(wait=wait)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()
