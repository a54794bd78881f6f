"""How a task ended, as it arrived and before anybody looked into it."""

from __future__ import annotations

import binascii
import platform
import re
import warnings
from typing import Any, Final, NamedTuple

import msgspec

from afield.errors import DeserializationError, TaskCancelled
from afield.serialize import ComputeSerializer
from afield.states import TERMINAL, TaskState
from afield.wire.messages import Result
from afield.wire.rest import TaskDocument

__all__ = ["CANCELLED", "Arrived", "Place"]

#: The error code of what was cancelled.
CANCELLED: Final = "TaskCancelled"

#: The error code of what failed without one, as published.
_FAILED: Final = "RemoteExecutionError"

#: The error code of a task whose worker process died.
_LOST: Final = "WorkerLost"
#: The tail of a job is quoted in it: what is missing there is missing in the job's environment, as it says itself.
_NO_WORKERS: Final = "NoWorkers"

#: Endpoints whose Python was compared with ours.
_seen: set[Any] = set()

#: As the last lines of a traceback say it, or the reason of a failure before the function was called.
_MISSING: Final = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")


class Place(NamedTuple):
    """Where a task ran, as far as is known."""

    endpoint_id: str | None = None
    #: of the endpoint, for people
    name: str | None = None
    #: the version of the workers' Python
    python: str | None = None

    def __str__(self) -> str:
        if self.name and self.endpoint_id:
            return f"endpoint {self.name!r} ({self.endpoint_id})"
        return f"endpoint {self.endpoint_id}" if self.endpoint_id else "its endpoint"


_NOWHERE: Final = Place()


class Arrived:
    """One end, still as bytes: what a future is sealed with.

    :param data: the serialized value, or the remote traceback
    :param error_code: None if and only if it went well
    :param completion_t: unix time in seconds, as text
    :param exception: the original exception, serialized, where it came along
    :param details: the worker's environment, and the tries before this one
    """

    __slots__ = ("completion_t", "data", "details", "error_code", "exception", "place", "serializer")

    def __init__(
        self,
        data: bytes,
        error_code: str | None,
        completion_t: str,
        exception: bytes | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.data, self.error_code, self.completion_t = data, error_code, completion_t
        self.exception, self.details = exception, details
        #: reads the value; whose it is, is known when the future is found
        self.serializer: ComputeSerializer | None = None
        #: likewise, of a failure
        self.place = _NOWHERE

    @classmethod
    def from_result(cls, result: Result, timestamp: int | None) -> Arrived:
        """From the stream.

        :param timestamp: unix time in seconds, from the message
        """
        error = result.error
        moment = timestamp if timestamp is not None else _last_step(result)
        return cls(result.data, error.code if error else None, str(moment), result.exception, result.details)

    @classmethod
    def from_document(cls, document: TaskDocument) -> Arrived | None:
        """From the REST API; None: the task has not ended."""
        status = document.status.lower()
        if status not in TERMINAL:
            return None
        moment = document.completion_t if document.completion_t is not msgspec.UNSET else "0"
        details = document.details if document.details is not msgspec.UNSET else None
        if status == TaskState.SUCCESS and document.result is not msgspec.UNSET:
            return cls(document.result.encode(), None, moment, None, details)
        text = next(
            (each for each in (document.exception, document.reason) if each is not msgspec.UNSET),
            f"the service says that the task ended with {status!r}, and not why",
        )
        code = document.error_code if document.error_code is not msgspec.UNSET else _FAILED
        if status == TaskState.CANCELLED:
            code = CANCELLED
        return cls(text.encode(), code, moment, _unpacked(document.exception_object), details)

    @property
    def failed(self) -> bool:
        """Whether it is known to be a failure, without opening it."""
        return self.error_code is not None

    @property
    def attempt(self) -> int:
        """Which try ended so; those before it are in its details."""
        earlier = None if self.details is None else self.details.get("attempts")
        return len(earlier) + 1 if isinstance(earlier, list) else 1

    @property
    def cancelled(self) -> bool:
        """Whether it ended because somebody wanted it to."""
        return self.error_code == CANCELLED

    def open(self) -> tuple[Any, BaseException | None]:
        """The value, or the exception that says what happened."""
        if self.details is not None:
            try:
                _warn_of_other_python(self.details)
            except UserWarning as warning:  # where warnings are errors
                return None, warning
        text = self.data.decode(errors="replace")
        if self.cancelled:
            return None, TaskCancelled(text)
        if self.error_code is not None:
            from afield.serialize.exceptions import rebuild

            return None, rebuild(text + self._hint(text), self.completion_t, self.exception, self.error_code)
        if self.serializer is None:
            self.serializer = ComputeSerializer()
        try:
            return self.serializer.deserialize(text), None
        except DeserializationError as error:
            return None, error
        except Exception as error:  # noqa: BLE001 - unpickling runs the result's own code, which raises what it likes
            failure = DeserializationError(
                f"the task succeeded, but its result cannot be read here: {type(error).__name__}: {error}. "
                "Is what it is made of installed here in a version like the worker's?"
            )
            failure.__cause__ = error
            return None, failure

    def _hint(self, text: str) -> str:
        """What the remote side could not know, as further lines for the traceback."""
        place, details = self.place, self.details or {}
        if place.endpoint_id is None and isinstance(found := details.get("endpoint_id"), str):
            place = place._replace(endpoint_id=found)
        if self.error_code == _LOST:
            there, here = details.get("python_version") or place.python, platform.python_version()
            if isinstance(there, str) and there.split(".")[:2] != here.split(".")[:2]:
                return (
                    f"\n\nThe workers of {place} run Python {there}, and this program Python {here}: code or objects "
                    "that only one of them can read may be what ended it. Use the same minor version at both ends"
                )
        elif self.error_code != _NO_WORKERS and (missing := _MISSING.findall(text)):
            return (
                f"\n\nThe module {missing[-1]!r} is missing on {place}: have it installed in the environment of its "
                "workers, or choose another endpoint or user_endpoint_config"
            )
        return ""


def _warn_of_other_python(details: dict[str, Any]) -> None:
    """Say once for each endpoint that its Python is not ours: most puzzling failures come from that."""
    there, endpoint = details.get("python_version"), details.get("endpoint_id")
    if endpoint in _seen or not isinstance(there, str):
        return
    _seen.add(endpoint)
    here = platform.python_version()
    if there.split(".")[:2] != here.split(".")[:2]:
        warnings.warn(
            f"the workers of endpoint {endpoint} run Python {there}, and this program {here}: functions are sent as "
            "source where they have one, but what is pickled may not be understood at the other end. Use the same "
            "minor version at both ends",
            UserWarning,
            stacklevel=6,
        )


def _last_step(result: Result) -> float:
    return max((step.timestamp for step in result.statuses), default=0) / 1e9


def _unpacked(text: str | msgspec.UnsetType) -> bytes | None:
    if text is msgspec.UNSET:
        return None
    try:
        return binascii.a2b_base64(text)
    except binascii.Error:
        return None  # the traceback as text says enough
