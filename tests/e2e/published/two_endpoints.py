"""A workflow over two endpoints, results of one being arguments of the other. (Here, both are the same one.)"""

import sys
from concurrent.futures import as_completed

from globus_compute_sdk import Executor


def func1(x: int) -> int:
    return x + 1


def func2(x: int) -> int:
    return 10 * x


polaris_ep_id = sys.argv[1]
with Executor(polaris_ep_id) as gce:
    polaris_futs = [gce.submit(func1, i) for i in range(100)]

midway_ep_id = sys.argv[1]
with Executor(midway_ep_id) as gce:
    midway_futs = []
    for f in as_completed(polaris_futs):
        midway_futs.append(gce.submit(func2, f.result()))

fut = midway_futs[0]
print(f"Result: {fut.result()}")
print(f"Status: {fut.done()}")
print(fut.task_id)
assert sorted(f.result() for f in midway_futs) == [10 * (n + 1) for n in range(100)]
print("done")
