"""A batch that is sent by a Client, and collected by an Executor later; with the endpoint given to each call."""

import concurrent.futures
import sys

from globus_compute_sdk import Client, Executor


def expensive_task(task_arg):
    return f"All done! {task_arg}"


ep_id = sys.argv[1]
gcc = Client()

print(f"Task Group ID for later reloading: {gcc.session_task_group_id}")
fn_id = gcc.register_function(expensive_task)
batch = gcc.create_batch()
for task_i in range(10):
    batch.add(fn_id, ep_id, args=(task_i,))
gcc.batch_run(batch)

tg_id = gcc.session_task_group_id
with Executor(endpoint_id=ep_id, task_group_id=tg_id) as gce:
    futs = gce.reload_tasks()
    received = sorted(f.result() for f in concurrent.futures.as_completed(futs))
assert received == sorted(f"All done! {n}" for n in range(10))
print("done")
