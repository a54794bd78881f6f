"""PURE: the results that an agent writes itself, for tasks that no worker ended."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from afield.wire.messages import ErrorDetails, Result

__all__ = ["cancelled", "failed", "lost", "not_allowed", "unknown"]


def failed(task_id: str, code: str, text: str) -> Result:
    """A failure, in one sentence.

    :param code: as in :class:`~afield.wire.messages.ErrorDetails`
    """
    return Result(task_id=task_id, data=text.encode(), error=ErrorDetails(code, text))


def lost(task_id: str, how: str, begun: int) -> Result:
    """Nobody knows whether it ran, and it may not run again.

    :param how: what happened to the endpoint
    :param begun: how often it was begun
    """
    why = (
        f"it was begun {begun} times, as often as its retries allow" if begun > 1 else "it may have had effects already"
    )
    text = (
        f"{how} while task {task_id} may have been running. It is not run again, for {why}. "
        "Submit it again if running it once more does no harm."
    )
    result = failed(task_id, "EndpointLost", text)
    return replace(result, details={"attempts": unknown(begun - 1)}) if begun > 1 else result


def unknown(count: int) -> list[dict[str, Any]]:
    """So many attempts of earlier lives, as the fields of :class:`~afield.wire.messages.Attempt`."""
    error = "EndpointLost: the endpoint's process that began it has ended"
    return [{"began": 0, "ended": 0, "error": error} for _ in range(count)]


def cancelled(task_id: str, when: str = "before it began") -> Result:
    """Somebody wanted it cancelled.

    :param when: for people
    """
    return failed(task_id, "TaskCancelled", f"task {task_id} was cancelled {when}")


def not_allowed(task_id: str, function_id: str) -> Result:
    """Its function may not run here."""
    text = (
        f"function {function_id} may not run on this endpoint: its owner allows only certain functions. "
        "Ask the owner to add it to allowed_functions, or use another endpoint."
    )
    return failed(task_id, "FUNCTION_NOT_ALLOWED", text)
