"""What a user endpoint says of itself in every heartbeat."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from afield.endpoint.agent.orders import Start
from afield.endpoint.engines.base import EngineStatus

__all__ = ["state"]

#: Of the workers, which run the same Python as this process; an engine whose workers do not says so in its extras.
_PYTHON: Final = platform.python_version()


def state(
    start: Start, status: EngineStatus, *, waiting: int, unfinished: int, started_at: float, active: bool
) -> dict[str, Any]:
    """The state of a report (reference: published wire contract section 5.5).

    :param start: what it was told at its start
    :param status: what its engine says
    :param waiting: tasks that are here and not with the engine
    :param unfinished: tasks that are here and have no result
    :param started_at: unix time in seconds
    :param active: False: this is the last one
    """
    engine = msgspec.to_builtins(status)
    extra = engine.pop("extra")
    engine["pending_tasks"] += waiting
    engine["outstanding_tasks"] = max(unfinished, engine["outstanding_tasks"])
    return {
        **start.facts,
        "python_version": _PYTHON,
        **engine,
        **extra,
        "start_unix": int(started_at),
        "start_iso": datetime.fromtimestamp(started_at, UTC).isoformat(timespec="seconds"),
        "heartbeat_period": start.settings.heartbeat_period,
        "active": active,
    }
