"""Telling futures what came about their tasks: where these are, or that they failed."""

from __future__ import annotations

import logging
from concurrent.futures import InvalidStateError
from typing import Any, Final

from afield.sdk.future import ComputeFuture
from afield.states import TERMINAL, TaskState
from afield.wire.messages import Notice

__all__ = ["fail", "take_notice", "tell"]

_log = logging.getLogger(__name__)

_STATES: Final = frozenset(TaskState) - TERMINAL


def take_notice(future: ComputeFuture[Any], notice: Notice) -> None:
    """Pass a notice on."""
    if notice.refusal:
        future.refused(notice.refusal)
    tell(future, notice.state, notice.at / 1e9, (notice.attempt, notice.at))


def tell(future: ComputeFuture[Any], status: str, since: float, heard: tuple[int, int] | None = None) -> None:
    """Say where a task is.

    :param since: unix time in seconds
    :param heard: which attempt that is about, and when it was said, in nanoseconds of unix time; None: not known
    """
    # What ends a task is its result. And a newer service may have states that are not known here.
    if status in _STATES:
        future.told(TaskState(status), since, heard)


def fail(future: ComputeFuture[Any], error: BaseException) -> None:
    """End a future with an error of its own: many share the cause, and each raise would add to one traceback."""
    own = type(error)(*error.args)
    own.__cause__ = error.__cause__
    try:
        future.set_exception(own)
    except InvalidStateError:
        _log.debug("%r had ended before %s", future, error)
