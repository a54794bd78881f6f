"""SEAM: an engine runs jobs, wherever it likes: bytes in, a future of bytes, like ``concurrent.futures.Executor``.

What every engine promises, and ``afield.testing.engines`` checks:

- Every future that ``submit`` returned is resolved exactly once: with an encoded
  :class:`~afield.wire.jobs.Outcome`, or with one of the errors below. ``stop`` resolves all that are left: with
  :class:`NeverBegun` where it is certain that the job was not begun, else with :class:`~afield.errors.WorkerLost`.
- A worker that dies costs only the job it was running; that one fails with :class:`~afield.errors.WorkerLost`, and the
  engine goes on with others.
- Jobs begin in the order of submission, as far as there is a free worker; an engine that sends short jobs ahead to
  its workers may shuffle those among each other.
- A job that runs longer than its ``timeout_s`` is stopped with every process that it started, and fails with
  :class:`~afield.errors.TaskTimeout`. An engine that cannot stop jobs refuses those that ask for it.
- ``submit`` never blocks and never raises for what is wrong with one job; it raises
  :class:`~afield.errors.ConfigurationError` for a job that this kind of engine can never run.
- Only the event loop calls it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from afield.errors import WorkerLost
from afield.wire.jobs import Job

__all__ = ["Died", "Engine", "EngineStatus", "NeverBegun"]


class NeverBegun(WorkerLost):
    """The engine was stopped, and this job had certainly not begun: it may run elsewhere or later."""


class Died(WorkerLost):
    """A worker died under a job, and it is known which and how.

    :param facts: for the task's record: ``worker_pid``, ``exit_reason`` and, where it is known, ``hostname``
    """

    def __init__(self, text: str, facts: dict[str, Any]) -> None:
        super().__init__(text)
        self.facts = facts


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine says of itself in every heartbeat; names as published (reference: wire contract section 5.5)."""

    engine_type: str
    total_workers: int
    idle_workers: int
    pending_tasks: int  #: submitted, not begun
    outstanding_tasks: int  #: submitted, not finished
    managers: int = 1
    active_managers: int = 1
    scaling_enabled: bool = False
    max_workers_per_node: int = 0
    nodes_per_block: int = 1
    min_blocks: int = 1
    max_blocks: int = 1
    #: whatever else this engine wants known
    extra: dict[str, Any] = {}


class Engine(Protocol):
    """Runs jobs."""

    async def start(self) -> None:
        """Get ready to take jobs. Workers may still be on their way when it returns.

        :raises ConfigurationError: this engine cannot work here as it is configured
        """

    def submit(self, job: Job) -> asyncio.Future[bytes]:
        """Run one job; the future resolves with its encoded Outcome.

        :raises ConfigurationError: this kind of engine can never run such a job; the message says why
        """

    def cancel(self, task_id: str) -> str:
        """Keep a job from running, or stop it with every process that it started.

        :return: empty: the job's future fails with :class:`~afield.errors.TaskCancelled`, now or soon; or there is no
            such job (any more). Else, for people, why it cannot be stopped
        """

    def running(self) -> list[str]:
        """The task ids of jobs that have certainly begun and are not known to have ended."""

    @property
    def capacity(self) -> int:
        """How many submitted and unfinished jobs keep it busy; the agent keeps further ones to itself.

        It may change whenever a job is submitted or ends: read it each time.
        """

    def status(self) -> EngineStatus:
        """Right now."""

    async def stop(self, grace_s: float) -> None:
        """Wait at most ``grace_s`` seconds for running jobs, then end everything. Afterwards nothing of it is left."""
