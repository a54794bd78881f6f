"""What people wrote because there was no map."""

import sys

from globus_compute_sdk import Executor


def power(base, exponent=2):
    return base**exponent


def submit_all(fxexec, fn, *fn_args_kwargs):
    return [fxexec.submit(fn, *a, **kw) for a, kw in fn_args_kwargs]


with Executor(sys.argv[1]) as gce:
    futs = submit_all(gce, power, ((2,), {}), ((2,), {"exponent": 10}))
    assert [f.result() for f in futs] == [4, 1024]
    assert list(gce.map(power, range(4))) == [0, 1, 4, 9]
print("done")
