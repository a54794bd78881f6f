"""What to make of the credentials that a service hands out: addresses, and messages as they ask for."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec.structs import replace

from afield.broker.base import Properties, Publication
from afield.errors import VersionMismatch
from afield.wire.commands import QueueCredentials, WriteQueue

__all__ = ["one_url", "publication", "with_port", "with_port_everywhere"]


def publication(queue: WriteQueue, body: bytes, *, persistent: bool = True) -> Publication:
    """A message for a queue that one writes.

    :param persistent: False: it need not survive the broker, whatever the credentials say
    """
    arguments = queue.queue_publish_kwargs
    properties = arguments.get("properties") or {}
    return Publication(
        exchange=str(arguments.get("exchange", queue.exchange)),
        routing_key=str(arguments.get("routing_key", "")),
        body=body,
        properties=Properties(delivery_mode=int(properties.get("delivery_mode", 2)) if persistent else 1),
        mandatory=bool(arguments.get("mandatory", True)),
    )


def one_url(*urls: str) -> str:
    """The address that all queues of an endpoint have in common.

    :raises VersionMismatch: they have none
    """
    if len(set(urls)) > 1:
        raise VersionMismatch(
            "the service gives this endpoint several logins, and this version of afield uses one for all its queues: "
            "install the version of afield that the service runs"
        )
    return urls[0]


def with_port(url: str, port: int | None) -> str:
    """The address with another port; None: as it is."""
    if port is None:
        return url
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    return parts._replace(netloc=f"{login}{at}{host}:{port}").geturl()


def with_port_everywhere(credentials: QueueCredentials, port: int | None) -> QueueCredentials:
    """The credentials with another port; None: as they are."""
    tasks, results, beats = (
        replace(queue, connection_url=with_port(queue.connection_url, port))
        for queue in (credentials.task_queue_info, credentials.result_queue_info, credentials.heartbeat_queue_info)
    )
    control = credentials.control_queue_info
    if control is not None:
        control = replace(control, connection_url=with_port(control.connection_url, port))
    return replace(
        credentials,
        task_queue_info=tasks,
        result_queue_info=results,
        heartbeat_queue_info=beats,
        control_queue_info=control,
    )
