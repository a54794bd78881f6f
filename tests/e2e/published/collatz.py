"""Many calls, waited for together; and whether one is done."""

import sys

from globus_compute_sdk import Executor


def generate_collatz_sequence(N: int, sequence_limit=10_000):
    seq = [N]
    while N != 1 and len(seq) < sequence_limit:
        if N % 2:
            N = 3 * N + 1
        else:
            N //= 2  # okay because guaranteed integer result
        seq.append(N)
    return seq


ep_id = sys.argv[1]

generate_from = 1
generate_through = 100
futs, results, disproof_candidates = [], [], []
with Executor(endpoint_id=ep_id) as gce:
    for n in range(generate_from, generate_through + 1):
        futs.append(gce.submit(generate_collatz_sequence, n))
    print("Tasks all submitted; waiting for results")
    future = gce.submit(generate_collatz_sequence, 1234567890)
    print("Status: ", future.done())
    assert future.done() in (True, False)

assert future.done()
for f in futs:
    r = f.result()
    results.append(r)
    if r[-1] != 1:
        disproof_candidates.append(r[0])

assert len(results) == 100
assert results[26][:3] == [27, 82, 41]
assert not disproof_candidates
print("done")
