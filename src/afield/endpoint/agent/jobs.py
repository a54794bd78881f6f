"""What a task asks of an engine, as the job that goes there: the task itself, and what the owner decided about all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from afield.endpoint.settings import EngineSettings
from afield.wire.jobs import JOB_VERSION, Job, code_digest
from afield.wire.messages import CallOptions, Task

__all__ = ["Jobs"]

#: Digests of function code that are remembered.
_DIGESTS_MOST: Final = 1024

_NO_OPTIONS: Final = CallOptions()


class Jobs:
    """Makes jobs for one user endpoint.

    :param settings: of its engine
    :param directory: the user endpoint's
    """

    def __init__(self, settings: EngineSettings, directory: Path) -> None:
        self._settings = settings
        self._sandboxes = directory / settings.working_dir if settings.run_in_sandbox else None
        self._digests: dict[bytes, bytes] = {}

    def of(self, task: Task) -> Job:
        """The job of a task."""
        settings = self._settings
        options = task.options or _NO_OPTIONS
        return Job(
            version=JOB_VERSION,
            task_id=task.task_id,
            digest=self._digest(task.code),
            code=task.code,
            payload=task.payload,
            result_serializers=task.result_serializers,
            resource_specification=task.resource_specification,
            allowed_serializers=settings.allowed_serializers,
            sandbox=str(self._sandboxes / task.task_id) if self._sandboxes is not None else None,
            result_limit=settings.result_size_limit,
            timeout_s=options.timeout_s,
            cores=options.cores or 1,
            memory=options.memory,
            gpus=options.gpus,
        )

    def _digest(self, code: bytes) -> bytes:
        digest = self._digests.get(code)
        if digest is None:
            if len(self._digests) >= _DIGESTS_MOST:
                self._digests.clear()
            digest = self._digests[code] = code_digest(code)
        return digest
