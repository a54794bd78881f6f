"""Whether an endpoint is there, and what a report of its own changes about that.

An endpoint is online while its last report is younger than :data:`PATIENCE` of its own periods. A period of 0 is the
goodbye of a core endpoint, ``active: false`` that of a user endpoint. A report with ``error`` says that a *start*
failed: it takes a user endpoint offline, never a core endpoint, which lives on and only passes the news (reference:
wire contract section 8.3).
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from afield.service.domain.records import EndpointRecord, UserEndpointRecord

__all__ = [
    "DEFAULT_PERIOD_S",
    "PATIENCE",
    "after_core_report",
    "after_user_report",
    "error_of",
    "is_another_life",
    "is_online",
    "is_same_life",
    "says_goodbye",
]

#: How many of its periods may pass: one report may be lost and the next be late.
PATIENCE: Final = 2.5

#: What is assumed of an endpoint that reports without a usable period (the published default).
DEFAULT_PERIOD_S: Final = 30.0

#: In a user endpoint's report: when its process began, unix seconds.
_BEGAN: Final = "start_unix"

#: Not kept: the rendered configuration, which may hold its user's secrets.
_NOT_KEPT: Final = frozenset({"config_raw"})


def is_online(record: EndpointRecord | UserEndpointRecord, now: float) -> bool:
    """Whether it is there at ``now`` (unix seconds)."""
    if isinstance(record, UserEndpointRecord) and not record.active:
        return False
    return now < record.last_report_at + PATIENCE * record.heartbeat_period


def error_of(state: dict[str, Any]) -> str | None:
    """Why a start failed, when the report says so."""
    error = state.get("error")
    return str(error) if error else None


def says_goodbye(state: dict[str, Any]) -> bool:
    """Whether the sender of this report ends."""
    return state.get("active") is False or state.get("heartbeat_period") == 0


def after_core_report(endpoint: EndpointRecord, state: dict[str, Any], now: float) -> EndpointRecord:
    """A core endpoint after this report of its own."""
    if error_of(state) is not None:
        return endpoint
    return msgspec.structs.replace(endpoint, last_report_at=now, heartbeat_period=_period(state))


def after_user_report(user_endpoint: UserEndpointRecord, state: dict[str, Any], now: float) -> UserEndpointRecord:
    """A user endpoint after this report of its own."""
    if error_of(state) is not None:
        return msgspec.structs.replace(user_endpoint, active=False)
    return msgspec.structs.replace(
        user_endpoint,
        last_report_at=now,
        heartbeat_period=_period(state),
        active=not says_goodbye(state),
        state={key: value for key, value in state.items() if key not in _NOT_KEPT},
    )


def is_another_life(before: UserEndpointRecord, after: UserEndpointRecord) -> bool:
    """Whether the report between these came from another process than the one before it."""
    began, begins = before.state.get(_BEGAN), after.state.get(_BEGAN)
    return began is not None and begins is not None and began != begins


def is_same_life(before: UserEndpointRecord, after: UserEndpointRecord) -> bool:
    """Whether both reports certainly came from one process."""
    began = before.state.get(_BEGAN)
    return began is not None and began == after.state.get(_BEGAN)


def _period(state: dict[str, Any]) -> float:
    said = state.get("heartbeat_period")
    if isinstance(said, int | float) and math.isfinite(said) and said >= 0:
        return float(said)
    return DEFAULT_PERIOD_S
