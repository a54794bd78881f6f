"""``python -m afield.worker.mpi_pool NODES …``: Parsl's pool of workers for one block of MPI tasks.

Parsl's own way of sharing out the nodes has no end while a task waits for more than are free: it takes that task from
its line and puts it back until Python gives up, and the result that it had in its hand is lost. So here is another one,
under Parsl's name.

:param NODES: how many the block should have
"""

from __future__ import annotations

import pickle
import runpy
import sys
import threading
from typing import Any, Final

from parsl.executors.high_throughput import mpi_resource_management as parsl_mpi

from afield.worker.nodes import Grant, Partition

__all__ = ["NodeScheduler", "nodes_of_block"]

_POOL: Final = "parsl.executors.high_throughput.process_worker_pool"
_SPECIFICATION: Final = "resource_spec"


class NodeScheduler(parsl_mpi.TaskScheduler):
    """Hands a task to the workers when it has its nodes. One thread of Parsl brings tasks, another takes results.

    :param pending_task_q: to the workers
    :param pending_result_q: from them
    """

    nodes: tuple[str, ...] = ()

    def __init__(self, pending_task_q: Any, pending_result_q: Any) -> None:
        super().__init__(pending_task_q, pending_result_q)
        self._lock = threading.Lock()
        self._partition: Partition[dict[str, Any]] = Partition(self.nodes)

    def put_task(self, task: dict[str, Any]) -> None:
        """A task has come."""
        count = task["context"][_SPECIFICATION]["num_nodes"]
        with self._lock:
            self._begin(self._partition.ask(task["task_id"], count, task))

    def get_result(self, block: bool = True, timeout: float | None = None) -> bytes | None:  # noqa: FBT001, FBT002
        """The next result; None: there will be no more."""
        data: bytes | None = self.pending_result_q.get(block, timeout)
        if data is None:
            return None
        result = pickle.loads(data)  # by this machine's own workers
        if result["type"] == "result":
            with self._lock:
                self._begin(self._partition.end(result["task_id"]))
        return data

    def _begin(self, granted: list[Grant[dict[str, Any]]]) -> None:
        for task, nodes in granted:
            task["context"][_SPECIFICATION]["MPI_NODELIST"] = ",".join(nodes)
            self.pending_task_q.put(task)


def nodes_of_block(expected: int) -> tuple[str, ...]:
    """The names of all nodes of the job that this runs in.

    :param expected: how many there should be
    :return: each once, unless they are enough only if one counts as often as it is named
    :raises SystemExit: there are fewer, or nobody says which; with the reason
    """
    scheduler = parsl_mpi.identify_scheduler()
    if scheduler == parsl_mpi.Scheduler.Unknown:
        if expected == 1:
            return ("localhost",)
        sys.exit(
            "afield: neither SLURM_NODELIST nor PBS_NODEFILE is set, so nobody knows the names of this block's "
            f"{expected} nodes: tasks of GlobusMPIEngine can have several only in jobs of Slurm or PBS"
        )
    nodes = tuple(filter(None, parsl_mpi.get_nodes_in_batchjob(scheduler)))
    # PBS names a node once for each rank that its owner planned for there.
    if len(different := tuple(dict.fromkeys(nodes))) >= expected:
        nodes = different
    if len(nodes) < expected:
        sys.exit(
            f"afield: this block has {len(nodes)} nodes ({', '.join(nodes)}), and engine.provider.nodes_per_block says "
            f"{expected}: a task that asks for all would wait for ever"
        )
    return nodes


if __name__ == "__main__":
    NodeScheduler.nodes = nodes_of_block(int(sys.argv.pop(1)))
    parsl_mpi.MPITaskScheduler = NodeScheduler  # type: ignore[misc, assignment]
    runpy.run_module(_POOL, run_name="__main__", alter_sys=True)
