"""One call, and its future."""

import sys

from globus_compute_sdk import Executor


def add(a: int, b: int) -> int:
    return a + b


gce = Executor(endpoint_id=sys.argv[1])
fut = gce.submit(add, 1, 2)
assert fut.result() == 3
assert len(fut.task_id) == 36
gce.shutdown()
gce.shutdown()
print("done")
