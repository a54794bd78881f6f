"""The credential objects that endpoints are handed, in the published form (reference: wire contract section 4.2).

``properties`` is splatted into the published client's message properties, so it may hold only names that it knows.
"""

from __future__ import annotations

from afield.service.domain import names
from afield.wire import v2
from afield.wire.commands import QueueCredentials, ReadQueue, WriteQueue
from afield.wire.rest import EndpointRegistered

__all__ = ["core_queues", "user_queues"]


def core_queues(endpoint_id: str, url: str) -> EndpointRegistered:
    """What a core endpoint is told when it registers.

    :param url: the broker, with this endpoint's login in it
    """
    return EndpointRegistered(
        endpoint_id=endpoint_id,
        command_queue_info=ReadQueue(url, names.COMMANDS, names.command_queue(endpoint_id)),
        heartbeat_queue_info=_write(url, names.HEARTBEATS, names.heartbeat_key(endpoint_id)),
        result_queue_info=_write(url, names.RESULTS, names.result_key(endpoint_id)),
    )


def user_queues(user_endpoint_id: str, url: str, wire: int) -> QueueCredentials:
    """What a user endpoint is told in its start command.

    :param url: the broker, with this user endpoint's login in it
    :param wire: the highest version of the envelope that it reads; a published one sees the published keys only
    """
    is_ours = wire >= v2.VERSION[0]
    return QueueCredentials(
        endpoint_id=user_endpoint_id,
        task_queue_info=ReadQueue(url, names.TASKS, names.task_queue(user_endpoint_id)),
        result_queue_info=_write(url, names.RESULTS, names.result_key(user_endpoint_id)),
        heartbeat_queue_info=_write(url, names.HEARTBEATS, names.heartbeat_key(user_endpoint_id)),
        control_queue_info=ReadQueue(url, names.TASKS, names.control_queue(user_endpoint_id)) if is_ours else None,
    )


def _write(url: str, name: str, routing_key: str) -> WriteQueue:
    arguments = {"exchange": name, "routing_key": routing_key, "mandatory": True, "properties": {"delivery_mode": 2}}
    return WriteQueue(url, name, name, arguments)
