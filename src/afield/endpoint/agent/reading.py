"""What comes from the queues, as events."""

from __future__ import annotations

from afield.broker.base import Delivery
from afield.endpoint.agent.events import CancelsArrived, MalformedArrived, TasksArrived
from afield.errors import WireError
from afield.wire import codec
from afield.wire.messages import Cancel, Task

__all__ = ["read_cancels", "read_tasks"]


def read_tasks(delivery: Delivery) -> TasksArrived | MalformedArrived:
    """A message from the task queue."""
    try:
        messages = codec.decode(delivery.body, delivery.properties.headers)
    except WireError as error:
        task_id = delivery.properties.headers.get("task_uuid")
        return MalformedArrived(delivery.tag, task_id if isinstance(task_id, str) else None, str(error))
    tasks = [message for message in messages if isinstance(message, Task)]
    if len(tasks) < len(messages):
        return MalformedArrived(delivery.tag, None, "something other than a task was in the task queue")
    return TasksArrived(delivery.tag, tasks)


def read_cancels(delivery: Delivery) -> CancelsArrived:
    """A message from the control queue.

    :raises WireError: it is not what it should be
    """
    messages = codec.decode(delivery.body, delivery.properties.headers)
    cancels = [message for message in messages if isinstance(message, Cancel)]
    if len(cancels) < len(messages):
        raise WireError("something other than wishes to cancel was in the control queue")
    return CancelsArrived(delivery.tag, cancels)
