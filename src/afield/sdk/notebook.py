"""How a future shows itself in a notebook."""

from __future__ import annotations

import time
from html import escape
from typing import Final, Protocol

from afield.states import TaskState

__all__ = ["Shown", "drawn"]

#: the biggest first
_UNITS: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


class Shown(Protocol):
    """What of a future is shown."""

    @property
    def state(self) -> TaskState:
        """Where its task is."""

    @property
    def since(self) -> float:
        """Since when, in unix seconds."""

    @property
    def task_id(self) -> str | None:
        """None: it was not sent yet."""

    @property
    def endpoint_id(self) -> str | None:
        """Where it runs."""

    @property
    def label(self) -> str | None:
        """For people."""

    @property
    def attempt(self) -> int:
        """From 1."""

    @property
    def refusal(self) -> str:
        """Why it cannot be cancelled; empty: nobody said so."""


def drawn(future: Shown, now: float | None = None) -> str:
    """A table, as HTML: where the task is, since when, and what is known of it.

    :param now: unix time in seconds; None: the clock's
    """
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(future.since))
    ago = _length((time.time() if now is None else now) - future.since)
    rows = {
        "state": future.state.value,
        "since": f"{since} ({ago} ago)",
        "task": future.task_id,
        "endpoint": future.endpoint_id,
        "label": future.label,
        "attempt": str(future.attempt) if future.attempt > 1 else None,
        "not cancelled": future.refusal,
    }
    cells = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in rows.items()
        if value
    )
    return f"<table><caption>ComputeFuture</caption>{cells}</table>"


def _length(seconds: float) -> str:
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return "0 s"
