"""Ours: what is told of one task beyond the published document; under ``/afield/v1/tasks``."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["TaskHistory", "ToldState"]


class ToldState(msgspec.Struct, omit_defaults=True):
    """Where a task was, since when, and who said so."""

    #: a value of :class:`afield.states.TaskState`, or what a worker reports in between, such as ``execution-start``
    state: str
    #: unix time in seconds
    at: float
    #: web-service, endpoint, worker; published endpoints call a part of theirs interchange
    actor: str
    #: 1: the first try
    attempt: int = 1
    #: the process of the user endpoint that took it for good, by its start (unix seconds) and process id
    life: str | None = None


class TaskHistory(msgspec.Struct, omit_defaults=True):
    """GET /afield/v1/tasks/{id}."""

    task_id: str
    status: str
    #: since when it is in that state; unix time in seconds, as all below
    since: float
    created_at: float
    task_group_id: str
    endpoint_id: str
    user_endpoint_id: str
    function_id: str
    #: how often it was tried, as far as is known; 0: not yet
    attempts: int
    #: by time
    states: list[ToldState]
    #: tries that failed and were followed by others: when they began and ended, in nanoseconds, and why
    failed_attempts: list[dict[str, Any]] = []
    label: str | None = None
    #: the machine of its endpoint
    hostname: str | None = None
    endpoint_name: str | None = None
    #: short name and text of the failure
    error_code: str | None = None
    reason: str | None = None
