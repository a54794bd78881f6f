"""What the service tells a core endpoint: to start a user endpoint. There is no other command.

The published form (reference: wire contract section 5.6): a JSON body with ``content_type`` application/json and an
integer ``timestamp`` within 180 s of the endpoint's clock. A running user endpoint takes a repeated command as fresh
credentials.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from afield.errors import WireError
from afield.wire.malformed import MALFORMED

__all__ = [
    "CONTENT_TYPE",
    "MAX_CLOCK_SKEW_S",
    "START",
    "QueueCredentials",
    "ReadQueue",
    "StartCommand",
    "StartOptions",
    "WriteQueue",
    "decode_command",
    "encode_command",
    "user_endpoint_name",
]

CONTENT_TYPE: Final = "application/json"
MAX_CLOCK_SKEW_S: Final = 180
START: Final = "cmd_start_endpoint"


class ReadQueue(msgspec.Struct, frozen=True):
    """How to reach a queue that one reads."""

    connection_url: str
    exchange: str
    queue: str


class WriteQueue(msgspec.Struct, frozen=True):
    """How to reach a queue that one writes."""

    connection_url: str
    exchange: str
    queue: str
    #: arguments of a publish: exchange, routing_key, mandatory, properties
    queue_publish_kwargs: dict[str, Any]


class QueueCredentials(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a user endpoint needs to reach its queues."""

    endpoint_id: str
    task_queue_info: ReadQueue
    result_queue_info: WriteQueue
    heartbeat_queue_info: WriteQueue
    #: ours: where it is told which tasks somebody wants cancelled; a published endpoint never sees this key
    control_queue_info: ReadQueue | None = None


class StartOptions(msgspec.Struct, frozen=True):
    """The arguments of the start command."""

    name: str
    user_opts: dict[str, Any]
    amqp_creds: QueueCredentials
    user_runtime: dict[str, Any] = {}


class StartCommand(msgspec.Struct, frozen=True):
    """Start, or refresh, the user endpoint ``kwargs.name`` for this identity."""

    kwargs: StartOptions
    globus_username: str
    globus_effective_identity: str
    globus_identity_set: list[dict[str, Any]]
    #: ours: where this identity is a guest, the one who let it in: the endpoint's owner, by what they granted. A
    #: published endpoint never sees this key
    shared_by: str | msgspec.UnsetType = msgspec.UNSET
    #: ours: which of the groups that the endpoint's owner asked about this identity is in. A published endpoint never
    #: sees this key
    groups: list[str] | msgspec.UnsetType = msgspec.UNSET
    command: str = START
    args: list[Any] = []


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(StartCommand).decode


def user_endpoint_name(endpoint_id: str, user_endpoint_id: str) -> str:
    """The published name of a user endpoint, also of its directory."""
    return f"uep.{endpoint_id}.{user_endpoint_id}"


def encode_command(command: StartCommand) -> bytes:
    """As a body."""
    return _encode(command)


def decode_command(body: bytes) -> StartCommand:
    """As a record.

    :raises WireError: when it is no start command
    """
    try:
        command = _decode(body)
    except MALFORMED as error:
        raise WireError(f"a command is not what the service should have sent: {error}") from error
    if command.command != START:
        raise WireError(f"the service sent the command {command.command!r}, which this endpoint does not know")
    return command
