"""What it costs to run a task: the worker's own work, and the engine with two worker processes."""

from __future__ import annotations

import asyncio
from collections import deque

from afield.endpoint.engines.process import ProcessPoolEngine
from afield.ids import new_ids
from afield.wire.jobs import JOB_VERSION, Job, code_digest, decode_outcome, encode_job
from afield.worker.functions import FunctionCache
from afield.worker.run import run
from benchmarks.breakdown.parts import Amount, Figure, code_of_same, payload_of, timed, timed_async

__all__ = ["engine", "worker"]


def worker(amount: Amount) -> Figure:
    """Read a job, call the function, write the outcome; the function is known already."""
    code, payload = code_of_same(), payload_of(7)
    functions = FunctionCache(100)
    digest = code_digest(code)
    run(encode_job(Job(JOB_VERSION, "first", digest, code, payload)), functions)
    job = encode_job(Job(JOB_VERSION, "again", digest, None, payload))
    if decode_outcome(run(job, functions)).error_code is not None:
        raise RuntimeError("the worker does not run the benchmark's function")
    return timed(amount, lambda _: run(job, functions))


def engine(amount: Amount) -> Figure:
    """There and back through the worker processes, as many ahead as the engine wants."""
    return asyncio.run(_engine(amount))


async def _engine(amount: Amount) -> Figure:
    code, payload = code_of_same(), payload_of(7)
    digest = code_digest(code)
    processes = ProcessPoolEngine(max_workers=2)
    await processes.start()

    async def one(task_id: str) -> None:
        outcome = decode_outcome(await processes.submit(Job(JOB_VERSION, task_id, digest, code, payload)))
        if outcome.error_code is not None:
            raise RuntimeError(f"the worker does not run the benchmark's function: {outcome.message}")

    async def many() -> None:
        # As the agent does it: as many as the engine wants, topped up whenever one ends.
        over = asyncio.get_running_loop().create_future()
        waiting = deque(new_ids(amount.tasks))
        running = 0

        def top_up() -> None:
            nonlocal running
            while waiting and running < processes.capacity:
                running += 1
                processes.submit(Job(JOB_VERSION, waiting.popleft(), digest, code, payload)).add_done_callback(ended)

        def ended(future: asyncio.Future[bytes]) -> None:
            nonlocal running
            running -= 1
            decode_outcome(future.result())
            top_up()
            if not running:
                over.set_result(None)

        top_up()
        await over

    ids = new_ids(amount.calls + 20)
    try:
        await asyncio.gather(*map(one, new_ids(20)))
        return await timed_async(amount, many, lambda i: one(ids[i]))
    finally:
        await processes.stop(5)
