"""The Client's reference: batches with the endpoint given once, states, functions, hardware, the runtime."""

import sys
import time

from globus_compute_sdk import Client
from globus_compute_sdk.sdk.batch import Batch, UserRuntime

ep_id = sys.argv[1]


def nothing():
    """Returns nothing."""


def fails():
    raise KeyError("gone")


c = Client(do_version_check=True)
c.version_check()
function_id = c.register_function(nothing, metadata={"python_version": sys.version.split()[0]})
failing_id = c.register_function(fails, description="it fails")
described = c.get_function(function_id)
assert described["description"] == "Returns nothing."
assert described["function_name"] == "nothing"

batch = c.create_batch(result_serializers=["globus_compute_sdk.serialize.JSONData"])
assert isinstance(batch, Batch)
assert not batch
batch.add(function_id)
batch.add(function_id, args=())
batch.add(failing_id, kwargs={})
assert len(batch) == 3
assert set(batch.prepare()) >= {"create_queue", "tasks", "task_group_id"}
answer = c.batch_run(ep_id, batch)
assert set(answer) >= {"tasks", "request_id", "task_group_id", "endpoint_id"}
ids = [task_id for found in answer["tasks"].values() for task_id in found]
while any(state["pending"] for state in c.get_batch_result(ids).values()):
    time.sleep(0.02)
states = c.get_batch_result(ids)
good, bad = answer["tasks"][function_id], answer["tasks"][failing_id]
for task_id in good:
    assert states[task_id]["status"] == "success"
    assert states[task_id]["result"] is None
    assert float(states[task_id]["completion_t"]) > 1e9
assert states[bad[0]]["status"] == "failed"
try:
    c.get_result(bad[0])
except Exception as error:
    assert "gone" in str(error)
else:
    raise SystemExit("a failure went unnoticed")
assert c.get_task(good[0])["status"] == "success"

source_id = c.register_source_code("def triple(x):\n    return 3 * x\n", "triple")
task_id = c.run(14, endpoint_id=ep_id, function_id=source_id)
hardware_id = c.get_worker_hardware_details(ep_id)
while c.get_task(task_id)["pending"] or c.get_task(hardware_id)["pending"]:
    time.sleep(0.02)
assert c.get_result(task_id) == 42
assert isinstance(c.get_result(hardware_id), str)

assert c.get_endpoint_status(ep_id)["status"] == "online"
assert "hostname" in c.get_endpoint_metadata(ep_id)
assert ep_id in [endpoint["uuid"] for endpoint in c.get_endpoints()]
assert ep_id in [endpoint["uuid"] for endpoint in c.get_endpoints(role="any")]
assert c.get_allowed_functions(ep_id)["restricted"] is False

registered = c.register_endpoint("for_a_moment", None, {}, False, "For a moment", allowed_functions=[function_id])
other = registered["endpoint_id"]
assert c.get_allowed_functions(other)["functions"] == [function_id]
c.stop_endpoint(other)
c.delete_endpoint(other)
assert other not in [endpoint["uuid"] for endpoint in c.get_endpoints()]
c.delete_function(function_id)

runtime = UserRuntime(
    "3.14.0",
    "3.63.0",
    sys.version,
    python=UserRuntime.PythonInfo("3.13.7", sys.version, (3, 13, 7), (3, 13, 7, "final", 0), "CPython", "GCC"),
    platform=UserRuntime.PlatformInfo(("64bit", "ELF"), "x86_64", "login03", "Linux", "x86_64", "6.16"),
)
with_runtime = Batch(None, None, None, False, None, runtime, None)
with_runtime.add(source_id, (1,))
assert with_runtime.prepare()["user_runtime"]["python"]["version"] == "3.13.7"
print("done")
