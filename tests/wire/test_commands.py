"""The start command, against the example of the published contract."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afield.errors import WireError
from afield.wire.commands import (
    START,
    QueueCredentials,
    ReadQueue,
    StartCommand,
    StartOptions,
    WriteQueue,
    decode_command,
    encode_command,
    user_endpoint_name,
)

CEP = "0192f3a0-1111-7000-8000-000000000001"
UEP = "0192f3a0-2222-7000-8000-000000000002"
IDENTITY = "0192f3a0-3333-7000-8000-000000000003"
URL = f"amqp://uep.{UEP}.1:secret@localhost:5672/%2F"


def write_queue(exchange: str) -> dict[str, Any]:
    return {
        "connection_url": URL,
        "exchange": exchange,
        "queue": exchange,
        "queue_publish_kwargs": {
            "exchange": exchange,
            "routing_key": f"{UEP}.{exchange}",
            "mandatory": True,
            "properties": {"delivery_mode": 2},
        },
    }


#: Section 5.6 of the wire contract, with the credential objects of section 4.2 in it.
PUBLISHED: dict[str, Any] = {
    "command": "cmd_start_endpoint",
    "args": [],
    "kwargs": {
        "name": f"uep.{CEP}.{UEP}",
        "user_opts": {"max_workers": 2},
        "user_runtime": {"globus_compute_sdk_version": "4.19.0", "python": {"version_tuple": ["3", "11", "7"]}},
        "amqp_creds": {
            "endpoint_id": UEP,
            "task_queue_info": {"connection_url": URL, "exchange": "tasks", "queue": f"{UEP}.tasks"},
            "result_queue_info": write_queue("results"),
            "heartbeat_queue_info": write_queue("heartbeats"),
        },
    },
    "globus_username": "ada@example.org",
    "globus_effective_identity": IDENTITY,
    "globus_identity_set": [
        {
            "sub": IDENTITY,
            "id": IDENTITY,
            "username": "ada@example.org",
            "name": "Ada",
            "email": "ada@example.org",
            "identity_provider": "example",
            "organization": None,
            "identity_type": "login",
            "status": "used",
        }
    ],
}


def without(*path: str) -> bytes:
    body = json.loads(json.dumps(PUBLISHED))
    inner = body
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return json.dumps(body).encode()


def test_the_published_example_is_read() -> None:
    command = decode_command(json.dumps(PUBLISHED).encode())
    assert command.kwargs.name == user_endpoint_name(CEP, UEP)
    assert command.kwargs.user_opts == {"max_workers": 2}
    assert command.kwargs.user_runtime["globus_compute_sdk_version"] == "4.19.0"
    assert command.kwargs.amqp_creds.task_queue_info == ReadQueue(URL, "tasks", f"{UEP}.tasks")
    assert command.kwargs.amqp_creds.heartbeat_queue_info.queue_publish_kwargs["routing_key"] == f"{UEP}.heartbeats"
    assert command.globus_effective_identity == IDENTITY
    assert command.globus_identity_set[0]["sub"] == IDENTITY


def test_what_we_send_is_the_published_example() -> None:
    def write(exchange: str) -> WriteQueue:
        return WriteQueue(**write_queue(exchange))

    credentials = QueueCredentials(UEP, ReadQueue(URL, "tasks", f"{UEP}.tasks"), write("results"), write("heartbeats"))
    options = StartOptions(f"uep.{CEP}.{UEP}", {"max_workers": 2}, credentials, PUBLISHED["kwargs"]["user_runtime"])
    command = StartCommand(options, "ada@example.org", IDENTITY, PUBLISHED["globus_identity_set"])
    assert json.loads(encode_command(command)) == PUBLISHED
    assert decode_command(encode_command(command)) == command


def test_an_absent_user_runtime_is_none_known() -> None:
    assert decode_command(without("kwargs", "user_runtime")).kwargs.user_runtime == {}


@pytest.mark.parametrize(
    "path",
    [
        ("kwargs",),
        ("kwargs", "name"),
        ("kwargs", "amqp_creds"),
        ("kwargs", "amqp_creds", "task_queue_info"),
        ("kwargs", "amqp_creds", "result_queue_info", "queue_publish_kwargs"),
        ("globus_username",),
        ("globus_effective_identity",),
        ("globus_identity_set",),
    ],
    ids=".".join,
)
def test_what_is_missing_is_named(path: tuple[str, ...]) -> None:
    with pytest.raises(WireError, match=path[-1]):
        decode_command(without(*path))


def test_another_command_is_refused_by_name() -> None:
    with pytest.raises(WireError, match="'cmd_stop_endpoint'"):
        decode_command(json.dumps(PUBLISHED | {"command": "cmd_stop_endpoint"}).encode())
    assert PUBLISHED["command"] == START


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"command":"\xff"}', b'{"globus_identity_set":[{"a":' + b"[" * 100_000]
)
def test_what_is_no_command_is_an_error(body: bytes) -> None:
    with pytest.raises(WireError):
        decode_command(body)


@settings(deadline=None)
@given(st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    body = bytearray(json.dumps(PUBLISHED).encode())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(WireError):
        decode_command(bytes(body))
