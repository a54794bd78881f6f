"""A function that is registered beforehand is called by its id, by others too if it is public."""

import sys

from globus_compute_sdk import Client, Executor


def some_processor(*args, **kwargs):
    return ["some", "result", args, kwargs]


def hello_world():
    return "Hello World!"


gce = Executor()
fn_id = gce.register_function(some_processor)
print(f"registered: {fn_id}")
gce.endpoint_id = sys.argv[1]
future = gce.submit_to_registered_function(fn_id, args=(1,), kwargs={"b": 2})
assert future.result() == ["some", "result", (1,), {"b": 2}]
try:
    gce.register_function(some_processor)
except ValueError:
    pass
else:
    raise SystemExit("a second registration went unnoticed")
gce.shutdown()

public_id = Client().register_function(hello_world, public=True)
with Executor(endpoint_id=sys.argv[1]) as fxe:
    futs = [fxe.submit_to_registered_function(public_id) for i in range(5)]
for f in futs:
    assert f.result() == "Hello World!"
print("done")
