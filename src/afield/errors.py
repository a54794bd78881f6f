"""Every error that Afield raises at a person, in one tree.

::

    ComputeError                     the root; its name is the published one
    ├── ConfigurationError           a file or option that somebody wrote is wrong: which, where, what to write
    ├── InvalidId (ValueError)       a string that should be a UUID and is not
    ├── NoEndpoint (ValueError)      nothing says where to run
    ├── VersionMismatch              two ends that cannot work together
    ├── ServiceError                 between SDK or endpoint and the service
    │   ├── ServiceUnreachable       nobody answered, retries are exhausted
    │   └── ComputeAPIError          the service answered "no": http_status, code, reason
    ├── BrokerError                  between anybody and the queues
    │   ├── BrokerUnreachable        no connection, or it was lost
    │   ├── BrokerRefused            bad login, or a queue or key that is not yours
    │   └── Unroutable               published, and no queue wanted it
    ├── WireError                    a message from elsewhere that is not what it should be
    ├── SerdeError
    │   ├── SerializationError       cannot become bytes
    │   └── DeserializationError     cannot come back from bytes
    ├── TaskError                    what became of one task
    │   ├── TaskPending              not finished yet
    │   ├── TaskExecutionFailed      it ran, or should have run, and failed: the remote traceback
    │   │   ├── NoWorkers            the jobs that should bring workers keep dying, so it was not begun
    │   │   ├── WorkerLost           its worker process died under it
    │   │   ├── EndpointLost         its endpoint process died while it may have been running
    │   │   ├── TaskTimeout          it ran longer than it was allowed to, and was stopped
    │   │   └── MaxResultSizeExceeded
    │   ├── DependencyFailed         a future among its arguments ended without a value, so it was not submitted
    │   └── TaskCancelled
    └── DataDirectoryError           the place where a service keeps its data cannot be used

Every class survives pickling: in this field every error is pickled sooner or later. So each keeps its constructor's
arguments in ``args`` and nothing else.
"""

from __future__ import annotations

__all__ = [
    "BrokerError",
    "BrokerRefused",
    "BrokerUnreachable",
    "ComputeAPIError",
    "ComputeError",
    "ConfigurationError",
    "DataDirectoryError",
    "DependencyFailed",
    "DeserializationError",
    "EndpointLost",
    "InvalidId",
    "MaxResultSizeExceeded",
    "NoEndpoint",
    "NoWorkers",
    "SerdeError",
    "SerializationError",
    "ServiceError",
    "ServiceUnreachable",
    "TaskCancelled",
    "TaskError",
    "TaskExecutionFailed",
    "TaskPending",
    "TaskTimeout",
    "Unroutable",
    "VersionMismatch",
    "WireError",
    "WorkerLost",
]


class ComputeError(Exception):
    """The root of all errors of Afield (the published name)."""


class ConfigurationError(ComputeError):
    """A file or an option that somebody wrote cannot be used.

    The message names file, line and key where they are known, and what would be right.
    """


class InvalidId(ComputeError, ValueError):  # noqa: N818 - says what it is; the field's errors do not all end in Error
    """A value that should be a UUID is not one.

    :param what: what it should identify, as a person would say it: ``"endpoint"``, ``"task"``
    :param value: what was given, as text
    """

    def __init__(self, what: str, value: str) -> None:
        super().__init__(what, value)
        self.what, self.value = what, value

    def __str__(self) -> str:
        article = "an" if self.what[:1] in "aeiou" else "a"
        return (
            f"{self.value!r} is not {article} {self.what} id: expected a UUID like 4b116d3c-1703-4f8f-9f6f-39921e5864df"
        )


class NoEndpoint(ComputeError, ValueError):  # noqa: N818
    """Nothing says on which endpoint to run, and there is not exactly one to choose."""


class VersionMismatch(ComputeError):  # noqa: N818 - the published name
    """Two ends have versions that cannot work together."""


class ServiceError(ComputeError):
    """Something between this program and the service went wrong."""


class ServiceUnreachable(ServiceError):  # noqa: N818
    """The service did not answer, and all retries are used up."""


class ComputeAPIError(ServiceError):
    """The service understood and refused.

    :param http_status: the HTTP status, 400-599
    :param code: the machine-readable name, such as ``"ENDPOINT_NOT_FOUND"`` (reference: published error codes)
    :param reason: for people
    """

    def __init__(self, http_status: int, code: str, reason: str) -> None:
        super().__init__(http_status, code, reason)
        self.http_status, self.code, self.reason = http_status, code, reason

    def __str__(self) -> str:
        return f"{self.reason} ({self.http_status} {self.code})"


class BrokerError(ComputeError):
    """Something between this program and the queues went wrong."""


class BrokerUnreachable(BrokerError):  # noqa: N818
    """There is no connection to the broker, or it was lost. Trying again may help."""


class BrokerRefused(BrokerError):  # noqa: N818
    """The broker knows us and refused: a wrong login, or a queue or routing key that is not ours. Final."""


class Unroutable(BrokerError):  # noqa: N818
    """A message was published, and no queue is bound for it."""


class WireError(ComputeError):
    """A message or body from elsewhere is truncated, foreign or lacks what it must have."""


class SerdeError(ComputeError):
    """Something could not become bytes, or come back from them."""


class SerializationError(SerdeError):
    """An object cannot become bytes. The message names the object, the strategy and what to do."""


class DeserializationError(SerdeError):
    """Bytes cannot become an object again. The message names the strategy and the likely cause."""


class TaskError(ComputeError):
    """What became of one task."""


class TaskPending(TaskError):  # noqa: N818 - the published name
    """The task has no result yet.

    :param status: where it is: a value of :class:`afield.states.TaskState`
    """

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status
        #: the published attribute of the same meaning
        self.reason = status

    def __str__(self) -> str:
        return f"the task has no result yet: {self.status}"


class TaskExecutionFailed(TaskError):  # noqa: N818 - the published name
    """The task failed where it ran, or before it could.

    Where the original exception can be rebuilt, what ``future.result()`` raises is an instance of both this class and
    the original's.

    :param remote_data: the remote traceback, or what the endpoint said
    :param completion_t: unix time of the end in seconds, as text (the published form)
    """

    def __init__(self, remote_data: str, completion_t: str = "0") -> None:
        super().__init__(remote_data, completion_t)
        self.remote_data, self.completion_t = remote_data, completion_t

    def __str__(self) -> str:
        return "\n" + self.remote_data.strip("\n") + "\n"


class NoWorkers(TaskExecutionFailed):
    """The endpoint gets no workers: the blocks that should bring them keep dying, so the task was not begun."""


class WorkerLost(TaskExecutionFailed):
    """The worker process that ran the task died under it."""


class EndpointLost(TaskExecutionFailed):
    """The endpoint process ended while the task was possibly running, and nobody allowed it to run twice."""


class TaskTimeout(TaskExecutionFailed):
    """The task ran longer than it was allowed to, and was stopped with all that it had started."""


class MaxResultSizeExceeded(TaskExecutionFailed):
    """The result is larger than the endpoint may send."""


class DependencyFailed(TaskError):  # noqa: N818
    """A future among a call's arguments ended without a value. Its exception is the ``__cause__`` of this one."""


class TaskCancelled(TaskError):  # noqa: N818
    """The task was cancelled before it had a result."""


class DataDirectoryError(ComputeError):
    """The place where a service keeps its data cannot be used: not writable, in use, or from a newer version."""
