"""Our engine, as an agent feeds it: as many jobs as it wants, topped up whenever one ends."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from afield.endpoint.engines.parsl.engine import HtexEngine
from afield.endpoint.settings import HtexSettings
from afield.ids import new_ids
from afield.serialize import ComputeSerializer
from afield.wire.jobs import JOB_VERSION, Job, code_digest, decode_outcome
from benchmarks.htex.feeding import WORKERS, measure
from benchmarks.work import same


async def _through(engine: HtexEngine, jobs: Sequence[Job]) -> list[bytes]:
    """Run all; their outcomes in order."""
    over = asyncio.get_running_loop().create_future()
    outcomes: dict[str, bytes] = {}
    waiting = deque(jobs)
    running = 0

    def top_up() -> None:
        nonlocal running
        while waiting and running < engine.capacity:
            running += 1
            engine.submit(waiting.popleft()).add_done_callback(ended)

    def ended(future: asyncio.Future[bytes]) -> None:
        nonlocal running
        running -= 1
        outcome = future.result()
        outcomes[decode_outcome(outcome).task_id] = outcome
        top_up()
        if not running and not over.done():
            over.set_result(None)

    top_up()
    await over
    return [outcomes[job.task_id] for job in jobs]


def main() -> None:
    """Measure."""
    serializer = ComputeSerializer()
    code = serializer.pack_buffers([serializer.serialize(same)]).encode()
    digest = code_digest(code)
    nothing = serializer.serialize({})
    loop = asyncio.new_event_loop()

    def run(numbers: Sequence[int]) -> list[Any]:
        jobs = []
        for number, task_id in zip(numbers, new_ids(len(numbers)), strict=True):
            payload = serializer.pack_buffers([serializer.serialize((number,)), nothing]).encode()
            jobs.append(Job(JOB_VERSION, task_id, digest, code, payload))
        outcomes = loop.run_until_complete(_through(engine, jobs))
        return [serializer.deserialize(decode_outcome(outcome).data.decode()) for outcome in outcomes]

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-htex-") as directory:
        settings = HtexSettings(
            max_workers_per_node=WORKERS,
            address="127.0.0.1",
            provider={"type": "LocalProvider", "init_blocks": 1, "max_blocks": 1},
        )
        engine = HtexEngine(settings, Path(directory))
        loop.run_until_complete(engine.start())
        try:
            measure(run, began, f"parsl {version('parsl')}")
        finally:
            loop.run_until_complete(engine.stop(5))


if __name__ == "__main__":
    main()
