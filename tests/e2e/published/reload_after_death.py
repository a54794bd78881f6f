"""A program dies; started again with the task group's id, it collects the results."""

import os
import signal
import sys
import time
import typing as t

from globus_compute_sdk import Executor
from globus_compute_sdk.sdk.executor import ComputeFuture

ep_id = sys.argv[1]
task_group_id = sys.argv[2] if len(sys.argv) > 2 else None


def task_kernel(num):
    return f"your Globus Compute logic result, from task: {num}"


with Executor(endpoint_id=ep_id) as gce:
    futures: t.Iterable[ComputeFuture]
    if task_group_id:
        print(f"Reloading tasks from Task Group ID: {task_group_id}")
        gce.task_group_id = task_group_id
        futures = gce.reload_tasks()
    else:
        num_tasks = 5
        futures = [gce.submit(task_kernel, i + 1) for i in range(num_tasks)]
        while gce.task_count_submitted < num_tasks:
            time.sleep(0.01)
        # The published guide prints it before anything was sent; it is known by now in any case.
        print(f"group {gce.task_group_id}", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

results, exceptions = [], []
for f in futures:
    try:
        results.append(f.result(timeout=60))
    except Exception as exc:
        exceptions.append(exc)
print("Results:\n ", "\n  ".join(results))
assert not exceptions
assert sorted(results) == [f"your Globus Compute logic result, from task: {n}" for n in range(1, 6)]
print("done")
