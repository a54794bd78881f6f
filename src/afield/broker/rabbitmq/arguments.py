"""PURE: with which arguments a queue is declared on RabbitMQ.

- *Durable, never exclusive.* RabbitMQ 4.3 refuses queues that are neither durable nor exclusive.
- *No delivery limit to speak of.* A quorum queue drops a message that was delivered too often (from 4.0 on: 20 times).
  Each time an endpoint loses its connection, all that it had not acknowledged counts as delivered once more; a task
  must outlive any number of that.
- *No consumer timeout to speak of.* A task is acknowledged when its result is safe, which may be days later. RabbitMQ
  closes the channel of a consumer that keeps a message for longer than half an hour; a queue may say otherwise from
  3.12 on. Where it cannot, the endpoint subscribes anew and is handed the same tasks, which it knows.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from afield.broker.base import QueueSpec

__all__ = ["QueueType", "queue_arguments"]

QueueType = Literal["classic", "quorum"]

#: How often a message may be delivered. The highest number that every version takes for one.
_DELIVERIES: Final = 1_000_000_000

#: How long a message may be kept without an acknowledgement, in milliseconds: 28 days, twice what a task waits.
_TIMEOUT_MS: Final = 28 * 86_400_000

#: RabbitMQ counts in 32 bits.
_LONGEST_MS: Final = 2**32 - 1


def queue_arguments(spec: QueueSpec, kind: QueueType) -> dict[str, Any]:
    """For a queue of this kind."""
    arguments: dict[str, Any] = {"x-queue-type": kind, "x-consumer-timeout": _TIMEOUT_MS}
    if kind == "quorum":
        arguments["x-delivery-limit"] = _DELIVERIES
    if spec.one_reader:
        arguments["x-single-active-consumer"] = True
    if spec.expires_s is not None:
        arguments["x-expires"] = min(int(spec.expires_s * 1000), _LONGEST_MS)
    return arguments
