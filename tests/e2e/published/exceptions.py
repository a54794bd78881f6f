"""What a task raises is raised where its result is asked for."""

import sys

from globus_compute_sdk import Executor


def generate_collatz_sequence(N: int, sequence_limit=100):
    seq = [N]
    while N != 1 and len(seq) < sequence_limit:
        if N % 2:
            N = 3 * N + 1
        else:
            N //= 2
        seq.append(N)
    if N != 1:
        raise ValueError(f"Sequence not terminated in {sequence_limit} steps")
    return seq


with Executor(endpoint_id=sys.argv[1]) as gce:
    future = gce.submit(generate_collatz_sequence, 1234567890)

try:
    print(future.result())
except Exception as exc:
    print(f"Oh no!  The task raised an exception: {exc}")
    assert "Sequence not terminated in 100 steps" in str(exc)
else:
    raise SystemExit("nothing was raised")
print("done")
