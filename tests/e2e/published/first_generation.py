"""The SDK guide of the first generation: register, run, ask; batches that name the endpoint with each call."""

import sys
import time

from globus_compute_sdk import Client

tutorial_endpoint = sys.argv[1]
gcc = Client(force_login=True)


def platform_func():
    import platform

    return platform.platform()


def hello(firstname, lastname):
    return "Hello {} {}".format(firstname, lastname)


def ask(task_id):
    while True:
        try:
            return gcc.get_result(task_id)
        except Exception as e:
            print("Exception: {}".format(e))
            if not gcc.get_task(task_id)["pending"]:
                return gcc.get_result(task_id)
            time.sleep(0.02)


func_uuid = gcc.register_function(platform_func)
task_id = gcc.run(endpoint_id=tutorial_endpoint, function_id=func_uuid)
assert ask(task_id)
assert gcc.get_result(task_id) == gcc.get_result(task_id)  # as often as one likes

func_id = gcc.register_function(hello, description="My function", public=True)
task_id = gcc.run("Bob", "Smith", endpoint_id=tutorial_endpoint, function_id=func_id)
assert ask(task_id) == "Hello Bob Smith"


def increment(x):
    return x + 1


func_id = gcc.register_function(increment, description="My function", group="b0a5d1a0-2b22-4381-b899-ba73321e41e0")
batch = gcc.create_batch()
for x in range(0, 5):
    batch.add(x, endpoint_id=tutorial_endpoint, function_id=func_id)
batch_res = gcc.batch_run(batch)
results = gcc.get_batch_result(batch_res)
while any(state["pending"] for state in results.values()):
    time.sleep(0.02)
    results = gcc.get_batch_result(batch_res)
print(results)
assert len(results) == 5
assert [results[task_id]["result"] for task_id in batch_res] == [1, 2, 3, 4, 5]
assert {state["status"] for state in results.values()} == {"success"}
print("done")
