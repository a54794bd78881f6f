"""The published engine, as its endpoint feeds it: everything at once. Runs in an environment of its own."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Task
from globus_compute_endpoint.engines import GlobusComputeEngine
from globus_compute_endpoint.engines.base import GCFuture
from globus_compute_sdk.serialize import ComputeSerializer
from parsl.providers import LocalProvider

from benchmarks.htex.feeding import WORKERS, measure
from benchmarks.work import same


def main() -> None:
    """Measure."""
    serializer = ComputeSerializer()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-htex-") as directory:
        os.chdir(directory)
        engine = GlobusComputeEngine(
            address="127.0.0.1",
            max_workers_per_node=WORKERS,
            provider=LocalProvider(init_blocks=1, max_blocks=1),
        )
        engine.start(endpoint_id=uuid.uuid4(), run_dir=directory)
        code = serializer.serialize(same)
        nothing = serializer.serialize({})

        def run(numbers: Sequence[int]) -> list[Any]:
            futures = []
            for number in numbers:
                task_id = uuid.uuid4()
                buffer = serializer.pack_buffers([code, serializer.serialize((number,)), nothing])
                future = GCFuture(task_id)
                packed = messagepack.pack(Task(task_id=task_id, task_buffer=buffer))
                engine.submit(future, packed, resource_specification={})
                futures.append(future)
            return [serializer.deserialize(messagepack.unpack(future.result()).data) for future in futures]

        try:
            measure(run, began, f"{version('globus-compute-endpoint')}, parsl {version('parsl')}")
        finally:
            engine.shutdown()


if __name__ == "__main__":
    main()
