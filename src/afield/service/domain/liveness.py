"""Whether an endpoint is there, and what a report of its own changes about that.

An endpoint is online while its last report is younger than :data:`PATIENCE` of its own periods. A period of 0 is the
goodbye of a core endpoint, ``active: false`` that of a user endpoint. A report with ``error`` says that a *start*
failed: it takes a user endpoint offline, never a core endpoint, which lives on and only passes the news (reference:
wire contract section 8.3).

That is about whether work is sent there. Whether the *life* of a process is over, and with it what it had taken, is
asked more carefully: an error says nothing of a process that was there before it, for a command to one that runs can
fail too; and what reported before this service started may well live, and gets as long to be heard of as if it had
just reported (:func:`is_gone`).
"""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Any, Final

import msgspec

from afield.service.domain.records import EndpointRecord, UserEndpointRecord

__all__ = [
    "DEFAULT_PERIOD_S",
    "GRACE_S",
    "PATIENCE",
    "after_core_report",
    "after_user_report",
    "error_of",
    "is_another_life",
    "is_gone",
    "is_online",
    "is_same_life",
    "life",
    "says_goodbye",
]

#: How many of its periods may pass: one report may be lost and the next be late.
PATIENCE: Final = 2.5

#: What is assumed of an endpoint that reports without a usable period (the published default).
DEFAULT_PERIOD_S: Final = 30.0

#: How long, in seconds, results of a life that has ended are waited for.
GRACE_S: Final = 60.0

#: In a user endpoint's report: when its process began (unix seconds), and its process id.
_BEGAN: Final = "start_unix"
_PROCESS: Final = "posix_pid"
_LONGEST_LIFE: Final = 64

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


def is_gone(record: UserEndpointRecord, now: float, *, listening_since: float) -> bool:
    """Whether the process that this user endpoint had is over, by its own word or because it is silent.

    :param listening_since: when this service began to hear reports (unix seconds)
    """
    if says_goodbye(record.state):
        return True
    heard = max(record.last_report_at, listening_since)
    return now >= heard + PATIENCE * (record.heartbeat_period or DEFAULT_PERIOD_S)


def life(record: UserEndpointRecord) -> str:
    """A name for the process that reported last; empty: it does not say who it is."""
    began, process = record.state.get(_BEGAN), record.state.get(_PROCESS)
    if began is None:
        return ""
    name = f"{began}" if process is None else f"{began}/{process}"
    if len(name) <= _LONGEST_LIFE and name.isascii() and name.isprintable():
        return name
    # It says what it likes; a database keeps the name, and not every text.
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def is_another_life(before: UserEndpointRecord, after: UserEndpointRecord) -> bool:
    """Whether the report between these came from another process than the one before it."""
    was, is_ = life(before), life(after)
    return bool(was and is_) and was != is_


def is_same_life(before: UserEndpointRecord, after: UserEndpointRecord) -> bool:
    """Whether both reports certainly came from one process."""
    return bool(life(before)) and life(before) == life(after)


def _period(state: dict[str, Any]) -> float:
    said = state.get("heartbeat_period")
    if isinstance(said, int | float) and math.isfinite(said) and said >= 0:
        return float(said)
    return DEFAULT_PERIOD_S
