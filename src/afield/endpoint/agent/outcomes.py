"""What came of a job, as the result that travels."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from afield.endpoint.engines.base import Died, NeverBegun
from afield.errors import ComputeError, ConfigurationError, NoWorkers, TaskCancelled, TaskTimeout, WireError, WorkerLost
from afield.wire.jobs import Outcome, decode_outcome
from afield.wire.messages import ErrorDetails, Result, Transition

__all__ = ["Outcomes"]

_decode_details = msgspec.msgpack.Decoder(dict[str, Any]).decode

#: A worker makes its details once, so there are as many as there were workers.
_DETAILS_MOST: Final = 1024

#: Only its own name covers a timeout, not those of its base classes: who wants any exception retried does not mean a
#: call that takes for ever.
_TIMEOUT: Final = ("afield.errors.TaskTimeout",)


class Outcomes:
    """Makes results for one user endpoint.

    :param endpoint_id: its id, which goes into every result's details
    """

    def __init__(self, endpoint_id: str) -> None:
        self._endpoint_id = endpoint_id
        self._details: dict[bytes, dict[str, Any]] = {}

    def of(self, task_id: str, future: asyncio.Future[bytes]) -> tuple[Result, tuple[str, ...]]:
        """The result of a task whose future is done; and the names by which ``retry_on`` covers its failure."""
        error = future.exception() if not future.cancelled() else NeverBegun("its engine cancelled it")
        if error is None:
            return self._read(task_id, future.result())
        return failure(task_id, error), _TIMEOUT if isinstance(error, TaskTimeout) else ()

    def _read(self, task_id: str, body: bytes) -> tuple[Result, tuple[str, ...]]:
        try:
            outcome = decode_outcome(body)
            return self._result(task_id, outcome), outcome.kinds
        except (WireError, msgspec.MsgspecError) as error:
            return failure(task_id, error), ()

    def _result(self, task_id: str, outcome: Outcome) -> Result:
        return Result(
            task_id=task_id,
            data=outcome.data,
            error=ErrorDetails(outcome.error_code, outcome.message) if outcome.error_code is not None else None,
            details={**self._details_of(bytes(outcome.details)), **_used(outcome)},
            statuses=(
                Transition(outcome.began_ns, "execution-start", "worker"),
                Transition(outcome.ended_ns, "execution-end", "worker"),
            ),
            exception=outcome.exception,
        )

    def _details_of(self, raw: bytes) -> dict[str, Any]:
        found = self._details.get(raw)
        if found is None:
            if len(self._details) >= _DETAILS_MOST:
                self._details.clear()
            found = self._details[raw] = {**_decode_details(raw), "endpoint_id": self._endpoint_id}
        return found


def _used(outcome: Outcome) -> dict[str, Any]:
    if outcome.cpu_us is None:
        return {}
    return {"cpu_s": outcome.cpu_us / 1e6, "peak_memory": outcome.memory}


def failure(task_id: str, error: BaseException) -> Result:
    """The result of a task that could not be run."""
    text = str(error).strip() if isinstance(error, ComputeError) else f"{type(error).__name__}: {error}"
    first = text.splitlines()[0] if text else type(error).__name__
    details = error.facts if isinstance(error, Died) else None
    return Result(task_id=task_id, data=text.encode(), error=ErrorDetails(_code(error), first), details=details)


def _code(error: BaseException) -> str:
    # Names as published, where there is one (reference: wire contract section 5.4).
    match error:
        case NoWorkers():
            return "NoWorkers"
        case WorkerLost():
            return "WorkerLost"
        case TaskTimeout():
            return "TaskTimeout"
        case TaskCancelled():
            return "TaskCancelled"
        case ConfigurationError():
            return "CouldNotExecuteUserTaskError"
        case _:
            return "UNKNOWN_TASK_FAILURE"
