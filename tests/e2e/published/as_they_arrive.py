"""Results in the order of submission, and as they arrive."""

import concurrent.futures
import sys

from globus_compute_sdk import Executor


def double(x):
    return f"{x} -> {x * 2}"


def slow_double(x):
    import random
    import time

    time.sleep(x * random.random() / 100)
    return f"{x} -> {x * 2}"


with Executor(endpoint_id=sys.argv[1]) as gce:
    futs = [gce.submit(double, i) for i in range(10)]
    results = [f.result() for f in futs]
    print("Results:", results)
    assert results == [f"{i} -> {i * 2}" for i in range(10)]

    futs = [gce.submit(slow_double, i) for i in range(10, 20)]
    received = []
    for f in concurrent.futures.as_completed(futs):
        print("Received:", f.result())
        received.append(f.result())
assert sorted(received) == [f"{i} -> {i * 2}" for i in range(10, 20)]
print("done")
