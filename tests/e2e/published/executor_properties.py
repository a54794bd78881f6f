"""The properties of an Executor can be set when it is made and later, as text or as what they are."""

import sys
import uuid

from globus_compute_sdk import Executor

group = uuid.uuid4()
ex = Executor(task_group_id=group)
assert ex.task_group_id == group
ex = Executor(task_group_id=str(group))
assert ex.task_group_id == group
ex.task_group_id = None
assert ex.task_group_id is None
ex.task_group_id = str(group)
assert ex.task_group_id == group
assert repr(ex.task_group_id).startswith("UUID(")

ex = Executor(user_endpoint_config={"workers": 1})
assert ex.user_endpoint_config == {"workers": 1}
ex.user_endpoint_config = {"workers": 2}
assert ex.user_endpoint_config == {"workers": 2}

container = uuid.UUID("00000000-0000-0000-0000-000000000000")
ex = Executor(container_id=str(container))
assert ex.container_id == container
ex.container_id = container
assert ex.container_id == container

assert ex.amqp_port is None
ex.amqp_port = 5671
assert ex.amqp_port == 5671

ex = Executor(endpoint_id=sys.argv[1], label="mine", batch_size=32, batch_interval=1.0, batch_enabled=True)
assert ex.batch_size == 32
assert str(ex.endpoint_id) == sys.argv[1]
print("done")
