"""The first example of the guide."""

import sys

from globus_compute_sdk import Executor


def double(x):
    return x * 2


tutorial_endpoint_id = sys.argv[1]
with Executor(endpoint_id=tutorial_endpoint_id) as gce:
    fut = gce.submit(double, 7)
    print(fut.result())
    assert fut.result() == 14
print("done")
