"""Which user endpoint a submit is for, and what its core endpoint is told to start.

The id is a stable function of what makes one process unlike another: core endpoint, identity, configuration, and the
versions of Python and SDK of whoever submits (reference: wire contract section 8.4). Nothing about the submitter's
machine goes in, or each laptop would get a process of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET

from afield.service.domain import refusals
from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord
from afield.service.domain.records import EndpointRecord, UserEndpointRecord
from afield.service.domain.refusals import Refusal
from afield.wire import v2
from afield.wire.commands import QueueCredentials, StartCommand, StartOptions, user_endpoint_name

__all__ = [
    "RESERVED",
    "check_options",
    "endpoint_wire",
    "groups_of",
    "host_of",
    "identity_set",
    "start_command",
    "user_endpoint_id",
]

#: Names in a template that the core endpoint fills itself (reference: wire contract section 5.6).
RESERVED: Final = frozenset({"parent_config", "user_runtime", "mapped_identity", "_GC"})

_encode = msgspec.json.Encoder(order="sorted").encode


def user_endpoint_id(
    endpoint_id: str, identity_id: str, config: Mapping[str, Any] | None, runtime: Mapping[str, Any] | None
) -> str:
    """The id of the user endpoint for these; no configuration, null and ``{}`` are alike."""
    runtime = runtime or {}
    versions = [runtime.get("python_version"), runtime.get("globus_compute_sdk_version")]
    return str(uuid.uuid5(uuid.UUID(endpoint_id), _encode([identity_id, config or {}, *versions]).decode()))


def check_options(config: Mapping[str, Any] | None) -> Refusal | None:
    """The refusal of a configuration that uses names which are not the submitter's to give."""
    taken = sorted(RESERVED.intersection(config or {}))
    if not taken:
        return None
    return refusals.invalid(f"user_endpoint_config may not hold {', '.join(taken)}: the endpoint fills that itself.")


def endpoint_wire(endpoint: EndpointRecord) -> int:
    """The highest version of the envelope that this endpoint's processes read."""
    said = endpoint.metadata.get("afield_wire")
    return 2 if isinstance(said, int) and said >= v2.VERSION[0] else 1


def identity_set(caller: Caller) -> list[dict[str, Any]]:
    """Somebody's identities in the form that core endpoints match and map (reference: wire contract section 5.6)."""
    return [_identity(identity) for identity in (caller.identity, *caller.linked)]


def _identity(identity: IdentityRecord) -> dict[str, Any]:
    return {
        "sub": identity.id,
        "id": identity.id,
        "username": identity.username,
        "name": identity.name,
        "email": identity.email,
        "identity_provider": None,
        "identity_provider_display_name": "Afield",
        "organization": None,
        "identity_type": "login",
        "status": "used",
    }


def host_of(endpoint: EndpointRecord, caller: Caller) -> str | None:
    """Whose guest somebody is on an endpoint of ours that runs everything as its owner's user; None: they are none."""
    if endpoint.multi_user or endpoint_wire(endpoint) < v2.VERSION[0] or caller.is_one_of(endpoint.owner_id):
        return None
    return endpoint.owner_id


def groups_of(endpoint: EndpointRecord, caller: Caller) -> list[str] | None:
    """Which groups somebody is in, of those that the endpoint asked about when it registered; None: it asked of none.

    It hears of no others: who meets with whom elsewhere is none of a machine owner's business.
    """
    asked = endpoint.metadata.get("afield_groups")
    if not isinstance(asked, list) or not asked:
        return None
    return sorted(caller.teams.intersection(str(group).lower() for group in asked))


def start_command(
    caller: Caller,
    user_endpoint: UserEndpointRecord,
    credentials: QueueCredentials,
    host: str | None = None,
    groups: list[str] | None = None,
) -> StartCommand:
    """What the core endpoint is told, to start this user endpoint or to refresh its credentials.

    :param host: as :func:`host_of` says
    :param groups: as :func:`groups_of` says
    """
    return StartCommand(
        kwargs=StartOptions(
            name=user_endpoint_name(user_endpoint.endpoint_id, user_endpoint.id),
            user_opts=user_endpoint.user_opts,
            amqp_creds=credentials,
            user_runtime=user_endpoint.user_runtime,
        ),
        globus_username=caller.identity.username,
        globus_effective_identity=caller.id,
        globus_identity_set=identity_set(caller),
        shared_by=UNSET if host is None else host,
        groups=UNSET if groups is None else groups,
    )
